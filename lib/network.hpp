// Networks: what a VM's NICs plug into; the record, what is shown of one, and the calls.
#pragma once

#include "lib/cidr.hpp"
#include "lib/interface_name.hpp"
#include "lib/mac.hpp"
#include "lib/name.hpp"
#include "lib/route.hpp"
#include "lib/size.hpp"
#include "lib/vpn.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// `bridge`: an administrator's bridge, for addresses of the network that the host itself is in. `nat`: a
/// bridge and a subnet of capsul's own, behind the host's address. `vpn`: a bridge of capsul's own, joined to
/// those of other hosts by tinc. QEMU's own user-mode network has no record: its name is `user`, and it needs
/// no privilege.
enum class NetworkType { bridge, nat, vpn };
template <>
struct EnumWords<NetworkType> {
    static constexpr std::array<std::pair<NetworkType, std::string_view>, 3> words{
        {{NetworkType::bridge, "bridge"}, {NetworkType::nat, "nat"}, {NetworkType::vpn, "vpn"}}};
};

enum class NetworkState { stopped, starting, running, stopping, failed, broken };
template <>
struct EnumWords<NetworkState> {
    static constexpr std::array<std::pair<NetworkState, std::string_view>, 6> words{
        {{NetworkState::stopped, "stopped"},
         {NetworkState::starting, "starting"},
         {NetworkState::running, "running"},
         {NetworkState::stopping, "stopping"},
         {NetworkState::failed, "failed"},
         {NetworkState::broken, "broken"}}};
};

/// A place outside that guests may reach: "192.0.2.0/24", "192.0.2.7:443/tcp",
/// "[2001:db8::/32]:8000-8099/udp".
class EgressRule {
  public:
    EgressRule() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static EgressRule parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] const Cidr& destination() const noexcept { return destination_; }
    /// "tcp" or "udp"; empty: every protocol and port.
    [[nodiscard]] const std::string& protocol() const noexcept { return protocol_; }
    [[nodiscard]] std::uint16_t first_port() const noexcept { return first_port_; }
    [[nodiscard]] std::uint16_t last_port() const noexcept { return last_port_; }
    auto operator<=>(const EgressRule&) const = default;

  private:
    Cidr destination_;
    std::string protocol_;
    std::uint16_t first_port_ = 0;
    std::uint16_t last_port_ = 0;
};

/// What a nat network's guests may reach beyond their own network: "full", "none", "dns-icmp" (names and
/// pings only), or a list of rules with commas between them.
class Egress {
  public:
    enum class Kind { full, none, dns_icmp, list };
    Egress() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static Egress parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    [[nodiscard]] const std::vector<EgressRule>& rules() const noexcept { return rules_; }
    auto operator<=>(const Egress&) const = default;

  private:
    Kind kind_ = Kind::full;
    std::vector<EgressRule> rules_;
};

/// An address kept for a VM, whether or not that VM exists yet.
struct Reservation {
    IpAddress ip;
    Name vm;
    static constexpr auto fields() {
        return field_list(required("ip", &Reservation::ip), required("vm", &Reservation::vm));
    }
    auto operator<=>(const Reservation&) const = default;
};

/// The record of a network: network.toml. Which addresses are taken is said by the records of the VMs.
struct NetworkRecord {
    int format = 1;
    Name name;
    NetworkType type = NetworkType::nat;
    Timestamp created;
    InterfaceName bridge; ///< nat, vpn: made by capsul
    std::optional<Cidr> subnet;
    std::optional<Cidr> subnet6;
    std::optional<IpAddress> gateway; ///< nat: the bridge's own address
    std::optional<IpAddress> gateway6;
    std::optional<IpRange> range; ///< what VMs get addresses from; every host of the subnet when absent
    std::optional<IpRange> range6;
    std::vector<IpAddress> dns; ///< of the guests; the host's own servers when empty
    bool isolate = false;       ///< VMs of this network do not reach each other
    Egress egress;              ///< nat only
    bool autostart = true;      ///< whether `start` also enables the unit
    bool dhcp = false;          ///< nat, vpn: addresses are told by DHCP and router advertisements too
    /// By which DHCP is on the bridge; chosen when it is first switched on.
    std::optional<InterfaceName> dhcp_tap;
    std::vector<Reservation> reservations;
    std::optional<VpnRecord> vpn; ///< vpn only, and always there

