// create, and its short form launch.
#include "cli/commands.hpp"
#include "cli/input_file.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>

namespace capsul::cli {
namespace {

constexpr std::size_t user_data_limit = std::size_t{64} << 10U;

struct CreateFlags {
    std::string name;
    bool named = false; ///< perhaps with an empty word, which is no name
    std::string image;
    std::string cpus;
    std::string memory;
    std::string disk;
    std::vector<std::string> ssh_keys;
    bool no_ssh_key = false;
    std::string user_data;
    std::string init_script;
    std::vector<std::string> networks;
    std::vector<std::string> publish;
    std::vector<std::string> labels;
    bool no_start = false;
    bool no_autostart = false;
    std::string stop_timeout;
    std::string wait;
    std::string timeout;
    bool if_not_exists = false;
};

void check_flags(const CreateFlags& flags) {
    if (flags.no_start && !flags.wait.empty()) {
        throw Error(ErrorCode::invalid, "--wait: a VM that is not started (--no-start) reaches no stage");
    }
    if (!flags.timeout.empty() && flags.wait.empty()) {
        throw Error(ErrorCode::invalid, "--timeout: goes with --wait",
                    "say what to wait for, such as --wait ssh");
    }
    if (flags.no_ssh_key && !flags.ssh_keys.empty()) {
        throw Error(ErrorCode::invalid, "--ssh-key and --no-ssh-key exclude each other");
    }
    const auto stdin_users = std::ranges::count(flags.ssh_keys, "-") + (flags.user_data == "-" ? 1 : 0) +
                             (flags.init_script == "-" ? 1 : 0);
    if (stdin_users > 1) {
        throw Error(ErrorCode::invalid, "standard input (-) can be given once only");
    }
}

Labels parse_labels(const std::vector<std::string>& words) {
    Labels labels;
    for (const std::string& word : words) {
        const auto equals = word.find('=');
        const std::string key = word.substr(0, equals);
        const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
        try {
            check_label(key, value);
        } catch (const Error& error) {
            throw Error(ErrorCode::invalid, fmt::format("--label: {}", error.what()), error.hint());
        }
        labels[key] = value;
    }
    return labels;
}

/// The keys to let in: those given, else the caller's own, which is said.
std::vector<SshKey> chosen_keys(Session& session, const CreateFlags& flags) {
    if (!flags.ssh_keys.empty() || flags.no_ssh_key || !flags.user_data.empty()) {
        return read_ssh_keys(flags.ssh_keys);
    }
    const std::vector<std::string> own = default_ssh_key_files();
    if (own.empty()) {
        session.note("no ssh key is let in: ~/.ssh holds none, and --ssh-key is not given");
        return {};
    }
    std::vector<SshKey> keys = read_ssh_keys(own);
    session.note(
        fmt::format("letting in {} (--ssh-key chooses another, --no-ssh-key none)", fmt::join(own, ", ")));
    return keys;
}

VmCreate make_call(Session& session, const CreateFlags& flags) {
    VmCreate call;
    if (flags.named) {
        call.name = Name::parse(flags.name);
    }
    call.image = parse_option<Name>("--image", flags.image);
    if (!flags.cpus.empty()) {
        call.cpus = CpuCount::from_number(parse_number("--cpus", flags.cpus, 1, 255));
    }
    if (!flags.memory.empty()) {
        call.memory = parse_option<Bytes>("--memory", flags.memory);
    }
    if (!flags.disk.empty()) {
        call.disk = parse_option<Bytes>("--disk", flags.disk);
    }
    for (const std::string& network : flags.networks) {
        call.networks.push_back(parse_option<NicSpec>("--network", network));
    }
    for (const std::string& port : flags.publish) {
        call.publish.push_back(parse_option<PublishedPort>("--publish", port));
    }
    call.labels = parse_labels(flags.labels);
    call.start = !flags.no_start;
    call.autostart = !flags.no_autostart;
    if (!flags.stop_timeout.empty()) {
        call.stop_timeout = parse_option<Duration>("--stop-timeout", flags.stop_timeout);
    }
    if (!flags.user_data.empty()) {
        call.user_data = read_input("--user-data", flags.user_data, user_data_limit);
    }
    if (!flags.init_script.empty()) {
        call.init_script = read_input("--init-script", flags.init_script, user_data_limit);
    }
    call.ssh_keys = chosen_keys(session, flags);
    return call;
}

Vm create_or_show(Session& session, const VmCreate& call, bool if_not_exists) {
    const std::string subject = call.name ? "vm " + call.name->to_string() : "vm";
    try {
        Vm vm = session.run(call, subject);
        session.note(
            fmt::format("vm {}: {}", vm.name.to_string(), call.start ? "created and running" : "created"));
        return vm;
    } catch (const NoDaemon&) {
        throw;
    } catch (const Error& error) {
        if (error.code() != ErrorCode::exists || !if_not_exists || !call.name) {
            throw named(subject, error);
        }
    }
    Vm vm = session.client().call(VmShow{*call.name});
    session.note(subject + ": exists already");
    return vm;
}

/// What is waited for when the VM is there.
std::optional<VmWait> wait_call(const CreateFlags& flags) {
    if (flags.wait.empty()) {
        return std::nullopt;
    }
    VmWait wait;
    wait.stage = parse_option<VmStage>("--wait", flags.wait);
    if (wait.stage == VmStage::stopped) {
        throw Error(ErrorCode::invalid, "--wait: 'stopped' is not one of running, agent, ssh, cloud-init",
                    "capsulctl vm wait NAME --for stopped waits for the end of a VM");
    }
    if (!flags.timeout.empty()) {
        wait.timeout = parse_option<Duration>("--timeout", flags.timeout);
    }
    return wait;
}

void create(Session& session, const CreateFlags& flags) {
    check_flags(flags);
    std::optional<VmWait> wait = wait_call(flags);
    Vm vm = create_or_show(session, make_call(session, flags), flags.if_not_exists);
    if (wait) {
        wait->name = vm.name;
        try {
            vm = session.run(*wait, "vm " + vm.name.to_string());
        } catch (const Error&) {
            print_made<Vm>(session.out(), session.output_options(), vm,
                           vm_columns()); // it stays, and its name may be known to nobody else
            throw;
        }
    }
    print_made<Vm>(session.out(), session.output_options(), vm, vm_columns());
}

void add_options(CLI::App& command, CreateFlags& flags) {
    const auto text = [&](const char* names, std::string& value, const char* type, const char* description) {
        return command.add_option(names, value, description)->type_name(type);
    };
    const auto list = [&](const char* names, std::vector<std::string>& values, const char* type,
                          const char* description) {
        command.add_option(names, values, description)->type_name(type)->allow_extra_args(false);
    };
    text("-i,--image", flags.image, "IMAGE", "The image its disk is made from")->required();
    text("-c,--cpus", flags.cpus, "N", "Virtual CPUs (default: 1)");
    text("-m,--memory", flags.memory, "SIZE", "Memory, such as 512M or 2G (default: 1G)");
    text("-d,--disk", flags.disk, "SIZE", "Size of its disk (default: the image's)");
    list("--ssh-key", flags.ssh_keys, "FILE",
         "Public key to let in, - for stdin (default: your own in ~/.ssh)");
    command.add_flag("--no-ssh-key", flags.no_ssh_key, "Let no ssh key in");
    text("--user-data", flags.user_data, "FILE", "cloud-init user data, - for stdin (at most 64 KiB)");
    text("--init-script", flags.init_script, "FILE", "Script to run once, on first boot; - for stdin");
    list("--network", flags.networks, nic_type, "A NIC on this network (default: one on user, QEMU's own)");
    list("-p,--publish", flags.publish, "[ADDR:]PORT:PORT[/udp]",
         "Host port that leads to a port of the guest, on user and nat networks");
    list("-l,--label", flags.labels, "KEY=VALUE", "Label to select it by");
    command.add_flag("--no-start", flags.no_start, "Make it, but do not start it");
    command.add_flag("--no-autostart", flags.no_autostart, "Do not start it when the host boots");
    text("--stop-timeout", flags.stop_timeout, "TIME", "How long it gets to power down (default: 90s)");
    text("-w,--wait", flags.wait, "running|agent|ssh|cloud-init",
         "Return when it has reached this (default: running)");
    text("--timeout", flags.timeout, "TIME", "How long --wait waits at most (default: 5m)");
    command.add_flag("--if-not-exists", flags.if_not_exists, "Success, and no change, when it exists");
}

} // namespace

void add_vm_create(CLI::App& parent, Session& session, const std::string& name, bool name_required) {
    const std::string path = command_path(parent) + " " + name;
    const std::string named_example = path + (name_required ? " web" : "");
    CLI::App& command = add_command(
        parent, name, "Create a VM and start it",
        named_example + " --image debian-12\n" +                                                       //
            path + " web --image debian-12 --cpus 2 --memory 2G --disk 20G --wait ssh\n" +             //
            path + " db -i debian-12 --init-script setup.sh --publish 5432:5432 --wait cloud-init\n" + //
            path + " app -i debian-12 --network lan,ip=10.80.0.9 --network pub\n" +                    //
            path + " ci -i debian-12 --if-not-exists --label tier=test --no-autostart\n" +             //
            (name_required ? "cloud-config.sh | " + path + " x -i debian-12 --user-data -"
                           : "name=$(" + path + " -i debian-12 -q)    # a name is made up, and printed"));
    auto flags = std::make_shared<CreateFlags>();
    CLI::Option* positional = command.add_option("NAME", flags->name,
                                                 name_required ? "Its name: a DNS label such as web-1"
                                                               : "Its name (default: made up)");
    positional->required(name_required)->type_name("NEW");
    add_options(command, *flags);
    prints_table<Vm>(session, command, vm_columns());
    command.callback([&session, flags, positional] {
        flags->named = positional->count() > 0;
        create(session, *flags);
    });
}

} // namespace capsul::cli
