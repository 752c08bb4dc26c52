#include "daemon/vm_guest.hpp"

#include "daemon/journal.hpp"
#include "daemon/json_peer.hpp"
#include "daemon/port.hpp"
#include "daemon/process.hpp"
#include "daemon/serial_log.hpp"
#include "daemon/vm_nics.hpp"
#include "daemon/vm_unit.hpp"
#include "lib/base64.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <fmt/format.h>
#include <iterator>
#include <set>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

// Between two looks at a guest that is not there yet; it has no way to tell us.
constexpr auto look_again = 300ms;
/// To one question to a guest that is up, and may be busy.
constexpr auto answer_limit = 10s;
constexpr std::size_t serial_tail_lines = 15;

const char* awaited(VmStage stage) {
    switch (stage) {
    case VmStage::running:
        return "QEMU to answer";
    case VmStage::agent:
        return "the guest agent to answer";
    case VmStage::ssh:
        return "the guest's ssh server to greet";
    case VmStage::cloud_init:
        return "cloud-init to finish";
    case VmStage::stopped:
        return "the VM to stop";
    }
    return "";
}

bool ssh_answers(const VmRecord& vm) {
    const auto endpoint = ssh_endpoint(vm);
    if (!endpoint) {
        throw Error(ErrorCode::wrong_state, about(vm.name, "capsul does not know an address of it"),
                    "wait for the agent instead; `capsulctl vm ip` then shows what the guest says");
    }
    return tcp_greeting(*endpoint, 5000).starts_with("SSH-");
}

std::vector<IpAddress> assigned_addresses(const VmRecord& vm) {
    std::vector<IpAddress> addresses;
    for (const Nic& nic : vm.nics) {
        for (const auto& ip : {nic.ip, nic.ip6}) {
            if (ip) {
                addresses.push_back(*ip);
            }
        }
    }
    return addresses;
}

/// Where ssh reaches the guest: what capsul knows, else what the guest itself says.
Endpoint find_endpoint(const VmRecord& vm, AgentClient& agent) {
    if (const auto known = ssh_endpoint(vm)) {
        return *known;
    }
    for (const AgentAddress& address : agent.addresses(answer_limit)) {
        if (!address.address.starts_with("fe80:")) {
            return {address.address, 22};
        }
    }
    throw Error(ErrorCode::wrong_state, about(vm.name, "the guest has no address"));
}

/// The name in a line of passwd(5), if it is one that ssh(1) may be given.
std::string user_name_of(const std::string& passwd_line) {
    const std::string name = passwd_line.substr(0, passwd_line.find(':'));
    const bool ok =
        !name.empty() && name.size() <= 32 && name.front() != '-' &&
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
            std::string::npos;
    return ok ? name : "root";
}

/// What cloud-init left in the guest's /run/cloud-init/result.json: throws when it names errors.
void judge_cloud_init(const Name& name, const std::string& result) {
    static const Json::json_pointer place("/v1/errors");
    const Json json = parse_peer(result, about(name, "cloud-init's result.json"));
    const Json errors = json.contains(place) ? json.at(place) : Json::array();
    if (!json.is_object() || !errors.is_array()) {
        throw Error(ErrorCode::internal, about(name, "cloud-init's result.json is not what it should be"));
    }
    if (!errors.empty()) {
        throw Error(
            ErrorCode::wrong_state,
            about(name, "cloud-init has finished with errors: " + quote_peer(dump_json(errors))),
            fmt::format("`capsulctl exec {} -- cloud-init status --long` tells more", name.to_string()));
    }
}

/// A public host key of the guest; nothing when there is none, or what is there is no key.
std::optional<std::string> host_key(AgentClient& agent, const char* type) {
    try {
        const auto file =
            agent.read_file(fmt::format("/etc/ssh/ssh_host_{}_key.pub", type), 16384, answer_limit);
        return file ? std::optional(SshKey::parse(file->substr(0, file->find('\n'))).to_string())
                    : std::nullopt;
    } catch (const Error& error) {
        if (error.code() != ErrorCode::invalid && error.code() != ErrorCode::too_large) {
            throw;
        }
        return std::nullopt;
    }
}

