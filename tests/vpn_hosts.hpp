// Hosts of a VPN, and what they tell each other.
#pragma once

#include "lib/json.hpp"
#include "lib/vpn.hpp"

namespace capsul::test {

/// A key of tinc's, whose private part nobody has: a new one takes seconds.
inline constexpr const char* tinc_key =
    "MIICCgKCAgEAhGiAFLSSpymDgDvr89afkwiZKJokmay8iVx3iUAXo+gNJZ3m5y+wyz1BBisL32LCsi7cWzki2oPsr7"
    "z6qpknS4LtPrSyW90eld9338hTTNmN0AwiYMZQ9Mj9BAOYukrk8NcdpC+pxoZncdLrPkjedyMc4K3CqkMDnRhJ3vEk"
    "dTrNJyGoiyiisItWfy5qGFw3boWWU/eBacGRyTeLAkVjVpwPl/aHtm40q2ntxhcO+imt5dm1onNoPJYpxLqWIKT971"
    "+Ip31IcHYEr63tETeexwuwH9toQcKf+yAmxbp/vgKMxnp7J4j2suolPDvffAaf677Uyxw/mn/fmaFrURRQAwGUL5ym"
    "sCQos0FDvyfD9N8IyJLfpmTJgx+caRyDGVlBoDZRVf+5g1RWXwSJwlR+jmFIA/sWGsnE26d64jA6fuebyYv8ppAkiO"
    "LwFhtET0MWX8Y3B/IBZlwXVgZ8UmVuhAa3Ptn5MFFDpd9ss+6OOZyuQXGwoa9kp4LmZkGXWCcmqH8k5VUqyaLE0z5Z"
    "R0wSlUW3Rq+JH18m8zpuILYDKhZ0BoKEhhyQHTaA1TjppwrS8kcwMa0+0Qqo101uDpUQzKPS5O6sk/TSacWeCiX8xO"
    "qoe3QV1KaMPXloKCqeV7DcNaa2Ev52DgK9KhytceJc4WEsUXwwV0DlRp4sG921daUCAwEAAQ==";

/// A host and its identity. Slices are /29s.
struct VpnHost {
    NodeName name;
    Cidr slice;
    PrivateIdentity identity = PrivateIdentity::generate();
    std::uint64_t version = 1;

    VpnHost(const char* host_name, const std::string& host_slice)
        : name(NodeName::parse(host_name)), slice(Cidr::parse(host_slice)) {}

    [[nodiscard]] VpnStatement says(const Uuid& network) const {
        VpnNode node;
        node.name = name;
        node.network = network;
        node.version = version;
        node.identity = identity.identity();
        node.key = RsaPublicKey::parse(tinc_key);
        node.slice = slice;
        return VpnStatement::make(node, identity);
    }
};

/// What the first of `hosts` tells of all of them, in the VPN of `subnet`.
inline VpnBundle bundle_of(const std::string& subnet, const std::vector<const VpnHost*>& hosts,
                           const char* id = "0b5d6a86-3f52-4d4e-9d0e-6f1e6a3a5c01") {
    VpnBundle bundle;
    bundle.network = Name::parse("office");
    bundle.id = Uuid::parse(id);
    bundle.subnet = Cidr::parse(subnet);
    bundle.mtu = 1400;
    for (const VpnHost* host : hosts) {
        bundle.nodes.push_back(host->says(bundle.id));
    }
    return bundle;
}

inline std::string text_of(const VpnBundle& bundle) {
    return dump_json(encode(bundle));
}

} // namespace capsul::test
