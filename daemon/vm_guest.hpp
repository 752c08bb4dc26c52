// What goes through to the guest: waiting for it, its agent, its console and its logs. What blocks for long
// runs as an operation.
#pragma once

#include "daemon/vm_agents.hpp"
#include "daemon/vm_view.hpp"

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

namespace capsul {

/// Which consoles are attached. QEMU's console socket serves one client and leaves a second one hanging.
class Consoles : public std::enable_shared_from_this<Consoles> {
  public:
    /// The VM's console is the caller's while the result lives. Throws Error (in_use).
    [[nodiscard]] std::shared_ptr<void> claim(const Name& name);

  private:
    std::mutex mutex_;
    std::set<Name> attached_;
};

/// Whether a guest's file systems are at rest; `perhaps`: the agent has not said how it went.
enum class Frozen { no, perhaps, yes };

/// Of a guest that `thaw` did not get going; `outcome` says what that has prevented: "no backup was made".
[[nodiscard]] Error stands_still(const Name& name, const std::string& outcome);

class VmGuest {
  public:
    VmGuest(const VmHost& host, const VmView& view) : host_(host), view_(view), agents_(host.paths) {}

    Vm wait(const VmWait& call, Progress& progress);
    ExecResult exec(const VmExec& call, Progress& progress);
    [[nodiscard]] VmAddresses addresses(const Name& name, const Progress& progress);
    [[nodiscard]] SshTarget ssh(const Name& name, const Progress& progress);
    /// How large its first disk is to the guest; nothing when its agent does not tell.
    [[nodiscard]] std::optional<Bytes> first_disk_size(const Name& name, const Progress& progress);
    /// Puts the guest's file systems to rest. Unless the answer is `no`, the caller calls `thaw`. Throws
    /// Error (timeout) where they stand still since an earlier time.
    [[nodiscard]] Frozen freeze(const Name& name, const Progress& progress);
    /// Lets them go on; not to be kept from it by the end of the daemon. False when the agent does not do it
    /// within `patience`.
    bool thaw(const Name& name, std::chrono::milliseconds patience = std::chrono::seconds(30));
    /// Has the guests go on that something has left at rest, each in its VM's turn: for the start, and now
    /// and then, since an agent may be silent for as long as its guest is busy.
    void thaw_left();
    [[nodiscard]] StreamResponse logs(const VmLogs& call) const;
    [[nodiscard]] TunnelResponse console(const Name& name);

    /// Shortens serial logs that have grown over the configured limit to their last half.
    void trim_serial_logs() const;

  private:
    using Clock = std::chrono::steady_clock;
    void require_running(const Name& name) const;
    [[nodiscard]] bool reached(const Name& name, VmStage stage, const Progress& progress);
    [[noreturn]] void fail_down(const Name& name, const std::string& state) const;
    [[nodiscard]] bool cloud_init_done(const Name& name, const Progress& progress);
    [[noreturn]] void time_out(const VmWait& call) const;

    const VmHost& host_;
    const VmView& view_;
    VmAgents agents_;
    std::shared_ptr<Consoles> consoles_ = std::make_shared<Consoles>();
};

} // namespace capsul
