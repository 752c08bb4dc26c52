// How the NICs of a VM are shown.
#pragma once

#include "cli/output.hpp"
#include "lib/vm.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

/// A NIC of a VM and, while it has an interface on the host, what that is at.
struct NicView : Nic {
    std::optional<LinkCounters> counters;
    std::optional<std::vector<std::string>> protections;

    static constexpr auto fields() {
        return field_list(Nic::fields(), optional("counters", &NicView::counters),
                          optional("protections", &NicView::protections));
    }
};

/// None of a broken VM.
[[nodiscard]] std::vector<NicView> nic_views(const Vm& vm);

[[nodiscard]] std::span<const Column<NicView>> nic_columns();

/// What an interface has carried, as `show` has it in the wide form.
[[nodiscard]] std::vector<Line> carried_lines(const LinkCounters& carried);

/// The NICs as `vm show` has them; `wide` with what they have carried.
[[nodiscard]] std::vector<Line> nic_lines(const Vm& vm, bool wide);

} // namespace capsul::cli
