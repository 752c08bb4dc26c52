// Whether KVM on this machine really runs guest code.
#pragma once

#include "daemon/qemu_config.hpp"

#include <filesystem>
#include <string>

namespace capsul {

struct KvmFinding {
    bool works = false;
    std::string reason; ///< why not, for people
};

/// Runs a few bytes of guest code that leave through an I/O port. May hang where KVM is broken: run it in a
/// process of its own (`capsuld --probe-kvm`) with a time limit.
[[nodiscard]] KvmFinding probe_kvm();

/// What the probe says on this boot: asked once, in a child process with a time limit, and remembered in
/// `folder` (which is on a tmpfs, so that a reboot asks again).
[[nodiscard]] KvmFinding remembered_kvm(const std::filesystem::path& folder);

} // namespace capsul
