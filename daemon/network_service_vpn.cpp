// The calls about VPNs between hosts: joining, other hosts, what they tell.
#include "daemon/ipam.hpp"
#include "daemon/network_service.hpp"
#include "daemon/port.hpp"
#include "daemon/tinc_config.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul {
namespace {

NodeName node_of_host() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? NodeName::of_host(name.data())
                                                            : NodeName::of_host("host");
}

/// Whether tincd could listen there, on every address of the host.
int try_port(std::uint16_t port) {
    for (const char* form :
         {"0.0.0.0:{0}:{0}/tcp", "0.0.0.0:{0}:{0}/udp", "[::]:{0}:{0}/tcp", "[::]:{0}:{0}/udp"}) {
        const int error = try_bind(PublishedPort::parse(fmt::format(fmt::runtime(form), port)));
        if (error != 0 && error != EAFNOSUPPORT) {
            return error;
        }
    }
    return 0;
}

/// Also of networks whose records cannot be read: tincd has its port from a file of its own.
std::set<std::uint16_t> promised_ports(const fs::path& networks) {
    std::set<std::uint16_t> ports;
    std::error_code none;
    for (const auto& network : fs::directory_iterator(networks, none)) {
        try {
            if (const auto port = tinc_port(read_file(network.path() / "tinc/tinc.conf"))) {
                ports.insert(*port);
            }
        } catch (const Error&) {
            // No VPN.
        }
    }
    return ports;
}

void require_port(std::uint16_t port, const std::set<std::uint16_t>& promised) {
    if (promised.contains(port)) {
        throw Error(ErrorCode::in_use, fmt::format("port: {} is another network's", port),
                    "leave --port out: capsul chooses one");
    }
    if (const int error = try_port(port); error == EACCES) {
        throw Error(ErrorCode::denied, fmt::format("port: {} may be opened by root only", port),
                    "choose a higher one");
    } else if (error != 0) {
        throw Error(ErrorCode::in_use, fmt::format("port: {} is taken by another program", port),
                    fmt::format("`ss -tulnp 'sport = :{}'` shows which", port));
    }
}

std::uint16_t free_port(const VpnConfig& config, const std::set<std::uint16_t>& promised) {
    for (int number = config.port_first; number <= config.port_last; ++number) {
        const auto port = static_cast<std::uint16_t>(number);
        if (!promised.contains(port) && try_port(port) == 0) {
            return port;
        }
    }
    throw Error(ErrorCode::in_use,
                fmt::format("every port from {} to {} is taken", config.port_first, config.port_last),
                "widen vpn.port_first and vpn.port_last in capsuld.toml");
}

void require_new_node(const NetworkRecord& network, const VpnBook& book, const NodeName& node) {
    const bool taken = node == network.vpn->node || std::ranges::any_of(book.peers, [&](const auto& peer) {
                           return peer.node.name == node;
                       });
    if (taken) {
        throw Error(
            ErrorCode::in_use,
            about_network(network.name, fmt::format("a host named {} is in it already", node.to_string())),
            fmt::format("if it is that host, made anew: `capsulctl network peer rm {} {}` first; else choose "
                        "another name, with --node where it joins",
                        network.name.to_string(), node.to_string()));
    }
}

/// The one that is named with the address, for a host behind a forwarded port; else a free one.
std::uint16_t invitation_port(const NetworkInvite& call, const VpnConfig& config,
                              const std::set<std::uint16_t>& promised) {
    const std::uint16_t wanted = call.address ? call.address->port() : std::uint16_t{0};
    if (wanted != 0) {
        require_port(wanted, promised);
        return wanted;
    }
    return free_port(config, promised);
}

} // namespace

VpnHost NetworkService::vpn_host(const VpnWishes& wishes) {
    const auto promised = promised_ports(paths_.networks());
    if (wishes.port) {
        require_port(*wishes.port, promised);
    }
    return {node_of_host(), wishes.port ? *wishes.port : free_port(config_, promised)};
}

NetworkRecord NetworkService::usable_vpn(const Name& name) const {
    NetworkRecord network = usable(name);
    if (!network.vpn) {
        throw Error(ErrorCode::wrong_state,
                    about_network(
                        name, fmt::format("is of type {}, and has no other hosts", to_string(network.type))),
                    "`capsulctl network create NAME --type vpn` makes one that spans hosts");
    }
    return network;
}

NetworkRecord NetworkService::running_vpn(const Name& name) const {
    NetworkRecord network = usable_vpn(name);
    if (systemd_.status(vpn_unit_name(name)).active_state != "active") {
        throw Error(ErrorCode::wrong_state, about_network(name, "does not run"),
                    fmt::format("`capsulctl network start {}` first", name.to_string()));
    }
    return network;
}

/// With what others have told so far, and without the slice of an invitation that is over.
NetworkRecord NetworkService::settled_vpn(const Name& name) {
    take_in(name);
    NetworkRecord network = usable_vpn(name);
    if (network.vpn->invited && !vpn_.is_inviting(name)) {
        network.vpn->invited.reset();
        store_.networks.save(network);
    }
    return network;
}

