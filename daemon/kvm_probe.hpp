// Whether KVM on this machine really runs guest code.
#pragma once

#include "daemon/qemu_config.hpp"

#include <filesystem>
#include <functional>
#include <string>

namespace capsul {

struct KvmFinding {
    bool works = false;
    std::string reason; ///< why not, for people
};

/// Reasons that are worth remembering. All others (no permission, no device, no memory) may be gone the next
/// time, and cost little to find again.
constexpr const char* kvm_is_incomplete = "/dev/kvm is of an incomplete nested virtualisation";
constexpr const char* kvm_runs_wrongly = "KVM ran the guest's code wrongly";
constexpr const char* kvm_hangs = "/dev/kvm opens but never runs the guest's code";

/// Runs a few bytes of guest code that leave through an I/O port. May hang where KVM is broken: run it in a
/// process of its own (`capsuld --probe-kvm`) with a time limit.
[[nodiscard]] KvmFinding probe_kvm();

/// The same in such a process.
[[nodiscard]] KvmFinding probe_kvm_in_child();

/// What the probe says on this boot: asked once and remembered in `folder` (which is on a tmpfs, so that a
/// reboot asks again). That it hangs is believed for ten minutes, since a busy host looks the same, but each
/// try takes seconds.
[[nodiscard]] KvmFinding remembered_kvm(const std::filesystem::path& folder,
                                        const std::function<KvmFinding()>& probe = probe_kvm_in_child);

} // namespace capsul