/// There from before its agent is asked to put the file systems to rest until they go on, whatever becomes of
/// capsuld; with the run of the VM it goes too.
fs::path frozen_mark(const VmHost& host, const Name& name) {
    return host.paths.vm_runtime(name) / "frozen";
}

} // namespace

std::shared_ptr<void> Consoles::claim(const Name& name) {
    const std::lock_guard lock(mutex_);
    if (!attached_.insert(name).second) {
        throw Error(ErrorCode::in_use, about(name, "its console is attached elsewhere"),
                    "`capsulctl logs -f " + name.to_string() + "` reads along");
    }
    return {nullptr, [self = shared_from_this(), name](void*) {
                const std::lock_guard release(self->mutex_);
                self->attached_.erase(name);
            }};
}

void VmGuest::require_running(const Name& name) const {
    host_.require(name);
    if (host_.systemd.status(vm_unit_name(name)).active_state != "active") {
        throw Error(ErrorCode::wrong_state, about(name, "is not running"),
                    "`capsulctl start " + name.to_string() + "` starts it");
    }
}

Vm VmGuest::wait(const VmWait& call, Progress& progress) {
    host_.require(call.name);
    progress.message(fmt::format("waiting for {}", awaited(call.stage)));
    const auto end = Clock::now() + call.timeout.value();
    if (call.stage == VmStage::stopped) {
        if (!host_.systemd.wait_until_stopped(vm_unit_name(call.name), call.timeout.value(),
                                              [&] { return progress.cancelled(); })) {
            time_out(call);
        }
        return view_.show(call.name);
    }
    while (!reached(call.name, call.stage, progress)) {
        if (progress.cancelled()) {
            throw Error(ErrorCode::unreachable, about(call.name, "capsuld is stopping; wait again"));
        }
        if (Clock::now() >= end) {
            time_out(call);
        }
        std::this_thread::sleep_for(look_again);
    }
    return view_.show(call.name);
}

void VmGuest::fail_down(const Name& name, const std::string& state) const {
    const bool stopped = state == "inactive";
    const std::string said = serial_tail(host_.paths.vm(name) / "serial.log", serial_tail_lines);
    throw Error(ErrorCode::wrong_state,
                about(name, fmt::format("is {}, so that will not come", stopped ? "stopped" : state)),
                fmt::format("`capsulctl start {}` starts it{}", name.to_string(),
                            said.empty() ? "" : "; the last lines of its serial console:\n" + said));
}

bool VmGuest::reached(const Name& name, VmStage stage, const Progress& progress) {
    const std::string state = host_.systemd.status(vm_unit_name(name)).active_state;
    if (state != "active" && state != "activating") {
        fail_down(name, state);
    }
    try {
        switch (stage) {
        case VmStage::running:
            return host_.monitors.connection(name, 1s, [&] { return progress.cancelled(); }) != nullptr;
        case VmStage::agent:
            return agents_.talk(name, 1s, progress, [](AgentClient&) { return true; });
        case VmStage::ssh:
            return ssh_answers(host_.store.vms.load(name));
        case VmStage::cloud_init:
            return cloud_init_done(name, progress);
        case VmStage::stopped:
            return false;
        }
    } catch (const Error& error) {
        if (error.code() != ErrorCode::timeout && error.code() != ErrorCode::unreachable) {
            throw;
        }
    }
    return false;
}

bool VmGuest::cloud_init_done(const Name& name, const Progress& progress) {
    const auto result = agents_.talk(name, 2s, progress, [](AgentClient& agent) {
        return agent.read_file("/run/cloud-init/result.json", 64 * 1024, 3s);
    });
    if (result) {
        judge_cloud_init(name, *result);
    }
    return result.has_value();
}

