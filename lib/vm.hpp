// Virtual machines: the record, what is shown of one, and the calls.
#pragma once

#include "lib/disk.hpp"
#include "lib/image.hpp"
#include "lib/mac.hpp"
#include "lib/name.hpp"
#include "lib/network.hpp"
#include "lib/port.hpp"
#include "lib/route.hpp"
#include "lib/size.hpp"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

enum class VmState { stopped, starting, running, paused, stopping, failed, broken };
template <>
struct EnumWords<VmState> {
    static constexpr std::array<std::pair<VmState, std::string_view>, 7> words{
        {{VmState::stopped, "stopped"},
         {VmState::starting, "starting"},
         {VmState::running, "running"},
         {VmState::paused, "paused"},
         {VmState::stopping, "stopping"},
         {VmState::failed, "failed"},
         {VmState::broken, "broken"}}};
};

/// How far a VM is, for whom waits; each is looked at by itself. `running`: QEMU answers. `agent`:
/// the guest agent answers. `ssh`: the guest's ssh server greets. `cloud_init`: first-boot set-up has ended.
/// `stopped`: it is off.
enum class VmStage { running, agent, ssh, cloud_init, stopped };
template <>
struct EnumWords<VmStage> {
    static constexpr std::array<std::pair<VmStage, std::string_view>, 5> words{
        {{VmStage::running, "running"},
         {VmStage::agent, "agent"},
         {VmStage::ssh, "ssh"},
         {VmStage::cloud_init, "cloud-init"},
         {VmStage::stopped, "stopped"}}};
};

/// A whole number of virtual CPUs, 1 to 255 (q35's limit); a number in JSON and TOML.
class CpuCount {
  public:
    using Number = int;
    static constexpr int most = 255;
    constexpr CpuCount() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static CpuCount from_number(int count);
    [[nodiscard]] constexpr int number() const noexcept { return count_; }
    auto operator<=>(const CpuCount&) const = default;

  private:
    int count_ = 1;
};

/// A line of authorized_keys(5): a known key type, base64, and an optional comment; no options.
class SshKey {
  public:
    SshKey() = default;
    [[nodiscard]] static SshKey parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const SshKey&) const = default;

  private:
    std::string text_;
};

/// The SSH keys in an authorized_keys or .pub file: one a line, blank lines and comments passed over. Throws
/// Error (invalid) that names the line.
[[nodiscard]] std::vector<SshKey> parse_ssh_keys(std::string_view file);

using Labels = std::map<std::string, std::string>;

/// The record of a VM: vm.toml. What was asked for, and what capsul chose once for its life.
struct VmRecord {
    int format = 1;
    Name name;
    Uuid uuid;
    Timestamp created;
    Name image;          ///< as it was asked for: an image, or an alias that may have moved since
    Digest image_digest; ///< what it is made from
    std::optional<DirectKernel> boot; ///< the image's, at the time
    CpuCount cpus;
    Bytes memory;
    Bytes disk;
    std::vector<Nic> nics;
    std::uint16_t ssh_port = 0; ///< on 127.0.0.1, leads to the guest's port 22; 0 without a NIC on `user`
    std::vector<PublishedPort> publish;
    Labels labels;
    bool autostart = true; ///< whether `start` also enables the unit
    Duration stop_timeout{std::chrono::seconds(90)};
    std::vector<DataDisk> disks;     ///< by slot
    std::vector<Snapshot> snapshots; ///< oldest first
    std::optional<Name> restoring;   ///< the snapshot, while its disks are between now and then
    bool restored = false;           ///< with `restoring`: all disks are of then
    /// What QEMU may still run with when that is more than `memory`: its unit's limit must leave it that.
    std::optional<Bytes> memory_before;

    static constexpr auto fields() {
        return field_list(
            required("format", &VmRecord::format), required("name", &VmRecord::name),
            required("uuid", &VmRecord::uuid), required("created", &VmRecord::created),
            required("image", &VmRecord::image), required("image_digest", &VmRecord::image_digest),
            optional("boot", &VmRecord::boot), required("cpus", &VmRecord::cpus),
            required("memory", &VmRecord::memory), required("disk", &VmRecord::disk),
            required("nics", &VmRecord::nics), optional("ssh_port", &VmRecord::ssh_port),
            optional("publish", &VmRecord::publish), optional("labels", &VmRecord::labels),
            optional("autostart", &VmRecord::autostart), optional("stop_timeout", &VmRecord::stop_timeout),
            optional("disks", &VmRecord::disks), optional("snapshots", &VmRecord::snapshots),
            optional("restoring", &VmRecord::restoring), optional("restored", &VmRecord::restored),
            optional("memory_before", &VmRecord::memory_before));
    }
};