    static constexpr auto fields() {
        return field_list(
            required("format", &NetworkRecord::format), required("name", &NetworkRecord::name),
            required("type", &NetworkRecord::type), required("created", &NetworkRecord::created),
            required("bridge", &NetworkRecord::bridge), optional("subnet", &NetworkRecord::subnet),
            optional("subnet6", &NetworkRecord::subnet6), optional("gateway", &NetworkRecord::gateway),
            optional("gateway6", &NetworkRecord::gateway6), optional("range", &NetworkRecord::range),
            optional("range6", &NetworkRecord::range6), optional("dns", &NetworkRecord::dns),
            optional("isolate", &NetworkRecord::isolate), optional("egress", &NetworkRecord::egress),
            optional("autostart", &NetworkRecord::autostart), optional("dhcp", &NetworkRecord::dhcp),
            optional("dhcp_tap", &NetworkRecord::dhcp_tap),
            optional("reservations", &NetworkRecord::reservations), optional("vpn", &NetworkRecord::vpn));
    }
};

/// What an interface has carried.
struct LinkCounters {
    std::uint64_t rx_bytes = 0;
    std::uint64_t rx_packets = 0;
    std::uint64_t rx_dropped = 0;
    std::uint64_t tx_bytes = 0;
    std::uint64_t tx_packets = 0;
    std::uint64_t tx_dropped = 0;

    static constexpr auto fields() {
        return field_list(
            required("rx_bytes", &LinkCounters::rx_bytes), required("rx_packets", &LinkCounters::rx_packets),
            required("rx_dropped", &LinkCounters::rx_dropped), required("tx_bytes", &LinkCounters::tx_bytes),
            required("tx_packets", &LinkCounters::tx_packets),
            required("tx_dropped", &LinkCounters::tx_dropped));
    }
};

/// A vpn network's own: its tunnel and the other hosts.
struct VpnStatus {
    NetworkState tunnel = NetworkState::stopped; ///< of tincd
    IpAddress ip;                                ///< this host's own on the VPN
    std::optional<IpAddress> ip6;
    IpAddress resolver;                   ///< answers for VM.NETWORK.capsul
    std::optional<LinkCounters> counters; ///< of the tunnel as the host sees it: rx is what came from others
    std::vector<VpnPeer> peers;

    static constexpr auto fields() {
        return field_list(required("tunnel", &VpnStatus::tunnel), required("ip", &VpnStatus::ip),
                          optional("ip6", &VpnStatus::ip6), required("resolver", &VpnStatus::resolver),
                          optional("counters", &VpnStatus::counters), required("peers", &VpnStatus::peers));
    }
};

/// A network as shown. A broken one has a name, a state and a reason, and no spec.
struct Network {
    Name name;
    NetworkState state = NetworkState::stopped;
    std::optional<std::string> reason; ///< of failed and broken, and of a DHCP server that has failed
    bool enabled = false;              ///< starts at boot
    std::string unit;
    std::vector<Name> vms;            ///< with a NIC on it
    std::optional<NetworkState> dhcp; ///< of its DHCP server, where it has one
    std::optional<VpnStatus> vpn;
    std::optional<NetworkRecord> spec;

    static constexpr auto fields() {
        return field_list(required("name", &Network::name), required("state", &Network::state),
                          optional("reason", &Network::reason), required("enabled", &Network::enabled),
                          required("unit", &Network::unit), required("vms", &Network::vms),
                          optional("dhcp", &Network::dhcp), optional("vpn", &Network::vpn),
                          optional("spec", &Network::spec));
    }
};

