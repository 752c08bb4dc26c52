// Removes from a disk what makes it one machine's: with virt-sysprep (libguestfs), in a sandbox.
#pragma once

#include "daemon/qemu_config.hpp"
#include "daemon/sandboxed_tool.hpp"
#include "lib/paths.hpp"
#include "lib/size.hpp"

#include <mutex>
#include <optional>

namespace capsul {

/// Where libguestfs is. Programs are looked for in the system's folders when they are no absolute paths.
struct Libguestfs {
    std::string virt_sysprep = "virt-sysprep";
    std::string supermin = "supermin";
    /// Of what its own system is made, where distributions have it: the first that is there.
    std::vector<fs::path> supermin_lists{"/usr/lib/x86_64-linux-gnu/guestfs/supermin.d",
                                         "/usr/lib/aarch64-linux-gnu/guestfs/supermin.d",
                                         "/usr/lib64/guestfs/supermin.d", "/usr/lib/guestfs/supermin.d"};
};

/// Thread-safe.
class DiskCleaner {
  public:
    DiskCleaner(const Paths& paths, const SandboxedTool& tool, Libguestfs libguestfs = {})
        : paths_(paths), tool_(tool), libguestfs_(std::move(libguestfs)) {}

    /// Whether there is a virt-sysprep.
    [[nodiscard]] bool is_installed() const;

    /// Cleans the qcow2 `disk`, which has `size` and is laid over nothing: its file systems are mounted by
    /// the kernel of a QEMU of its own, never by this host's. Throws Error, and what SandboxedTool::run
    /// throws: then some of it may be done, and of a hostile disk nothing is known in any case.
    void clean(const fs::path& disk, Bytes size, Accelerator accelerator,
               const SandboxedTool::Cancelled& cancelled) const;

  private:
    [[nodiscard]] std::unique_lock<std::mutex> take_turn(const SandboxedTool::Cancelled& cancelled) const;

    const Paths& paths_;
    const SandboxedTool& tool_;
    const Libguestfs libguestfs_;
    mutable std::mutex one_at_a_time_;
};

/// The arguments of virt-sysprep. Pure.
[[nodiscard]] std::vector<std::string> cleaning_arguments(const fs::path& disk);

/// What virt-sysprep complained of, fit for a message. Pure.
[[nodiscard]] std::string cleaning_complaint(const ProcessResult& result);

/// What it warns of a file system that it has left out. Pure.
[[nodiscard]] std::optional<std::string> left_out(const ProcessResult& result);

} // namespace capsul