/// A VM as shown. A broken one has a name, a state and a reason, and no spec.
struct Vm {
    Name name;
    VmState state = VmState::stopped;
    std::optional<std::string> reason; ///< of failed and broken
    bool enabled = false;              ///< starts at boot
    std::optional<Timestamp> since;    ///< it is up
    std::optional<int> pid;            ///< of QEMU; only in the answer to show
    std::optional<Endpoint> ssh;
    std::string unit;
    std::vector<NicStatus> nics; ///< those on the host's networks while it is up; only in the answer to show
    std::optional<std::string> unpublished; ///< why its ports are closed while it is up; only as `nics`
    /// Bytes that each disk takes on the host, "root" and the data disks; only in the answer to show.
    std::map<std::string, std::uint64_t> disk_usage;
    std::optional<VmRecord> spec;

    static constexpr auto fields() {
        return field_list(required("name", &Vm::name), required("state", &Vm::state),
                          optional("reason", &Vm::reason), required("enabled", &Vm::enabled),
                          optional("since", &Vm::since), optional("pid", &Vm::pid), optional("ssh", &Vm::ssh),
                          required("unit", &Vm::unit), optional("nics", &Vm::nics),
                          optional("unpublished", &Vm::unpublished), optional("disk_usage", &Vm::disk_usage),
                          optional("spec", &Vm::spec));
    }
};

/// Every VM; with `label`, only those that carry all of them ("key=value" or "key"); with `state`, those in
/// one of them.
struct VmList {
    std::vector<std::string> label;
    std::vector<VmState> state;
    using Result = std::vector<Vm>;
    static constexpr Route route{Method::get, "/v1/vms", Answer::value};
    static constexpr auto fields() {
        return field_list(optional("label", &VmList::label), optional("state", &VmList::state));
    }
};

struct VmShow {
    Name name;
    using Result = Vm;
    static constexpr Route route{Method::get, "/v1/vms/{name}", Answer::value};
    static constexpr auto fields() { return field_list(required("name", &VmShow::name)); }
};

struct VmCreate {
    std::optional<Name> name; ///< made up when absent
    Name image;
    CpuCount cpus;
    Bytes memory{std::uint64_t{1} << 30U};
    std::optional<Bytes> disk; ///< the image's size when absent; never smaller
    std::vector<SshKey> ssh_keys;
    std::optional<std::string> user_data;   ///< cloud-config, script or MIME, as cloud-init takes it
    std::optional<std::string> init_script; ///< run once, on first boot
    std::vector<NicSpec> networks;          ///< one NIC each; one on `user` when empty
    std::vector<PublishedPort> publish;
    Labels labels;
    bool start = true;
    bool autostart = true;
    Duration stop_timeout{std::chrono::seconds(90)};
    using Result = Vm;
    static constexpr Route route{Method::post, "/v1/vms", Answer::operation};
    static constexpr auto fields() {
        return field_list(
            optional("name", &VmCreate::name), required("image", &VmCreate::image),
            optional("cpus", &VmCreate::cpus), optional("memory", &VmCreate::memory),
            optional("disk", &VmCreate::disk), optional("ssh_keys", &VmCreate::ssh_keys),
            optional("user_data", &VmCreate::user_data), optional("init_script", &VmCreate::init_script),
            optional("networks", &VmCreate::networks), optional("publish", &VmCreate::publish),
            optional("labels", &VmCreate::labels), optional("start", &VmCreate::start),
            optional("autostart", &VmCreate::autostart), optional("stop_timeout", &VmCreate::stop_timeout));
    }
};

/// Starts it and, unless its record says otherwise, has it start at boot too. Success when it runs already. A
/// paused VM is resumed.
struct VmStart {
    Name name;
    using Result = Vm;
    static constexpr Route route{Method::post, "/v1/vms/{name}/start", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &VmStart::name)); }
};

/// How a stop came about.
enum class StopKind { graceful, forced, already };
template <>
struct EnumWords<StopKind> {
    static constexpr std::array<std::pair<StopKind, std::string_view>, 3> words{
        {{StopKind::graceful, "graceful"}, {StopKind::forced, "forced"}, {StopKind::already, "already"}}};
};
struct StopResult {
    Vm vm;
    StopKind how = StopKind::already;
    static constexpr auto fields() {
        return field_list(required("vm", &StopResult::vm), required("how", &StopResult::how));
    }
};