/// A NIC that is asked for; what is not given is chosen. As text: "lan,ip=10.80.0.9,mac=02:00:00:00:00:01".
struct NicSpec {
    Name network; ///< `user`: QEMU's own
    std::optional<IpAddress> ip;
    std::optional<IpAddress> ip6;
    std::optional<Mac> mac;

    static constexpr auto fields() {
        return field_list(required("network", &NicSpec::network), optional("ip", &NicSpec::ip),
                          optional("ip6", &NicSpec::ip6), optional("mac", &NicSpec::mac));
    }
    /// From the text form; throws Error (invalid).
    [[nodiscard]] static NicSpec from_text(std::string_view text);
    auto operator<=>(const NicSpec&) const = default;
};

/// A NIC of a VM, in its record.
struct Nic {
    int slot = 0; ///< its place in the VM for as long as it is there: QEMU's "net0" and up
    Name network;
    Mac mac;
    std::optional<InterfaceName> tap; ///< none on `user`
    std::optional<IpAddress> ip;      ///< none where the network gives it out itself
    std::optional<IpAddress> ip6;
    std::optional<int> mtu; ///< smaller than Ethernet's: of a vpn, bytes

    static constexpr auto fields() {
        return field_list(required("slot", &Nic::slot), required("network", &Nic::network),
                          required("mac", &Nic::mac), optional("tap", &Nic::tap), optional("ip", &Nic::ip),
                          optional("ip6", &Nic::ip6), optional("mtu", &Nic::mtu));
    }
    auto operator<=>(const Nic&) const = default;
};

/// A NIC's interface on the host, as it is now.
struct NicStatus {
    int slot = 0;
    LinkCounters counters; ///< as the guest sees it: rx is what came to it
    /// What keeps the guest from sending: "mac" (in another's name), "ip" (from another's address; "ip?": not
    /// known), "isolated" (to other VMs of the network), "cut-off" (the packet filter has forgotten it).
    std::vector<std::string> protections;

    static constexpr auto fields() {
        return field_list(required("slot", &NicStatus::slot), required("counters", &NicStatus::counters),
                          required("protections", &NicStatus::protections));
    }
};

/// An address that is not free.
struct Lease {
    IpAddress ip;
    std::string use; ///< "vm", "reserved" or "gateway"
    std::optional<Name> vm;
    std::optional<Mac> mac;

    static constexpr auto fields() {
        return field_list(required("ip", &Lease::ip), required("use", &Lease::use),
                          optional("vm", &Lease::vm), optional("mac", &Lease::mac));
    }
};

struct NetworkList {
    using Result = std::vector<Network>;
    static constexpr Route route{Method::get, "/v1/networks", Answer::value};
    static constexpr auto fields() { return field_list(); }
};

struct NetworkShow {
    Name name;
    using Result = Network;
    static constexpr Route route{Method::get, "/v1/networks/{name}", Answer::value};
    static constexpr auto fields() { return field_list(required("name", &NetworkShow::name)); }
};

/// Makes a network and, unless told otherwise, starts it. A nat network without a subnet gets a free one of
/// those that the administrator allows.
struct NetworkCreate {
    Name name;
    NetworkType type = NetworkType::nat;
    std::optional<InterfaceName> bridge; ///< bridge only, and required there
    std::optional<Cidr> subnet;
    std::optional<Cidr> subnet6;
    std::optional<IpAddress> gateway;
    std::optional<IpAddress> gateway6;
    std::optional<IpRange> range;
    std::optional<IpRange> range6;
    std::vector<IpAddress> dns;
    bool isolate = false;
    std::optional<Egress> egress;
    bool dhcp = false;
    std::optional<VpnWishes> vpn; ///< vpn only
    bool start = true;
    bool autostart = true;
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/networks", Answer::operation};
    static constexpr auto fields() {
        return field_list(
            required("name", &NetworkCreate::name), required("type", &NetworkCreate::type),
            optional("bridge", &NetworkCreate::bridge), optional("subnet", &NetworkCreate::subnet),
            optional("subnet6", &NetworkCreate::subnet6), optional("gateway", &NetworkCreate::gateway),
            optional("gateway6", &NetworkCreate::gateway6), optional("range", &NetworkCreate::range),
            optional("range6", &NetworkCreate::range6), optional("dns", &NetworkCreate::dns),
            optional("isolate", &NetworkCreate::isolate), optional("egress", &NetworkCreate::egress),
            optional("dhcp", &NetworkCreate::dhcp), optional("vpn", &NetworkCreate::vpn),
            optional("start", &NetworkCreate::start), optional("autostart", &NetworkCreate::autostart));
    }
};

