// What capsulctl can do: one function a noun, or a group of verbs, declares its commands.
#pragma once

#include "cli/command.hpp"

namespace capsul::cli {

void add_vm_commands(CLI::App& program, Session& session);
void add_short_commands(CLI::App& program, Session& session);
void add_image_commands(CLI::App& program, Session& session);
void add_network_commands(CLI::App& program, Session& session);
void add_host_commands(CLI::App& program, Session& session);
void add_operation_commands(CLI::App& program, Session& session);
void add_completion_commands(CLI::App& program, Session& session);
void add_help_command(CLI::App& program, Session& session);

// Those of `vm`, each also as a short form at the top: `name` is what it is called there.
void add_vm_create(CLI::App& parent, Session& session, const std::string& name, bool name_required);
void add_vm_list(CLI::App& parent, Session& session, const std::string& name);
void add_vm_show(CLI::App& parent, Session& session);
void add_vm_ip(CLI::App& parent, Session& session);
void add_vm_unit(CLI::App& parent, Session& session);
void add_vm_command(CLI::App& parent, Session& session);
void add_vm_start(CLI::App& parent, Session& session);
void add_vm_stop(CLI::App& parent, Session& session);
void add_vm_restart(CLI::App& parent, Session& session);
void add_vm_kill(CLI::App& parent, Session& session);
void add_vm_pause(CLI::App& parent, Session& session);
void add_vm_resume(CLI::App& parent, Session& session);
void add_vm_delete(CLI::App& parent, Session& session, const std::string& name);
void add_vm_wait(CLI::App& parent, Session& session);
void add_vm_exec(CLI::App& parent, Session& session);
void add_vm_ssh(CLI::App& parent, Session& session);
void add_vm_console(CLI::App& parent, Session& session);
void add_vm_logs(CLI::App& parent, Session& session);
void add_vm_nic(CLI::App& parent, Session& session);
void add_vm_resize(CLI::App& parent, Session& session);
void add_vm_disk(CLI::App& parent, Session& session);
void add_vm_snapshot(CLI::App& parent, Session& session);
void add_vm_clone(CLI::App& parent, Session& session);
void add_vm_backup(CLI::App& parent, Session& session);
void add_vm_restore(CLI::App& parent, Session& session);

// Those of `image` that have a file of their own.
void add_image_search(CLI::App& parent, Session& session);
void add_image_pull(CLI::App& parent, Session& session);
void add_image_build(CLI::App& parent, Session& session);
void add_image_update(CLI::App& parent, Session& session);
void add_image_export(CLI::App& parent, Session& session);
void add_image_publish(CLI::App& parent, Session& session);
void add_image_tag(CLI::App& parent, Session& session);
void add_image_untag(CLI::App& parent, Session& session);
void add_image_pin(CLI::App& parent, Session& session);
void add_image_unpin(CLI::App& parent, Session& session);
void add_image_df(CLI::App& parent, Session& session);
void add_image_prune(CLI::App& parent, Session& session);

// Those of `network` that have a file of their own.
void add_network_create(CLI::App& parent, Session& session);
void add_network_set(CLI::App& parent, Session& session);
void add_network_check(CLI::App& parent, Session& session);
void add_network_export(CLI::App& parent, Session& session);
void add_network_invite(CLI::App& parent, Session& session);
void add_network_join(CLI::App& parent, Session& session);
void add_network_peer(CLI::App& parent, Session& session);

/// Every command of the program.
void add_all_commands(CLI::App& program, Session& session);

/// Runs the program; the exit code.
int run_program(std::vector<std::string> words);

} // namespace capsul::cli