/// Asks the guest to power down, waits, and after `timeout` (at most the record's stop_timeout, which is the
/// default) ends QEMU. With `force` ends it at once. It no longer starts at boot.
struct VmStop {
    Name name;
    std::optional<Duration> timeout;
    bool force = false;
    using Result = StopResult;
    static constexpr Route route{Method::post, "/v1/vms/{name}/stop", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmStop::name), optional("timeout", &VmStop::timeout),
                          optional("force", &VmStop::force));
    }
};

/// Stop, then start, as one action.
struct VmRestart {
    Name name;
    std::optional<Duration> timeout;
    bool force = false;
    using Result = StopResult;
    static constexpr Route route{Method::post, "/v1/vms/{name}/restart", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmRestart::name), optional("timeout", &VmRestart::timeout),
                          optional("force", &VmRestart::force));
    }
};

/// Ends QEMU with SIGKILL, at once and ahead of what is queued: a power cut for the guest.
struct VmKill {
    Name name;
    using Result = Vm;
    static constexpr Route route{Method::post, "/v1/vms/{name}/kill", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &VmKill::name)); }
};

struct VmPause {
    Name name;
    using Result = Vm;
    static constexpr Route route{Method::post, "/v1/vms/{name}/pause", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &VmPause::name)); }
};

struct VmResume {
    Name name;
    using Result = Vm;
    static constexpr Route route{Method::post, "/v1/vms/{name}/resume", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &VmResume::name)); }
};

/// Ends it if it runs (not gracefully) and removes everything of it.
struct VmDelete {
    Name name;
    using Result = Vm; ///< as it was
    static constexpr Route route{Method::delete_, "/v1/vms/{name}", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &VmDelete::name)); }
};

/// Waits until the VM has reached a stage. On time-out the error's hint holds the last lines of the serial
/// console.
struct VmWait {
    Name name;
    VmStage stage = VmStage::running;
    Duration timeout{std::chrono::minutes(5)};
    using Result = Vm;
    static constexpr Route route{Method::post, "/v1/vms/{name}/wait", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmWait::name), required("for", &VmWait::stage),
                          optional("timeout", &VmWait::timeout));
    }
};

/// Where a VM can be reached.
struct VmAddresses {
    std::optional<Endpoint> ssh;
    std::vector<PublishedPort> published;
    std::vector<IpAddress> assigned; ///< by capsul, whether or not the guest is up
    std::vector<std::string> guest; ///< what the guest agent says, with prefix; empty when it does not answer
    std::vector<IpAddress> missing; ///< assigned, but not among what the guest says
    static constexpr auto fields() {
        return field_list(required("ssh", &VmAddresses::ssh), required("published", &VmAddresses::published),
                          required("assigned", &VmAddresses::assigned),
                          required("guest", &VmAddresses::guest), required("missing", &VmAddresses::missing));
    }
};
/// Asks the guest, which takes a while when it does not answer: an operation.
struct VmIp {
    Name name;
    using Result = VmAddresses;
    static constexpr Route route{Method::post, "/v1/vms/{name}/addresses", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &VmIp::name)); }
};

/// What ssh(1) needs to reach a guest and know it.
struct SshTarget {
    Endpoint endpoint;
    std::string user;                   ///< the guest's first ordinary user (uid 1000), else root
    std::vector<std::string> host_keys; ///< public keys that the guest's agent reported
    static constexpr auto fields() {
        return field_list(required("endpoint", &SshTarget::endpoint), required("user", &SshTarget::user),
                          required("host_keys", &SshTarget::host_keys));
    }
};
/// Asks the guest, as VmIp does.
struct VmSsh {
    Name name;
    using Result = SshTarget;
    static constexpr Route route{Method::post, "/v1/vms/{name}/ssh", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &VmSsh::name)); }
};

struct ExecResult {
    int exit_code = 0;
    std::string stdout_base64; ///< RFC 4648; a guest's output is bytes, JSON is text
    std::string stderr_base64;
    bool truncated = false; ///< only the first MiB of each is kept
    static constexpr auto fields() {
        return field_list(required("exit_code", &ExecResult::exit_code),
                          required("stdout_base64", &ExecResult::stdout_base64),
                          required("stderr_base64", &ExecResult::stderr_base64),
                          required("truncated", &ExecResult::truncated));
    }
};
/// Runs a command in the guest through its agent, as the agent's user (root).
struct VmExec {
    Name name;
    std::vector<std::string> command;
    std::string input_base64;
    Duration timeout{std::chrono::minutes(5)};
    using Result = ExecResult;
    static constexpr Route route{Method::post, "/v1/vms/{name}/exec", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmExec::name), required("command", &VmExec::command),
                          optional("input_base64", &VmExec::input_base64),
                          optional("timeout", &VmExec::timeout));
    }
};