void VmGuest::time_out(const VmWait& call) const {
    throw Error(ErrorCode::timeout,
                about(call.name,
                      fmt::format("waited {} in vain for {}", call.timeout.to_string(), awaited(call.stage))),
                "the last lines of its serial console:\n" +
                    serial_tail(host_.paths.vm(call.name) / "serial.log", serial_tail_lines));
}

ExecResult VmGuest::exec(const VmExec& call, Progress& progress) {
    if (call.command.empty()) {
        throw Error(ErrorCode::invalid, about(call.name, "exec needs a command"));
    }
    require_running(call.name);
    progress.message("running the command in the guest");
    const auto input = base64_decode(call.input_base64);
    if (!input) {
        throw Error(ErrorCode::invalid, "input_base64: is not base64");
    }
    const AgentExecResult result = agents_.exec(call, *input, progress);
    return {result.exit_code, base64_encode(result.out), base64_encode(result.err), result.truncated};
}

VmAddresses VmGuest::addresses(const Name& name, const Progress& progress) {
    const VmRecord vm = host_.store.vms.load(name);
    VmAddresses found{ssh_endpoint(vm), vm.publish, assigned_addresses(vm), {}, {}};
    std::set<std::string> reported;
    try {
        for (const AgentAddress& address :
             agents_.talk(name, 1s, progress, [](AgentClient& agent) { return agent.addresses(1s); })) {
            found.guest.push_back(fmt::format("{}/{}", address.address, address.prefix));
            reported.insert(address.address);
        }
        std::ranges::copy_if(found.assigned, std::back_inserter(found.missing),
                             [&](const IpAddress& ip) { return !reported.contains(ip.to_string()); });
    } catch (const Error&) {
        // A guest that does not answer has no addresses to tell; the published ones hold all the same.
    }
    return found;
}

SshTarget VmGuest::ssh(const Name& name, const Progress& progress) {
    require_running(name);
    const VmRecord vm = host_.store.vms.load(name);
    return agents_.talk(name, answer_limit, progress, [&](AgentClient& agent) {
        SshTarget target{find_endpoint(vm, agent), {}, {}};
        for (const char* type : {"ed25519", "ecdsa", "rsa"}) {
            if (auto key = host_key(agent, type)) {
                target.host_keys.push_back(std::move(*key));
            }
        }
        // The default user of cloud images is the first ordinary one.
        const AgentExecResult user = agent.exec({"getent", "passwd", "1000"}, {}, answer_limit);
        target.user = user.exit_code == 0 ? user_name_of(user.out) : "root";
        return target;
    });
}

