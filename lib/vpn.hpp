// VPNs between hosts: what the record of a vpn network has beyond that of others, what hosts tell each other
// of themselves, and what is shown.
//
// A host speaks for itself only: what it tells is signed with its identity, and other hosts pass it on as it
// is. The later of two things a host has told is the one that counts; a number says which that is, not a
// clock.
#pragma once

#include "lib/cidr.hpp"
#include "lib/fields.hpp"
#include "lib/interface_name.hpp"
#include "lib/mac.hpp"
#include "lib/name.hpp"
#include "lib/size.hpp"
#include "lib/vpn_key.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// The name of a host in a VPN, and tinc's of it: a letter, then letters, digits and "_", in lower case, at
/// most 32 (tinc.conf(5), "Name", has no hyphen).
class NodeName {
  public:
    NodeName() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static NodeName parse(std::string_view text);
    /// What comes of a host's name: "host-a.example.org" is host_a.
    [[nodiscard]] static NodeName of_host(std::string_view host_name);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const NodeName&) const = default;

  private:
    explicit NodeName(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// Where a host is reached from others: an address or a name of DNS, and a port. As text: "192.0.2.1:11655",
/// "vpn.example.org:11655", "[2001:db8::1]:11655".
class VpnAddress {
  public:
    VpnAddress() = default;
    /// The port may be left out if `default_port` is not 0. Throws Error (invalid).
    [[nodiscard]] static VpnAddress parse(std::string_view text, std::uint16_t default_port);
    [[nodiscard]] static VpnAddress parse(std::string_view text) { return parse(text, 0); }
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] const std::string& host() const noexcept { return host_; }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] VpnAddress with_port(std::uint16_t port) const {
        VpnAddress other = *this;
        other.port_ = port;
        return other;
    }
    auto operator<=>(const VpnAddress&) const = default;

  private:
    friend class VpnAddressWish;
    std::string host_;
    std::uint16_t port_ = 0;
};

/// That, as it is asked for: without a port it has the network's own.
class VpnAddressWish {
  public:
    VpnAddressWish() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static VpnAddressWish parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    /// With `port` where none was asked for.
    [[nodiscard]] VpnAddress with_default(std::uint16_t port) const;
    /// 0: none was given.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    auto operator<=>(const VpnAddressWish&) const = default;

  private:
    std::string host_;
    std::uint16_t port_ = 0;
};

/// A VM on a VPN, as its host tells the others.
struct VpnGuest {
    Name name;
    std::optional<IpAddress> ip;
    std::optional<IpAddress> ip6;
    static constexpr auto fields() {
        return field_list(required("name", &VpnGuest::name), optional("ip", &VpnGuest::ip),
                          optional("ip6", &VpnGuest::ip6));
    }
    auto operator<=>(const VpnGuest&) const = default;
};

/// What a host tells of itself.
struct VpnNode {
    NodeName name;
    Uuid network; ///< of which VPN it is a member
    std::uint64_t version = 0;
    Identity identity;
    RsaPublicKey key;
    std::vector<VpnAddress> addresses; ///< none: it only calls others
    Cidr slice;                        ///< of the subnet: its VMs' addresses, and its own two
    std::vector<VpnGuest> guests;

    static constexpr auto fields() {
        return field_list(required("name", &VpnNode::name), required("network", &VpnNode::network),
                          required("version", &VpnNode::version), required("identity", &VpnNode::identity),
                          required("key", &VpnNode::key), optional("addresses", &VpnNode::addresses),
                          required("slice", &VpnNode::slice), optional("guests", &VpnNode::guests));
    }
    auto operator<=>(const VpnNode&) const = default;
};

/// That, signed. The record of a peer: peers/NODE.toml.
struct VpnStatement {
    VpnNode node;
    std::string signature; ///< by its identity, of the node in JSON; base64
    static constexpr auto fields() {
        return field_list(required("node", &VpnStatement::node),
                          required("signature", &VpnStatement::signature));
    }
    [[nodiscard]] static VpnStatement make(const VpnNode& node, const PrivateIdentity& identity);
    /// Whether the signature is right.
    [[nodiscard]] bool is_genuine() const;
    auto operator<=>(const VpnStatement&) const = default;
};

/// What hosts hand each other, in a file, over ssh, over an invitation or through the VPN itself.
struct VpnBundle {
    int format = 1;
    Name network; ///< its name where the bundle comes from
    Uuid id;
    Cidr subnet;
    std::optional<Cidr> subnet6;
    int mtu = 0;
    std::optional<Cidr> slice;       ///< kept for whoever joins with this
    std::vector<VpnStatement> nodes; ///< all that are known, whose it is first
    std::vector<Identity> revoked;

    static constexpr auto fields() {
        return field_list(required("format", &VpnBundle::format), required("network", &VpnBundle::network),
                          required("id", &VpnBundle::id), required("subnet", &VpnBundle::subnet),
                          optional("subnet6", &VpnBundle::subnet6), required("mtu", &VpnBundle::mtu),
                          optional("slice", &VpnBundle::slice), required("nodes", &VpnBundle::nodes),
                          optional("revoked", &VpnBundle::revoked));
    }
    /// From JSON, with everything checked: format, signatures, sizes, names and identities there once, slices
    /// inside the subnet, no host of another VPN. Throws Error (invalid; verification for a signature).
    [[nodiscard]] static VpnBundle from_text(std::string_view text);
    /// The same checks for one that came as a value.
    void check() const;
};