/// Changes what may be changed while VMs run on it; what is not given stays.
struct NetworkSet {
    Name name;
    std::optional<Egress> egress;              ///< holds at once
    std::optional<std::vector<IpAddress>> dns; ///< for VMs that are made from now on, and who asks by DHCP
    std::optional<bool> dhcp;                  ///< holds at once
    std::optional<Cidr> slice;                 ///< vpn only; refused while VMs have addresses outside of it
    std::optional<std::vector<VpnAddressWish>> addresses; ///< vpn only: where others reach this host
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/networks/{name}", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &NetworkSet::name), optional("egress", &NetworkSet::egress),
                          optional("dns", &NetworkSet::dns), optional("dhcp", &NetworkSet::dhcp),
                          optional("slice", &NetworkSet::slice),
                          optional("addresses", &NetworkSet::addresses));
    }
};

struct NetworkStart {
    Name name;
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/networks/{name}/start", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &NetworkStart::name)); }
};

/// Refused (in_use) while VMs run on it. It no longer starts at boot.
struct NetworkStop {
    Name name;
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/networks/{name}/stop", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &NetworkStop::name)); }
};

/// Refused (in_use) while a VM has a NIC on it.
struct NetworkDelete {
    Name name;
    using Result = Network; ///< as it was
    static constexpr Route route{Method::delete_, "/v1/networks/{name}", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &NetworkDelete::name)); }
};

/// Keeps an address for a VM.
struct NetworkReserve {
    Name name;
    IpAddress ip;
    Name vm;
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/networks/{name}/reservations", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &NetworkReserve::name), required("ip", &NetworkReserve::ip),
                          required("vm", &NetworkReserve::vm));
    }
};

/// Frees an address that was kept.
struct NetworkRelease {
    Name name;
    IpAddress ip;
    using Result = Network;
    static constexpr Route route{Method::delete_, "/v1/networks/{name}/reservations/{ip}", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &NetworkRelease::name), required("ip", &NetworkRelease::ip));
    }
};

struct NetworkLeases {
    Name name;
    using Result = std::vector<Lease>;
    static constexpr Route route{Method::get, "/v1/networks/{name}/leases", Answer::value};
    static constexpr auto fields() { return field_list(required("name", &NetworkLeases::name)); }
};

/// The name of QEMU's own user-mode network, which needs no record.
inline constexpr std::string_view user_network = "user";
[[nodiscard]] inline bool is_user_network(const Name& name) {
    return name.to_string() == user_network;
}

/// "network lan: TEXT": how every error about a network begins.
[[nodiscard]] std::string about_network(const Name& name, const std::string& text);

/// "capsul-net-NAME.service".
[[nodiscard]] std::string network_unit_name(const Name& name);

/// The network of such a unit; nothing for any other.
[[nodiscard]] std::optional<Name> network_of_unit(std::string_view unit);

/// "capsul-dhcp-NAME.service".
[[nodiscard]] std::string dhcp_unit_name(const Name& name);

/// "capsul-vpn-NAME.service": tincd.
[[nodiscard]] std::string vpn_unit_name(const Name& name);

/// "capsul-peer-NAME.service": tells other hosts what has changed.
[[nodiscard]] std::string peer_unit_name(const Name& name);

} // namespace capsul