/// The kernel's figure, in units of 512 bytes whatever the sectors are.
std::optional<Bytes> VmGuest::first_disk_size(const Name& name, const Progress& progress) {
    try {
        const auto text = agents_.talk(name, 2s, progress, [](AgentClient& agent) {
            return agent.read_file("/sys/class/block/vda/size", 64, 3s);
        });
        std::uint64_t sectors = 0;
        const bool is_number =
            text && std::from_chars(text->data(), text->data() + text->size(), sectors).ec == std::errc{};
        return is_number && sectors > 0 && sectors < (std::uint64_t{1} << 54U)
                   ? std::optional(Bytes(sectors * 512))
                   : std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

/// Without an agent, or with one that cannot, the disks are as after a power cut, which file systems are made
/// for.
Frozen VmGuest::freeze(const Name& name, const Progress& progress) {
    if (!thaw(name, 5s)) { // its agent would refuse to be asked again, as one does that cannot
        throw stands_still(name, "nothing was done");
    }
    try {
        agents_.talk(name, 2s, progress, [](AgentClient&) { return true; });
    } catch (const Error&) {
        return Frozen::no;
    }
    replace_file(frozen_mark(host_, name), "");
    Frozen frozen = Frozen::perhaps;
    try {
        frozen = agents_.talk(name, 2s, progress, [](AgentClient& agent) {
            return agent.freeze(answer_limit) > 0 ? Frozen::yes : Frozen::no;
        });
    } catch (const Error& error) {
        frozen = error.code() == ErrorCode::not_capable ? Frozen::no : Frozen::perhaps;
    }
    if (frozen == Frozen::no) {
        fs::remove(frozen_mark(host_, name));
    }
    return frozen;
}

Error stands_still(const Name& name, const std::string& outcome) {
    return {ErrorCode::timeout,
            about(name, "the guest's file systems stand still since its agent does not answer any more"),
            fmt::format("`capsulctl restart --force {}` gets it going; {}", name.to_string(), outcome)};
}

/// Of a guest that was not put to rest nothing is asked.
bool VmGuest::thaw(const Name& name, std::chrono::milliseconds patience) {
    const fs::path mark = frozen_mark(host_, name);
    if (!fs::exists(fs::symlink_status(mark))) {
        return true;
    }
    const std::atomic<bool> never = false;
    const Progress patient([](const std::string&) {}, [](int) {}, never);
    const auto end = Clock::now() + patience;
    while (true) {
        try {
            agents_.talk(name, 5s, patient, [](AgentClient& agent) {
                agent.thaw(answer_limit);
                return true;
            });
            fs::remove(mark);
            return true;
        } catch (const Error&) {
            if (Clock::now() >= end) {
                return false;
            }
            std::this_thread::sleep_for(look_again);
        }
    }
}

void VmGuest::thaw_left() {
    for (const auto& stored : host_.store.vms.list()) {
        if (!fs::exists(fs::symlink_status(frozen_mark(host_, stored.name)))) {
            continue;
        }
        submit_action(host_, "vm.thaw", stored.name, [this, name = stored.name](Progress&) {
            if (!thaw(name, 5s)) {
                throw stands_still(name, "capsuld goes on trying");
            }
            return Json::object();
        });
    }
}

StreamResponse VmGuest::logs(const VmLogs& call) const {
    host_.require(call.name);
    if (call.lines < 0) {
        throw Error(ErrorCode::invalid, "lines: must not be negative");
    }
    std::vector<std::string> argv;
    if (call.source == LogSource::serial) {
        argv = {"tail", "-n", call.lines == 0 ? "+1" : std::to_string(call.lines)};
        if (call.follow) {
            argv.emplace_back("-F");
        }
        argv.push_back((host_.paths.vm(call.name) / "serial.log").string());
    } else {
        argv = {"journalctl", "--user", "--quiet", "--no-pager", "--output=short-iso"};
        argv.push_back(call.lines == 0 ? "--lines=all" : fmt::format("--lines={}", call.lines));
        if (call.follow) {
            argv.emplace_back("--follow");
        }
        std::ranges::move(journal_matches(vm_unit_name(call.name), vm_syslog_identifier(call.name),
                                          call.source == LogSource::unit),
                          std::back_inserter(argv));
    }
    auto child = std::make_shared<ChildProcess>(argv);
    UniqueFd output = child->take_output();
    return {"text/plain; charset=utf-8", std::move(output), std::move(child)};
}

TunnelResponse VmGuest::console(const Name& name) {
    require_running(name);
    std::shared_ptr<void> claim = consoles_->claim(name);
    // Handlers do not wait: a QEMU that takes no client at once hangs.
    return {connect_peer(host_.paths.vm_runtime(name) / "console.sock", Clock::now() + 100ms),
            std::move(claim)};
}

void VmGuest::trim_serial_logs() const {
    for (const UnitStatus& unit : host_.systemd.list("capsul-vm-*.service")) {
        if (const auto name = vm_of_unit(unit.name)) {
            trim_file(host_.paths.vm(*name) / "serial.log", host_.config.vm.serial_log.count());
        }
    }
}

} // namespace capsul