enum class LogSource { serial, qemu, unit };
template <>
struct EnumWords<LogSource> {
    static constexpr std::array<std::pair<LogSource, std::string_view>, 3> words{
        {{LogSource::serial, "serial"}, {LogSource::qemu, "qemu"}, {LogSource::unit, "unit"}}};
};
/// Streams text: the serial console's, QEMU's own messages, or those and systemd's about the unit.
struct VmLogs {
    Name name;
    LogSource source = LogSource::serial;
    int lines = 0; ///< the last so many; 0 = all that is kept
    bool follow = false;
    static constexpr Route route{Method::get, "/v1/vms/{name}/logs", Answer::stream};
    static constexpr auto fields() {
        return field_list(required("name", &VmLogs::name), optional("source", &VmLogs::source),
                          optional("lines", &VmLogs::lines), optional("follow", &VmLogs::follow));
    }
};

/// Attaches to the serial console; one client at a time (in_use).
struct VmConsole {
    Name name;
    static constexpr Route route{Method::get, "/v1/vms/{name}/console", Answer::tunnel};
    static constexpr auto fields() { return field_list(required("name", &VmConsole::name)); }
};

/// Adds a NIC; to a running VM it is plugged in at once.
struct VmNicAdd {
    Name name;
    NicSpec nic;
    using Result = Vm;
    static constexpr Route route{Method::post, "/v1/vms/{name}/nics", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmNicAdd::name), required("nic", &VmNicAdd::nic));
    }
};

/// Takes a NIC away, from a running VM too.
struct VmNicRemove {
    Name name;
    int slot = 0;
    using Result = Vm;
    static constexpr Route route{Method::delete_, "/v1/vms/{name}/nics", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmNicRemove::name), required("slot", &VmNicRemove::slot));
    }
};

/// The unit as systemd sees it.
struct UnitView {
    std::string unit;
    std::string text; ///< of the file and its drop-ins, each after a line "# PATH"
    std::string active_state;
    bool enabled = false;
    bool need_daemon_reload = false; ///< systemd runs an older text than the file's
    static constexpr auto fields() {
        return field_list(required("unit", &UnitView::unit), required("text", &UnitView::text),
                          required("active_state", &UnitView::active_state),
                          required("enabled", &UnitView::enabled),
                          required("need_daemon_reload", &UnitView::need_daemon_reload));
    }
};
struct VmUnit {
    Name name;
    using Result = UnitView;
    static constexpr Route route{Method::get, "/v1/vms/{name}/unit", Answer::value};
    static constexpr auto fields() { return field_list(required("name", &VmUnit::name)); }
};

/// The QEMU command line with the content of qemu.conf written out as options.
struct CommandView {
    std::vector<std::string> argv;
    static constexpr auto fields() { return field_list(required("argv", &CommandView::argv)); }
};
struct VmCommand {
    Name name;
    using Result = CommandView;
    static constexpr Route route{Method::get, "/v1/vms/{name}/command", Answer::value};
    static constexpr auto fields() { return field_list(required("name", &VmCommand::name)); }
};

[[nodiscard]] bool has_user_nic(const VmRecord& vm);
/// Whether it has interfaces on the host.
[[nodiscard]] bool has_taps(const VmRecord& vm);
/// Whether its published ports lead to the guest by way of capsul-relay. With a NIC on `user` QEMU itself
/// publishes them.
[[nodiscard]] bool is_relayed(const VmRecord& vm);
/// The networks that its NICs are plugged into, but for `user`; each once.
[[nodiscard]] std::vector<Name> networks_of(const VmRecord& vm);

/// "capsul-vm-NAME.service".
[[nodiscard]] std::string vm_unit_name(const Name& name);

/// "capsul-tap-NAME.service": the VM's interfaces on the host.
[[nodiscard]] std::string tap_unit_name(const Name& vm);

/// "capsul-publish-NAME.socket": the host's side of its published ports; and the service that it starts.
[[nodiscard]] std::string publish_socket_name(const Name& vm);
[[nodiscard]] std::string publish_service_name(const Name& vm);

/// The VM of "capsul-vm-NAME.service"; nothing for any other.
[[nodiscard]] std::optional<Name> vm_of_unit(std::string_view unit);

/// Whether a label selector, "key=value" or "key", matches.
[[nodiscard]] bool label_matches(const Labels& labels, std::string_view selector);

} // namespace capsul
