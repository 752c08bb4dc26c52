// The NICs of a VM: vm nic add, list, rm.
#include "cli/commands.hpp"
#include "cli/targets.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

constexpr std::array<Column<Nic>, 6> columns{{
    {"slot", [](const Nic& nic) { return std::to_string(nic.slot); }, Shown::always, true},
    {"network", [](const Nic& nic) { return nic.network.to_string(); }},
    {"mac", [](const Nic& nic) { return nic.mac.to_string(); }},
    {"ip", [](const Nic& nic) { return optional_text(nic.ip); }},
    {"ip6", [](const Nic& nic) { return optional_text(nic.ip6); }, Shown::filled},
    {"tap", [](const Nic& nic) { return optional_text(nic.tap); }},
}};

struct NicFlags {
    std::string vm;
    std::string nic; ///< add: as NicSpec has it; rm: the slot
};

std::vector<Nic> nics_of(const Vm& vm) {
    if (!vm.spec) {
        throw Error(ErrorCode::wrong_state, "is broken: " + vm.reason.value_or("its record cannot be used"));
    }
    return vm.spec->nics;
}

/// Tells a person, and prints the NIC where data is wanted; nothing of one that is not known.
void tell(Session& session, const Name& vm, const char* what, const std::vector<Nic>& nics) {
    for (const Nic& nic : nics) {
        session.note(fmt::format("vm {}: {} NIC {}, {}", vm.to_string(), what, nic.slot, nic_text(nic)));
    }
    print_results<Nic>(session, nics, true, columns);
}

void list(Session& session, const NicFlags& flags) {
    const Name name = Name::parse(flags.vm);
    about("vm " + flags.vm, [&] {
        const std::vector<Nic> nics = nics_of(session.client().call(VmShow{name}));
        print_list<Nic>(session.out(), session.output_options(), nics, columns);
        if (nics.empty() && !session.wants_data()) {
            session.note(fmt::format("vm {}: has no NIC", flags.vm));
        }
    });
}

void add(Session& session, const NicFlags& flags) {
    const VmNicAdd call{Name::parse(flags.vm), parse_option<NicSpec>("NETWORK", flags.nic)};
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        const std::vector<Nic> before = nics_of(session.client().call(VmShow{call.name}));
        const Vm vm = session.run(call, subject);
        std::vector<Nic> added = nics_of(vm);
        std::erase_if(added, [&](const Nic& nic) {
            return nic.network != call.nic.network || std::ranges::find(before, nic) != before.end();
        });
        added.resize(std::min<std::size_t>(added.size(), 1)); // more: someone else added one meanwhile
        const bool is_up = vm.state == VmState::running || vm.state == VmState::paused;
        tell(session, call.name, is_up ? "plugged in" : "added", added);
    });
}

void remove(Session& session, const NicFlags& flags) {
    const VmNicRemove call{Name::parse(flags.vm), parse_number("SLOT", flags.nic, 0, 255)};
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        std::vector<Nic> removed = nics_of(session.client().call(VmShow{call.name}));
        std::erase_if(removed, [&](const Nic& nic) { return nic.slot != call.slot; });
        session.run(call, subject);
        tell(session, call.name, "removed", removed);
    });
}

/// The VM that a command is about.
std::shared_ptr<NicFlags> add_vm(CLI::App& command) {
    auto flags = std::make_shared<NicFlags>();
    command.add_option("VM", flags->vm, "The VM")->required()->type_name("VM");
    return flags;
}

void add_list(CLI::App& group, Session& session) {
    CLI::App& command = add_command(group, "list", "List the NICs of a VM",
                                    "capsulctl vm nic list web\n"
                                    "capsulctl vm nic list web --json | jq -r '.[0].mac'");
    auto flags = add_vm(command);
    prints_table<Nic>(session, command, columns);
    command.callback([&session, flags] { list(session, *flags); });
}

void add_add(CLI::App& group, Session& session) {
    CLI::App& command = add_command(group, "add", "Add a NIC to a VM; a running one gets it at once",
                                    "capsulctl vm nic add web lan\n"
                                    "capsulctl vm nic add web lan,ip=10.80.0.9,ip=fd00:80::9\n"
                                    "slot=$(capsulctl vm nic add web pub,mac=02:00:00:00:00:01 -q)");
    auto flags = add_vm(command);
    command.add_option("NETWORK", flags->nic, "The network, and the addresses if they matter")
        ->required()
        ->type_name(nic_type);
    prints_table<Nic>(session, command, columns, true);
    command.callback([&session, flags] { add(session, *flags); });
}

void add_remove(CLI::App& group, Session& session) {
    CLI::App& command = add_command(group, "rm", "Take a NIC away from a VM, from a running one too",
                                    "capsulctl vm nic rm web 1    # SLOT 1 of `capsulctl vm nic list web`");
    auto flags = add_vm(command);
    command.add_option("SLOT", flags->nic, "Its slot")->required()->type_name("N");
    prints_table<Nic>(session, command, columns, true);
    command.callback([&session, flags] { remove(session, *flags); });
}

} // namespace

void add_vm_nic(CLI::App& parent, Session& session) {
    CLI::App& nic = add_command(parent, "nic", "Work with the NICs of a VM, also while it runs",
                                "capsulctl vm nic list web\n"
                                "capsulctl vm nic add web lan,ip=10.80.0.9\n"
                                "capsulctl vm nic rm web 1");
    add_list(nic, session);
    add_add(nic, session);
    add_remove(nic, session);
}

} // namespace capsul::cli
