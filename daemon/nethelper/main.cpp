// capsul-net: the one program of capsul's with a privilege (cap_net_admin, by its file). See capsul-net(8).
//
// It keeps no state: an interface is whose its alias says, and only with the privilege can an alias be set.
#include "daemon/nethelper/arguments.hpp"
#include "daemon/nethelper/bridges.hpp"
#include "daemon/nethelper/caller.hpp"
#include "daemon/nethelper/die.hpp"
#include "daemon/nethelper/policy_file.hpp"
#include "daemon/nethelper/report.hpp"
#include "daemon/nethelper/sandbox.hpp"
#include "daemon/nethelper/taps.hpp"

#include <unistd.h>

namespace capsul::nethelper {
namespace {

void check_policy(uid_t uid, const char* file) {
    PolicyText text;
    Policy policy;
    if (file == nullptr) {
        read_host_policy(policy, text);
    } else {
        read_draft(file, policy, text);
    }
    for (const Rule& rule : policy) {
        if (rule.uid == uid) {
            print("%.*s\n", static_cast<int>(rule.line.size()), rule.line.data());
        }
    }
}

void change(const Caller& caller, const Arguments& arguments) {
    Links links;
    Sets sets;
    switch (arguments.operation) {
    case Operation::tap_add:
        return add_tap(caller, links, sets, arguments);
    case Operation::trunk_add:
        return add_trunk(caller, links, sets, arguments);
    case Operation::tap_del:
        return remove_tap(caller, links, sets, arguments.name);
    case Operation::bridge_add:
        return add_bridge(caller, links, arguments.name);
    case Operation::bridge_del:
        return remove_bridge(caller, links, sets, arguments.name);
    case Operation::addr_add:
        return add_address(caller, links, arguments);
    case Operation::egress:
        return set_egress(caller, links, sets, arguments);
    case Operation::list:
        return print_links(caller.uid, links, sets);
    case Operation::check_policy:
        return;
    }
}

/// What changes something needs the privilege and the policy.
void change_by_policy(uid_t uid, bool privileged, const Arguments& arguments) {
    if (!privileged) {
        die(Exit::unsafe,
            "there is no cap_net_admin: the file has lost it (setcap cap_net_admin=ep), or the unit that "
            "calls has NoNewPrivileges or a system call filter");
    }
    PolicyText text;
    Policy policy;
    read_host_policy(policy, text);
    const Name* prefix = policy.prefix_of(uid);
    if (prefix == nullptr) {
        die(Exit::refused, "the policy has no lines for user id %u", uid);
    }
    if (!arguments.name.starts_with(*prefix) || arguments.name == *prefix) {
        die(Exit::usage, "your interfaces' names begin with %s and go on", prefix->text.data());
    }
    change({uid, *prefix, policy}, arguments);
}

void run(uid_t uid, bool same_ids, bool privileged, const Arguments& arguments) {
    // Nothing is to be gained by setting the file's setuid bit.
    if (!same_ids) {
        die(Exit::refused, "real and effective user or group differ: the file must not be setuid or setgid");
    }
    if (arguments.operation == Operation::check_policy) {
        check_policy(uid, arguments.file);
    } else if (uid == 0) {
        die(Exit::refused, "this is not for root, who has ip, bridge and nft");
    } else if (arguments.operation == Operation::list) {
        const Policy none;
        change({uid, {}, none}, arguments);
    } else {
        change_by_policy(uid, privileged, arguments);
    }
}

} // namespace
} // namespace capsul::nethelper

int main(int argc, char** argv) {
    using namespace capsul::nethelper;
    const uid_t uid = ::getuid();
    const bool same_ids = ::geteuid() == uid && ::getegid() == ::getgid();
    const bool privileged = enter_sandbox();
    Arguments arguments;
    const auto count = static_cast<std::size_t>(argc > 0 ? argc - 1 : 0);
    if (const char* problem = parse_arguments({argv + (argc > 0 ? 1 : 0), count}, arguments)) {
        die(Exit::usage, "%s", problem);
    }
    run(uid, same_ids, privileged, arguments);
    return 0;
}