NetworkRecord NetworkService::plan_join(const NetworkJoin& call) {
    call.bundle.check();
    require_free(call.name.value_or(call.bundle.network));
    require_vpn_programs();
    for (const NetworkRecord& network : known_networks(store_)) {
        if (network.vpn && network.vpn->id == call.bundle.id) {
            throw Error(ErrorCode::exists, about_network(network.name, "this host is in that VPN already"),
                        fmt::format("`capsulctl network show {}`", network.name.to_string()));
        }
    }
    NetworkRecord network = joined_vpn(call, vpn_host(call.vpn), read_net_grants(helper()),
                                       {taken_interfaces(), taken_subnets(store_)});
    check_addressing(network);
    return network;
}

Operation NetworkService::join(const NetworkJoin& call) {
    const Name name = plan_join(call).name; // what is wrong is told at once
    return submit("network.join", name, [this, call](Progress& progress) {
        return make(plan_join(call), {call.bundle.nodes, call.bundle.revoked}, call.start, progress);
    });
}

/// A host that asks again gets the slice that was kept for it.
Operation NetworkService::export_vpn(const NetworkExport& call) {
    static_cast<void>(usable_vpn(call.name));
    return submit("network.export", call.name, [this, call](Progress&) {
        NetworkRecord network = settled_vpn(call.name);
        VpnBundle bundle = vpn_.bundle(network);
        if (!call.node) {
            return bundle;
        }
        std::vector<KeptSlice>& kept = network.vpn->kept;
        auto found = std::ranges::find(kept, *call.node, &KeptSlice::node);
        if (found == kept.end()) {
            const VpnBook book = vpn_.book(network);
            require_new_node(network, book, *call.node);
            found = kept.insert(kept.end(), {*call.node, free_slice(network, book)});
            store_.networks.save(network);
        }
        bundle.slice = found->slice;
        return bundle;
    });
}

/// What changes is saved before tincd is told, and tincd before other hosts are. tincd closes the connection
/// of a host whose file has gone at once; frames of it that come through another member end when that one has
/// heard.
void NetworkService::save_book(NetworkRecord network, const VpnBook& book) {
    network.vpn->revoked = book.revoked;
    std::erase_if(network.vpn->kept, [&](const KeptSlice& kept) {
        return std::ranges::any_of(book.peers, [&](const auto& peer) {
            return peer.node.name == kept.node || peer.node.slice.overlaps(kept.slice);
        });
    });
    const auto has_invited = [&](const VpnStatement& peer) {
        return peer.node.slice == network.vpn->invited;
    };
    if (std::ranges::any_of(book.peers, has_invited)) {
        network.vpn->invited.reset();
    }
    store_.networks.save(network);
    vpn_.save_book(network, book);
    power_.write_files(network);
    vpn_.tell(network.name);
}

Operation NetworkService::add_peer(const NetworkPeerAdd& call) {
    const NetworkRecord now = usable_vpn(call.name);
    call.bundle.check();
    static_cast<void>(merged(now, vpn_.book(now), call.bundle, Speaker::introduced));
    return submit("network.peer-add", call.name, [this, call](Progress&) {
        const NetworkRecord network = usable_vpn(call.name);
        const VpnBook before = vpn_.book(network);
        const VpnBook book = merged(network, before, call.bundle, Speaker::introduced);
        if (book != before) {
            save_book(network, book);
            events_.add("network.changed", call.name.to_string());
        }
        return show(call.name);
    });
}

Operation NetworkService::remove_peer(const NetworkPeerRemove& call) {
    static_cast<void>(usable_vpn(call.name));
    return submit("network.peer-remove", call.name, [this, call](Progress&) {
        NetworkRecord network = usable_vpn(call.name);
        if (std::erase_if(network.vpn->kept, [&](const auto& kept) { return kept.node == call.node; }) > 0) {
            store_.networks.save(network); // it has not joined yet
            return show(call.name);
        }
        save_book(network, without_peer(network, vpn_.book(network), call.node));
        events_.add("network.changed", call.name.to_string());
        return show(call.name);
    });
}

/// The other host looks for this one at those addresses, but at the port of the invitation.
std::vector<VpnAddress> NetworkService::invitation_addresses(const NetworkInvite& call,
                                                             std::uint16_t port) const {
    const NetworkRecord network = usable_vpn(call.name);
    std::vector<VpnAddress> addresses;
    if (call.address) {
        addresses.push_back(call.address->with_default(port));
    } else {
        for (const VpnAddress& address : network.vpn->addresses) {
            addresses.push_back(address.with_port(port));
        }
    }
    if (addresses.empty()) {
        throw Error(ErrorCode::invalid,
                    about_network(call.name, "the other host has to be told where this one is reached"),
                    "give --address; for all that follow too: `capsulctl network set --address`");
    }
    return addresses;
}

