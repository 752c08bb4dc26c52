// resize: more disk at once, other CPUs and memory from the next start on.
#include "cli/commands.hpp"
#include "cli/disk_view.hpp"
#include "cli/targets.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm_disks.hpp"

#include <array>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct ResizeFlags {
    std::string vm;
    std::string disk;
    std::string cpus;
    std::string memory;
};

std::string guest_disk_text(const Resized& result) {
    return optional_text(result.guest_disk);
}

constexpr std::array<Column<Resized>, 6> resize_table{{
    {"name", [](const Resized& result) { return result.vm.name.to_string(); }},
    {"cpus",
     [](const Resized& result) {
         return result.vm.spec ? std::to_string(result.vm.spec->cpus.number()) : std::string();
     },
     Shown::always, true},
    {"memory",
     [](const Resized& result) {
         return result.vm.spec ? result.vm.spec->memory.to_string() : std::string();
     },
     Shown::always, true},
    {"disk",
     [](const Resized& result) { return result.vm.spec ? result.vm.spec->disk.to_string() : std::string(); },
     Shown::always, true},
    {"guest-disk", guest_disk_text, Shown::always, true},
    {"at-next-start", [](const Resized& result) { return std::string(result.at_next_start ? "yes" : "no"); }},
}};

VmResize call_of(const ResizeFlags& flags) {
    VmResize call;
    call.name = Name::parse(flags.vm);
    call.disk = parse_given<NewSize>("--disk", flags.disk);
    call.memory = parse_given<Bytes>("--memory", flags.memory);
    if (!flags.cpus.empty()) {
        call.cpus = CpuCount::from_number(parse_number("--cpus", flags.cpus, 1, 255));
    }
    if (!call.disk && !call.memory && !call.cpus) {
        throw Error(ErrorCode::invalid, "vm resize: nothing is to change", "give --disk, --cpus or --memory");
    }
    return call;
}

/// "disk 20G -> 30G"; nothing when it is as it was.
std::string change(const char* what, const std::string& before, const std::string& now) {
    return before == now ? std::string() : fmt::format("{} {} -> {}", what, before, now);
}

void tell_changes(Session& session, const VmRecord& before, const Resized& result) {
    const VmRecord& now = spec_of(result.vm);
    const std::string subject = "vm " + now.name.to_string();
    const std::string disk = change("disk", before.disk.to_string(), now.disk.to_string());
    const std::string others = joined(
        std::array{change("cpus", std::to_string(before.cpus.number()), std::to_string(now.cpus.number())),
                   change("memory", before.memory.to_string(), now.memory.to_string())},
        [](const std::string& text) { return text; });
    if (disk.empty() && others.empty()) {
        session.note(subject + ": is that size already");
    }
    if (!disk.empty()) {
        session.note(fmt::format(
            "{}: {}{}; file systems on it grow when the guest boots next (cloud-init), or "
            "by hand: growpart, resize2fs",
            subject, disk,
            result.guest_disk ? ", and the guest sees a disk of " + result.guest_disk->to_string() : ""));
    }
    if (!others.empty()) {
        session.note(fmt::format("{}: {}{}", subject, others,
                                 result.at_next_start
                                     ? fmt::format("; takes effect at the next start: `capsulctl restart {}`",
                                                   now.name.to_string())
                                     : ""));
    }
}

void resize(Session& session, const ResizeFlags& flags) {
    const VmResize call = call_of(flags);
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        const Vm before = session.client().call(VmShow{call.name});
        const Resized result = session.run(call, subject);
        tell_changes(session, spec_of(before), result);
        print_results<Resized>(session, {result}, true, resize_table);
    });
}

} // namespace

void add_vm_resize(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "resize",
                    "Give a VM a larger disk, at once, or other CPUs and memory, from its next start on",
                    "capsulctl vm resize web --disk +10G\n"
                    "capsulctl vm resize web --disk 40G --cpus 4 --memory 8G && capsulctl restart web");
    auto flags = std::make_shared<ResizeFlags>();
    command.add_option("VM", flags->vm, "The VM")->required()->type_name("VM");
    add_text(command, "-d,--disk", flags->disk, "SIZE",
             "The size of its first disk, or with +, so much more");
    add_text(command, "-c,--cpus", flags->cpus, "N", "Virtual CPUs, from the next start on");
    add_text(command, "-m,--memory", flags->memory, "SIZE", "Memory, from the next start on");
    prints_table<Resized>(session, command, resize_table, true);
    command.callback([&session, flags] { resize(session, *flags); });
}

} // namespace capsul::cli
