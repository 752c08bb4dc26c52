// How the disks of a VM are shown.
#pragma once

#include "cli/output.hpp"
#include "lib/vm.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

/// A disk of a VM, the one that it boots from too.
struct DiskView {
    std::string name;
    Bytes size;
    std::optional<std::uint64_t> used; ///< bytes that it takes on the host
    std::optional<Timestamp> created;
    std::optional<std::string> guest_path; ///< by which the guest finds it

    static constexpr auto fields() {
        return field_list(required("name", &DiskView::name), required("size", &DiskView::size),
                          optional("used", &DiskView::used), optional("created", &DiskView::created),
                          optional("guest_path", &DiskView::guest_path));
    }
};

/// The first disk, then the data disks; none of a broken VM.
[[nodiscard]] std::vector<DiskView> disk_views(const Vm& vm);
[[nodiscard]] DiskView view_of(const DataDisk& disk);

[[nodiscard]] std::span<const Column<DiskView>> disk_columns();

/// The data disks and snapshots as `vm show` has them.
[[nodiscard]] std::vector<Line> disk_lines(const Vm& vm);

/// The record; throws Error (wrong_state) for a broken VM.
[[nodiscard]] const VmRecord& spec_of(const Vm& vm);

} // namespace capsul::cli
