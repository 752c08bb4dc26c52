// The commands of VMs, as `capsulctl vm …` and, for the daily ones, at the top.
#include "cli/commands.hpp"

namespace capsul::cli {

void add_vm_commands(CLI::App& program, Session& session) {
    CLI::App& vm = add_command(program, "vm", "Work with virtual machines",
                               "capsulctl vm create web --image debian-12 --wait ssh\n"
                               "capsulctl vm list\n"
                               "capsulctl vm stop web");
    add_vm_create(vm, session, "create", true);
    add_vm_list(vm, session, "list");
    add_vm_show(vm, session);
    add_vm_start(vm, session);
    add_vm_stop(vm, session);
    add_vm_restart(vm, session);
    add_vm_kill(vm, session);
    add_vm_pause(vm, session);
    add_vm_resume(vm, session);
    add_vm_delete(vm, session, "delete");
    add_vm_wait(vm, session);
    add_vm_ssh(vm, session);
    add_vm_exec(vm, session);
    add_vm_console(vm, session);
    add_vm_logs(vm, session);
    add_vm_ip(vm, session);
    add_vm_nic(vm, session);
    add_vm_disk(vm, session);
    add_vm_resize(vm, session);
    add_vm_snapshot(vm, session);
    add_vm_clone(vm, session);
    add_vm_backup(vm, session);
    add_vm_restore(vm, session);
    add_vm_unit(vm, session);
    add_vm_command(vm, session);
}

void add_short_commands(CLI::App& program, Session& session) {
    add_vm_create(program, session, "launch", false);
    add_vm_list(program, session, "ls");
    add_vm_start(program, session);
    add_vm_stop(program, session);
    add_vm_restart(program, session);
    add_vm_ssh(program, session);
    add_vm_console(program, session);
    add_vm_logs(program, session);
    add_vm_exec(program, session);
    add_vm_delete(program, session, "rm");
    for (const char* name :
         {"launch", "ls", "start", "stop", "restart", "ssh", "console", "logs", "exec", "rm"}) {
        program.get_subcommand(name)->group("Short forms of `vm` commands");
    }
}

} // namespace capsul::cli