Operation NetworkService::invite(const NetworkInvite& call) {
    constexpr Duration hour{std::chrono::hours(1)};
    constexpr Duration least{std::chrono::minutes(1)};
    constexpr Duration most{std::chrono::hours(24 * 7)};
    const Duration lasts = call.expires.value_or(hour);
    if (lasts < least || lasts > most) {
        throw Error(ErrorCode::invalid,
                    fmt::format("expires: {} is not between a minute and a week", lasts.to_string()));
    }
    static_cast<void>(invitation_addresses(call, 1));
    return submit("network.invite", call.name, [this, call, lasts](Progress&) {
        static_cast<void>(running_vpn(call.name));
        vpn_.end_invitation(call.name); // its port and its slice are for this one
        NetworkRecord network = settled_vpn(call.name);
        network.vpn->invited = free_slice(network, vpn_.book(network));
        store_.networks.save(network);
        const std::uint16_t port = invitation_port(call, config_, promised_ports(paths_.networks()));
        const Timestamp expires(Timestamp::now().value() +
                                std::chrono::duration_cast<std::chrono::seconds>(lasts.value()));
        const Invitation invitation{JoinSecret::generate(), port, expires, *network.vpn->invited};
        vpn_.invite(network, invitation);
        const JoinCode code{call.name, invitation_addresses(call, port), invitation.secret,
                            network.vpn->identity, expires};
        return InviteResult{code.to_string(), expires};
    });
}

Operation NetworkService::sync(const NetworkPeerSync& call) {
    static_cast<void>(usable_vpn(call.name));
    return submit("network.sync", call.name, [this, call](Progress&) {
        take_in(call.name);
        vpn_.tell(call.name);
        return show(call.name);
    });
}

/// Beside all else: it changes nothing, and takes long.
Operation NetworkService::check(const NetworkCheck& call) {
    static_cast<void>(running_vpn(call.name));
    const std::string name = call.name.to_string();
    return operations_.submit("network.check", name, "check/" + name,
                              [this, call](Progress&) { return encode(vpn_.check(running_vpn(call.name))); });
}

/// And takes in what has come while nobody listened.
void NetworkService::listen_to_inboxes() {
    for (const NetworkRecord& network : known_networks(store_)) {
        if (network.vpn) {
            vpn_.open_inbox(network.name);
            take_in_soon(network.name);
        }
    }
}

/// However much a host tells, others are told of it once in a while only.
void NetworkService::hear() {
    constexpr std::chrono::seconds pause{1};
    listen_to_inboxes();
    for (bool goes_on = true; goes_on; goes_on = vpn_.inboxes().rest(pause)) {
        const auto folders = vpn_.inboxes().wait();
        if (folders.empty()) {
            return;
        }
        for (const fs::path& inbox : folders) {
            take_in_soon(Name::parse(inbox.parent_path().parent_path().filename().string()));
        }
    }
}

/// Its operations are never more than one that waits: a host that tells much is in nobody's way.
void NetworkService::take_in_soon(const Name& name) {
    const auto is_about_to = [this, name](bool waits) {
        const std::lock_guard lock(hearing_mutex_);
        return waits ? to_take_in_.insert(name).second : to_take_in_.erase(name) > 0;
    };
    if (!is_about_to(true)) {
        return;
    }
    try {
        submit("network.sync", name, [this, name, is_about_to](Progress&) {
            static_cast<void>(is_about_to(false));
            take_in(name);
            return show(name);
        });
    } catch (const Error&) {
        static_cast<void>(is_about_to(false));
        // There is too much to do: whoever has told something tells it again.
    }
}

void NetworkService::take_in(const Name& name) {
    const NetworkRecord network = usable_vpn(name);
    const VpnBook before = vpn_.book(network);
    VpnBook book = before;
    const auto all = vpn_.heard(name);
    for (const NetworkVpn::Heard& heard : all) {
        try {
            book = merged(network, book, heard.bundle, Speaker::member);
        } catch (const Error&) {
            // Of another VPN, by a mistake of its sender's.
        }
    }
    if (book != before) {
        save_book(network, book);
        events_.add("network.changed", name.to_string());
    }
    for (const NetworkVpn::Heard& heard : all) {
        remove_whole(heard.file);
    }
}

/// The host's address on the bridge can only come with a bridge that is made anew.
void NetworkService::change_slice(NetworkRecord& network, const Cidr& slice) {
    if (slice == network.vpn->slice) {
        return;
    }
    if (!vpn_.is_inviting(network.name)) {
        network.vpn->invited.reset();
    }
    check_slice(network, vpn_.book(network), slice);
    if (!is_stopped(systemd_.status(network_unit_name(network.name)).active_state)) {
        throw Error(ErrorCode::wrong_state,
                    about_network(network.name, "its slice cannot be changed while it runs"),
                    fmt::format("`capsulctl network stop {}` first", network.name.to_string()));
    }
    for (const auto& [vm, nic] : plugged_nics(store_)) {
        if (nic.network == network.name && nic.ip && !slice.contains(*nic.ip)) {
            throw Error(ErrorCode::in_use,
                        about_network(network.name,
                                      fmt::format("the VM {} has {}, which is not in {}", vm.to_string(),
                                                  nic.ip->to_string(), slice.to_string())),
                        "take its NIC away with `capsulctl vm nic rm`, and add it again after");
        }
    }
    set_slice(network, slice);
}

} // namespace capsul
