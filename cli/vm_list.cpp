// The commands that look at VMs: list, show, unit, command.
#include "cli/commands.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fnmatch.h>
#include <memory>
#include <set>

namespace capsul::cli {
namespace {

struct ListFlags {
    std::vector<std::string> filters;
    std::vector<std::string> labels;
};

/// What `vm list` is narrowed to: what the daemon can do is in `call`.
struct Selection {
    VmList call;
    std::vector<std::string> images;
    std::vector<std::string> names; ///< shell patterns
};

bool matches_any(const std::vector<std::string>& patterns, const std::string& text) {
    return patterns.empty() || std::ranges::any_of(patterns, [&](const std::string& pattern) {
               return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
           });
}

void add_filter(Selection& selection, const std::string& filter) {
    const auto equals = filter.find('=');
    const std::string key = filter.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : filter.substr(equals + 1);
    if (key == "state" && !value.empty()) {
        selection.call.state.push_back(parse_option<VmState>("--filter state", value));
    } else if (key == "label" && !value.empty()) {
        selection.call.label.push_back(value);
    } else if (key == "image" && !value.empty()) {
        selection.images.push_back(value);
    } else if (key == "name" && !value.empty()) {
        selection.names.push_back(value);
    } else {
        throw Error(ErrorCode::invalid,
                    fmt::format("--filter: '{}' is not KEY=VALUE with a known key", filter),
                    "keys are state, label, image, name (image and name may be patterns: name='web-*')");
    }
}

/// The VMs that were made from images whose name, or alias, fits one of the patterns.
std::set<Name> made_from(Session& session, const std::vector<std::string>& patterns) {
    std::set<Name> vms;
    for (const Image& image : session.client().call(ImageList{})) {
        const auto fits = [&](const Name& name) { return matches_any(patterns, name.to_string()); };
        if (fits(image.name) || std::ranges::any_of(image.aliases, fits)) {
            vms.insert(image.vms.begin(), image.vms.end());
        }
    }
    return vms;
}

/// Takes out those that were neither made from one of the images nor asked for by such a name.
void keep_made_from(Session& session, std::vector<Vm>& vms, const std::vector<std::string>& patterns) {
    if (patterns.empty()) {
        return;
    }
    const std::set<Name> made = made_from(session, patterns);
    std::erase_if(vms, [&](const Vm& vm) {
        return !made.contains(vm.name) && !matches_any(patterns, vm.spec ? vm.spec->image.to_string() : "");
    });
}

void list_vms(Session& session, const ListFlags& flags) {
    Selection selection{.call = {.label = flags.labels, .state = {}}, .images = {}, .names = {}};
    for (const std::string& filter : flags.filters) {
        add_filter(selection, filter);
    }
    std::vector<Vm> vms = session.client().call(selection.call);
    std::erase_if(vms, [&](const Vm& vm) { return !matches_any(selection.names, vm.name.to_string()); });
    keep_made_from(session, vms, selection.images);
    print_vms(session, vms);
    if (vms.empty() && !session.wants_data() && flags.filters.empty() && flags.labels.empty()) {
        session.note("no VMs yet: make one with `capsulctl launch --image IMAGE`");
    }
}

/// Runs `look` with the name of the VM, which an Error then names.
template <class Look>
void look_at(const std::string& word, const Look& look) {
    const Name name = Name::parse(word);
    about("vm " + word, [&] { look(name); });
}

/// A command about one VM.
template <class Look>
CLI::App& add_look(CLI::App& parent, const char* verb, const char* description, const char* examples,
                   Look look) {
    CLI::App& command = add_command(parent, verb, description, examples);
    auto name = std::make_shared<std::string>();
    command.add_option("NAME", *name, "The VM")->required()->type_name("VM");
    command.callback([name, look] { look_at(*name, look); });
    return command;
}

void show_unit(Session& session, const Name& name) {
    const UnitView view = session.client().call(VmUnit{name});
    const OutputOptions options = session.output_options();
    if (session.wants_json()) {
        session.out().write(render_object(encode(view), options));
        return;
    }
    if (options.format == Format::name) {
        session.out().write(for_output(view.unit, options) + '\n');
        return;
    }
    session.out().write(for_output(view.text, options));
    if (view.need_daemon_reload) {
        session.note("systemd has not read the newest text of this unit: `systemctl --user daemon-reload`");
    }
}

/// A word as a shell reads it back.
std::string shell_quoted(const std::string& word) {
    constexpr std::string_view plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
        return word;
    }
    std::string quoted = "'";
    for (const char c : word) {
        quoted += c == '\'' ? "'\\''" : std::string(1, c);
    }
    return quoted + "'";
}

void show_command(Session& session, const Name& name) {
    const CommandView view = session.client().call(VmCommand{name});
    const OutputOptions options = session.output_options();
    if (session.wants_json()) {
        session.out().write(render_object(encode(view.argv), options));
        return;
    }
    std::string line;
    for (const std::string& word : view.argv) {
        // One option a line: what one reads, and pastes, is then both possible.
        const char* separator = word.starts_with('-') ? " \\\n    " : " ";
        line += (line.empty() ? "" : separator) + shell_quoted(word);
    }
    session.out().write(for_output(line, options) + '\n');
}

} // namespace

void add_vm_list(CLI::App& parent, Session& session, const std::string& name) {
    CLI::App& command = add_command(parent, name, "List VMs",
                                    "capsulctl vm list\n"
                                    "capsulctl vm list --filter state=running --label tier=web\n"
                                    "capsulctl vm list -q --filter 'name=test-*'    # names only\n"
                                    "capsulctl vm list -o csv --columns name,state,ssh\n"
                                    "capsulctl vm list --json | jq -r '.[] | select(.enabled) | .name'");
    auto flags = std::make_shared<ListFlags>();
    command.add_option("--filter", flags->filters, "Only those that match: state=, label=, image=, name=")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    command.add_option("-l,--label", flags->labels, "Only those with this label, KEY or KEY=VALUE")
        ->type_name("LABEL")
        ->allow_extra_args(false);
    prints_table<Vm>(session, command, vm_columns());
    command.callback([&session, flags] { list_vms(session, *flags); });
}

void add_vm_show(CLI::App& parent, Session& session) {
    const CLI::App& command =
        add_look(parent, "show", "Show all that is known of a VM",
                 "capsulctl vm show web\n"
                 "capsulctl vm show web --json | jq .spec.ssh_port",
                 [&session](const Name& name) { print_vm(session, session.client().call(VmShow{name})); });
    prints_table<Vm>(session, command, vm_columns());
}

void add_vm_unit(CLI::App& parent, Session& session) {
    add_look(parent, "unit", "Show the systemd unit of a VM, drop-ins included",
             "capsulctl vm unit web\n"
             "systemctl --user status \"$(capsulctl vm unit web -q)\"",
             [&session](const Name& name) { show_unit(session, name); });
}

void add_vm_command(CLI::App& parent, Session& session) {
    add_look(parent, "command", "Show the full QEMU command line of a VM",
             "capsulctl vm command web\n"
             "capsulctl vm command web --json    # the argument list",
             [&session](const Name& name) { show_command(session, name); });
}

} // namespace capsul::cli