inline constexpr std::size_t most_vpn_nodes = 64;
/// Of one host.
inline constexpr std::size_t most_vpn_guests = 256;
inline constexpr std::size_t most_vpn_addresses = 16;
inline constexpr std::size_t most_revoked_identities = 4096;
/// Longer ones are refused; what all hosts of the largest VPN say is shorter.
inline constexpr std::size_t most_bundle_bytes = std::size_t{1} << 22U;

/// Why other hosts must not be told to call a host there; nothing if they may. An address of the VPN itself
/// would lead the tunnel through the tunnel, and one such as 127.0.0.1 to services of their own.
[[nodiscard]] std::optional<std::string> address_problem(const VpnAddress& address, const Cidr& subnet,
                                                         const std::optional<Cidr>& subnet6);

/// A slice that is promised to a host which has not joined yet.
struct KeptSlice {
    NodeName node;
    Cidr slice;
    static constexpr auto fields() {
        return field_list(required("node", &KeptSlice::node), required("slice", &KeptSlice::slice));
    }
    auto operator<=>(const KeptSlice&) const = default;
};

/// In the record of a vpn network. Its bridge is made by capsul; the range is that of its slice.
struct VpnRecord {
    Uuid id; ///< the same on all its hosts
    NodeName node;
    Identity identity;
    RsaPublicKey key;
    std::vector<VpnAddress> addresses;
    std::uint16_t port = 0; ///< that tincd listens on, TCP and UDP
    int mtu = 0;            ///< of its VMs' NICs, bytes
    Cidr slice;
    InterfaceName trunk; ///< the TAP that tincd is on
    std::vector<KeptSlice> kept;
    std::optional<Cidr> invited; ///< a slice kept for whoever comes with an invitation
    std::vector<Identity> revoked;

    static constexpr auto fields() {
        return field_list(required("id", &VpnRecord::id), required("node", &VpnRecord::node),

                          required("identity", &VpnRecord::identity), required("key", &VpnRecord::key),
                          optional("addresses", &VpnRecord::addresses), required("port", &VpnRecord::port),
                          required("mtu", &VpnRecord::mtu), required("slice", &VpnRecord::slice),
                          required("trunk", &VpnRecord::trunk), optional("kept", &VpnRecord::kept),
                          optional("invited", &VpnRecord::invited), optional("revoked", &VpnRecord::revoked));
    }
};

/// What can be asked for when a VPN is made or joined; what is not given is chosen.
struct VpnWishes {
    std::optional<NodeName> node; ///< from the host's name
    std::vector<VpnAddressWish> addresses;
    std::optional<std::uint16_t> port;
    std::optional<int> mtu;
    std::optional<Cidr> slice;
    static constexpr auto fields() {
        return field_list(optional("node", &VpnWishes::node), optional("addresses", &VpnWishes::addresses),
                          optional("port", &VpnWishes::port), optional("mtu", &VpnWishes::mtu),
                          optional("slice", &VpnWishes::slice));
    }
};

/// Another host, as shown.
struct VpnPeer {
    NodeName node;
    std::vector<VpnAddress> addresses;
    Cidr slice;
    IpAddress ip; ///< the host's own
    std::optional<IpAddress> ip6;
    Identity identity;
    std::size_t vms = 0;
    std::optional<bool> reachable; ///< nothing: not known, since nothing runs that would ask it
    std::optional<Timestamp> last_seen;
    std::optional<std::string> problem; ///< its slice is another's, too

    static constexpr auto fields() {
        return field_list(required("node", &VpnPeer::node), required("addresses", &VpnPeer::addresses),
                          required("slice", &VpnPeer::slice), required("ip", &VpnPeer::ip),
                          optional("ip6", &VpnPeer::ip6), required("identity", &VpnPeer::identity),
                          required("vms", &VpnPeer::vms), optional("reachable", &VpnPeer::reachable),
                          optional("last_seen", &VpnPeer::last_seen), optional("problem", &VpnPeer::problem));
    }
};

/// The first address of a slice: the host's own, on its bridge.
[[nodiscard]] IpAddress vpn_host_ip(const Cidr& slice);
/// The second: where names of the VPN are resolved.
[[nodiscard]] IpAddress vpn_resolver_ip(const Cidr& slice);
/// A host's or resolver's IPv6 address: the IPv4 address in the last four bytes of `subnet6`.
[[nodiscard]] IpAddress vpn_ip6(const Cidr& subnet6, const IpAddress& ip);
/// A VM's: the prefix and the modified EUI-64 of its MAC (RFC 4291 2.5.1). `subnet6` is a /64.
[[nodiscard]] IpAddress eui64_address(const Cidr& subnet6, const Mac& mac);
/// The length that slices of a subnet have unless another is asked for: room for 64 hosts, but for 28 VMs at
/// each in any case.
[[nodiscard]] int vpn_slice_length(const Cidr& subnet);

/// On each host's own address of the VPN, where hosts tell each other what has changed.
inline constexpr std::uint16_t vpn_sync_port = 11654;

} // namespace capsul
