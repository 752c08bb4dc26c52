// The NICs of a VM: vm nic add, list, rm.
#include "cli/commands.hpp"
#include "cli/nic_view.hpp"
#include "cli/targets.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct NicFlags {
    std::string vm;
    std::string nic; ///< add: as NicSpec has it; rm: the slot
};

std::vector<NicView> nics_of(const Vm& vm) {
    if (!vm.spec) {
        throw Error(ErrorCode::wrong_state, "is broken: " + vm.reason.value_or("its record cannot be used"));
    }
    return nic_views(vm);
}

void list(Session& session, const NicFlags& flags) {
    const Name name = Name::parse(flags.vm);
    about("vm " + flags.vm, [&] {
        const std::vector<NicView> nics = nics_of(session.client().call(VmShow{name}));
        print_list<NicView>(session.out(), session.output_options(), nics, nic_columns());
        if (nics.empty() && !session.wants_data()) {
            session.note(fmt::format("vm {}: has no NIC", flags.vm));
        }
    });
}

/// The NIC that was added; the answer has them all. Nothing when it is gone again.
std::optional<NicView> new_nic(const std::vector<NicView>& before, const std::vector<NicView>& now,
                               const Name& network) {
    const auto found = std::ranges::find_if(now, [&](const NicView& nic) {
        return nic.network == network && std::ranges::find(before, nic.mac, &NicView::mac) == before.end();
    });
    return found == now.end() ? std::nullopt : std::optional(*found);
}

void add(Session& session, const NicFlags& flags) {
    const VmNicAdd call{Name::parse(flags.vm), parse_option<NicSpec>("NETWORK", flags.nic)};
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        const std::vector<NicView> before = nics_of(session.client().call(VmShow{call.name}));
        const Vm vm = session.run(call, subject);
        if (const auto nic = new_nic(before, nics_of(vm), call.nic.network)) {
            const bool is_up = vm.state == VmState::running || vm.state == VmState::paused;
            session.note(fmt::format("{}: NIC {} {}", subject, nic->slot, is_up ? "plugged in" : "added"));
            print_made<NicView>(session.out(), session.output_options(), *nic, nic_columns());
        }
    });
}

void remove(Session& session, const NicFlags& flags) {
    const VmNicRemove call{Name::parse(flags.vm), parse_number("SLOT", flags.nic, 0, 255)};
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        std::vector<NicView> nics = nics_of(session.client().call(VmShow{call.name}));
        std::erase_if(nics, [&](const NicView& nic) { return nic.slot != call.slot; });
        session.run(call, subject);
        session.note(fmt::format("{}: NIC {} removed", subject, call.slot));
        print_results<NicView>(session, nics, true, nic_columns());
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
    prints_table<NicView>(session, command, nic_columns());
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
    prints_table<NicView>(session, command, nic_columns());
    command.callback([&session, flags] { add(session, *flags); });
}

void add_remove(CLI::App& group, Session& session) {
    CLI::App& command = add_command(group, "rm", "Take a NIC away from a VM, from a running one too",
                                    "capsulctl vm nic rm web 1    # SLOT 1 of `capsulctl vm nic list web`");
    command.alias("delete");
    auto flags = add_vm(command);
    command.add_option("SLOT", flags->nic, "Its slot")->required()->type_name("N");
    prints_table<NicView>(session, command, nic_columns(), true);
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
