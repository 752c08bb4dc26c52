"""capsul.nft: what a guest may put on the wire. Each frame is a real one, written into a TAP by this process."""

import frames
import pytest
from frames import (ARP, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMP, ICMP6, IGMP, IP4, IP6, MORE_FRAGMENTS, UDP)
from net_lab import net  # noqa: F401  (a fixture)

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
A4, B4, GATEWAY4 = "10.80.0.10", "10.80.0.11", "10.80.0.1"
A6, B6, GATEWAY6 = "fd80::a", "fd80::b", "fd80::1"
A_LOCAL, B_LOCAL = frames.link_local(A), frames.link_local(B)
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
NOBODY4, NOBODY6 = "0.0.0.0", "::"
EVERYBODY4 = "255.255.255.255"
LONG = bytes(64)
GUESTS = frames.mac_bytes(A), frames.mac_bytes(B)


def arp(*fields, **more):
    return frames.ethernet(A, frames.BROADCAST, ARP, frames.arp(*fields, **more))


def v4(source, to, protocol, payload, to_mac=B, **more):
    return frames.ethernet(A, to_mac, IP4, frames.ip4(source, to, protocol, payload, **more))


def v6(source, to, protocol, payload, extensions=(), to_mac=B):
    return frames.ethernet(A, to_mac, IP6, frames.ip6(source, to, protocol, payload, extensions))


def udp4(sport, dport, source=A4, to=B4, **more):
    return v4(source, to, UDP, frames.udp(source, to, sport, dport, LONG), **more)


def udp6(sport, dport, source=A6, extensions=()):
    return v6(source, B6, UDP, frames.udp(source, B6, sport, dport, LONG), extensions)


def dhcp(kind, client_mac=A, source=NOBODY4, to=EVERYBODY4, **more):
    payload = frames.dhcp(client_mac, kind)
    return v4(source, to, UDP, frames.udp(source, to, 68, 67, payload), to_mac=frames.BROADCAST, **more)


def icmp6(source, to, kind, body, extensions=()):
    return v6(source, to, ICMP6, frames.icmp6(source, to, kind, body), extensions, to_mac=ALL_NODES_MAC)


def mld(source, kind):
    return icmp6(source, "ff02::16", kind, bytes(20), [(HOP_BY_HOP, b"\0\5\2\0\0\1\0")])


def solicitation(source, target, option=b""):
    return icmp6(source, ALL_NODES, 135, frames.solicitation(target, option))


def advertisement(source, target, option=b"", extensions=()):
    return icmp6(source, ALL_NODES, 136, frames.advertisement(target, option), extensions)


ECHO = b"\x12\x34\0\1" + LONG

# What a guest needs, and gets through unchanged to the last byte.
HONEST = {
    "arp request": arp(A, A4, B4),
    "arp reply": arp(A, A4, B4, operation=2, target_mac=B),
    "arp announcement": arp(A, A4, A4),
    "arp probe for its own address": arp(A, NOBODY4, A4),
    "udp": udp4(5000, 5001),
    "udp to all on the network": udp4(5000, 5001, to="10.80.0.255", to_mac=frames.BROADCAST),
    "multicast": udp4(5353, 5353, to="224.0.0.251", to_mac="01:00:5e:00:00:fb"),
    "ping": v4(A4, B4, ICMP, frames.icmp(8, ECHO)),
    "first fragment": v4(A4, B4, UDP, frames.udp(A4, B4, 5000, 5001, LONG), more=MORE_FRAGMENTS),
    "later fragment": v4(A4, B4, UDP, LONG, fragment=64),
    "later fragment that looks like DHCP": v4(A4, B4, UDP, b"\0\x43\0\x44" + LONG, fragment=64),
    "joining a multicast group": v4(A4, "224.0.0.22", IGMP, frames.with_checksum(b"\x22" + bytes(15), 2),
                                    options=b"\x94\x04\0\0"),
    "dhcp discover": dhcp(1),
    "dhcp renewal": dhcp(3, source=A4, to=GATEWAY4),
    "udp, IPv6": udp6(5000, 5001),
    "udp, link-local": udp6(5000, 5001, source=A_LOCAL),
    "ping, IPv6": v6(A6, B6, ICMP6, frames.icmp6(A6, B6, 128, ECHO)),
    "first fragment, IPv6": udp6(5000, 5001, extensions=[(FRAGMENT, frames.fragment_of(0, more=1))]),
    "later fragment, IPv6": v6(A6, B6, UDP, LONG, [(FRAGMENT, frames.fragment_of(64, more=0))]),
    "later fragment of a ping": v6(A6, B6, ICMP6, LONG, [(FRAGMENT, frames.fragment_of(64, more=0))]),
    "later fragment that looks like an advertisement":
        v6(A6, B6, ICMP6, b"\x86\0\0\0" + LONG, [(FRAGMENT, frames.fragment_of(64, more=0))]),
    "extension headers": udp6(5000, 5001, extensions=[(DESTINATION_OPTIONS, frames.padding(3))]),
    "router solicitation": icmp6(A_LOCAL, "ff02::2", 133, bytes(4) + frames.lladdr(1, A)),
    "duplicate address detection": solicitation(NOBODY6, A6),
    "duplicate address detection with a nonce": solicitation(NOBODY6, A6, b"\x0e\1\1\2\3\4\5\6"),
    "neighbour solicitation": solicitation(A6, B6, frames.lladdr(1, A)),
    "neighbour solicitation, bare": solicitation(A_LOCAL, B6),
    "neighbour advertisement": advertisement(A6, A6, frames.lladdr(2, A)),
    "neighbour advertisement, bare": advertisement(A_LOCAL, A_LOCAL),
    "multicast report before it has an address": mld(NOBODY6, 143),
    "multicast report": mld(A_LOCAL, 131),
}

BEFORE_IT_HAS_AN_ADDRESS = {"dhcp discover", "multicast report before it has an address"}

# What only a liar sends, or a guest that takes itself for a router.
LIES = {
    "arp for the gateway": arp(A, GATEWAY4, B4, operation=2, target_mac=B),
    "arp announcement of another's address": arp(A, B4, B4),
    "arp with another's MAC inside": arp(B, A4, GATEWAY4),
    "arp probe for another's address": arp(A, NOBODY4, B4),
    "arp probe with another's MAC inside": arp(B, NOBODY4, A4),
    "arp with odd lengths": arp(A, A4, B4, lengths=(6, 16)),
    "arp that asks for a name (RARP operation)": arp(A, A4, B4, operation=3),
    "arp cut short": frames.ethernet(A, B, ARP, frames.arp(A, A4, B4)[:12])[:26],
    "arp in a VLAN": frames.ethernet(A, B, ARP, frames.arp(A, GATEWAY4, B4), tag=7),
    "arp in VLAN 0, which is none": frames.ethernet(A, B, ARP, frames.arp(A, GATEWAY4, B4), tag=0),
    "its own address in VLAN 0": frames.ethernet(A, B, ARP, frames.arp(A, A4, B4), tag=0),
    "two VLAN tags": frames.ethernet(A, B, 0x88A8, b"\0\7\x81\0\0\7\x08\6" + frames.arp(A, GATEWAY4, B4)),
    "spanning tree": frames.ethernet(A, "01:80:c2:00:00:00", 38, b"\x42\x42\3" + bytes(35)),
    "spanning tree to a VM": frames.ethernet(A, B, 38, b"\x42\x42\3" + bytes(35)),
    "IP to the group of spanning tree": udp4(5000, 5001, to_mac="01:80:c2:00:00:00"),
    "IP in LLC": frames.ethernet(A, B, 100, b"\xaa\xaa\3\0\0\0\x08\0" + frames.ip4(B4, A4, UDP, LONG)),
    "PPPoE": frames.ethernet(A, B, 0x8863, b"\x11\x09" + bytes(40)),
    "RARP": frames.ethernet(A, B, 0x8035, frames.arp(A, A4, B4, operation=3)),
    "IPv6 that calls itself IPv4": frames.ethernet(A, B, IP4, frames.ip6(A6, B6, UDP, LONG)),
    "another's source": udp4(5000, 5001, source=B4),
    "a source from nowhere": udp4(5000, 5001, source="203.0.113.9"),
    "no source": udp4(5000, 5001, source=NOBODY4),
    "first fragment with another's source": udp4(5000, 5001, source=B4, more=MORE_FRAGMENTS),
    "later fragment with another's source": v4(B4, A4, UDP, LONG, fragment=64),
    "header longer than the packet": frames.ethernet(A, B, IP4, b"\x4f" + frames.ip4(A4, B4, UDP, b"")[1:20]),
    "header shorter than a header": frames.ethernet(A, B, IP4, b"\x44" + frames.ip4(A4, B4, UDP, LONG)[1:]),
    "a length beyond the end": v4(A4, B4, UDP, LONG, length=1400),
    "loose source route": udp4(5000, 5001, options=b"\x83\x07\4\x0a\x50\0\1\0"),
    "strict source route": udp4(5000, 5001, options=b"\x89\x07\4\x0a\x50\0\1\0"),
    "dhcp offer": udp4(67, 68),
    "dhcp offer from another port": udp4(5000, 68),
    "dhcp offer in fragments": udp4(67, 68, more=MORE_FRAGMENTS),
    "dhcp relay": udp4(67, 67),
    "dhcp in another's name": dhcp(4, client_mac=B, source=A4, to=GATEWAY4),
    "dhcp in another's name, without an address": dhcp(4, client_mac=B),
    "dhcp in fragments, with a decoy behind the end of the packet":
        v4(NOBODY4, EVERYBODY4, UDP, frames.udp(NOBODY4, EVERYBODY4, 68, 67, b""), more=MORE_FRAGMENTS)[:42] +
        frames.dhcp(A, 4),
    "dhcp too short to tell the client": v4(NOBODY4, EVERYBODY4, UDP, frames.udp(NOBODY4, EVERYBODY4, 68, 67, b"")),
    "icmp redirect": v4(A4, B4, ICMP, frames.icmp(5, frames.address_bytes(A4) + LONG)),
    "icmp router advertisement": v4(A4, B4, ICMP, frames.icmp(9, LONG)),
    "igmp query": v4(A4, "224.0.0.1", IGMP, frames.with_checksum(b"\x11" + bytes(7), 2)),
    "multicast router advertisement": v4(A4, "224.0.0.106", IGMP, frames.with_checksum(b"\x30" + bytes(7), 2)),
    "pim": v4(A4, "224.0.0.13", 103, frames.with_checksum(b"\x20" + bytes(7), 2)),
    "another's source, IPv6": udp6(5000, 5001, source=B6),
    "another's link-local source": udp6(5000, 5001, source=B_LOCAL),
    "no source, IPv6": udp6(5000, 5001, source=NOBODY6),
    "ping without a source": icmp6(NOBODY6, ALL_NODES, 128, ECHO),
    "router advertisement": icmp6(A_LOCAL, ALL_NODES, 134, frames.router_advertisement(A)),
    "router advertisement behind hop-by-hop options":
        icmp6(A_LOCAL, ALL_NODES, 134, frames.router_advertisement(A), [(HOP_BY_HOP, frames.padding())]),
    "router advertisement behind destination options":
        icmp6(A_LOCAL, ALL_NODES, 134, frames.router_advertisement(A), [(DESTINATION_OPTIONS, frames.padding(4))] * 3),
    "router advertisement as a fragment that is all":
        icmp6(A_LOCAL, ALL_NODES, 134, frames.router_advertisement(A), [(FRAGMENT, frames.fragment_of(0, more=0))]),
    "fragment that leaves the ICMPv6 header to the next": v6(
        A_LOCAL, ALL_NODES, DESTINATION_OPTIONS, bytes([ICMP6]) + frames.padding(4)[:7],
        [(FRAGMENT, frames.fragment_of(0, more=1))]),
    "fragment that leaves the UDP header to the next": v6(
        A_LOCAL, ALL_NODES, DESTINATION_OPTIONS, bytes([UDP]) + frames.padding(4)[:7],
        [(FRAGMENT, frames.fragment_of(0, more=1))]),
    "fragment that leaves an extension header to the next": v6(
        A_LOCAL, ALL_NODES, DESTINATION_OPTIONS, bytes([DESTINATION_OPTIONS]) + frames.padding(4)[:7],
        [(FRAGMENT, frames.fragment_of(0, more=1))]),
    "the same, with a decoy behind the end of the packet": v6(
        A_LOCAL, ALL_NODES, DESTINATION_OPTIONS, bytes([ICMP6]) + frames.padding(4)[:7],
        [(FRAGMENT, frames.fragment_of(0, more=1))]) + bytes(24) + b"\x80\0\0\0" + LONG,
    "a fragment of a fragment": udp6(5000, 5001, extensions=[(FRAGMENT, frames.fragment_of(0, more=1)),
                                                             (FRAGMENT, frames.fragment_of(64, more=0))]),
    "later fragment with another's source, IPv6": v6(B6, A6, UDP, LONG, [(FRAGMENT, frames.fragment_of(64, more=0))]),
    "headers that go on beyond the end": v6(A6, B6, DESTINATION_OPTIONS, bytes([UDP]) + frames.padding(4)[:7]),
    "redirect": icmp6(A_LOCAL, ALL_NODES, 137, bytes(4) + frames.address_bytes(A6) * 2),
    "router renumbering": icmp6(A_LOCAL, ALL_NODES, 138, LONG),
    "multicast listener query": mld(A_LOCAL, 130),
    "multicast router advertisement, IPv6": mld(A_LOCAL, 151),
    "dhcpv6 reply": udp6(547, 546, source=A_LOCAL),
    "dhcpv6 relay": udp6(547, 547, source=A_LOCAL),
    "dhcpv6 reply from another port": udp6(5000, 546, source=A_LOCAL),
    "duplicate address detection for another's address": solicitation(NOBODY6, B6),
    "solicitation that tells another's MAC": solicitation(A6, B6, frames.lladdr(1, B)),
    "router solicitation that tells another's MAC": icmp6(A_LOCAL, "ff02::2", 133, bytes(4) + frames.lladdr(1, B)),
    "router solicitation with two options":
        icmp6(A_LOCAL, "ff02::2", 133, bytes(4) + frames.lladdr(1, A) + frames.lladdr(1, B)),
    "advertisement of the gateway's address": advertisement(A6, GATEWAY6, frames.lladdr(2, A)),
    "advertisement of another's address, bare": advertisement(A6, B6),
    "advertisement that tells another's MAC": advertisement(A6, A6, frames.lladdr(2, B)),
    "advertisement with two options": advertisement(A6, A6, frames.lladdr(2, A) + frames.lladdr(2, B)),
    "advertisement behind hop-by-hop options":
        advertisement(A6, GATEWAY6, frames.lladdr(2, A), [(HOP_BY_HOP, frames.padding())]),
    "advertisement in fragments, with a decoy behind the end of the packet": v6(
        A6, ALL_NODES, ICMP6, b"\x88\0\0\0\x60\0\0\0",
        [(FRAGMENT, frames.fragment_of(0, more=1))], to_mac=ALL_NODES_MAC) + frames.address_bytes(A6),
    "advertisement as a fragment that is all":
        advertisement(A6, GATEWAY6, frames.lladdr(2, A), [(FRAGMENT, frames.fragment_of(0, more=0))]),
}


@pytest.mark.parametrize("frame", HONEST.values(), ids=HONEST)
def test_passes_as_it_was(net, frame):
    assert net.arrives(net.a, frame, net.b)


@pytest.mark.parametrize("frame", LIES.values(), ids=LIES)
def test_is_dropped(net, frame):
    # Not with another MAC or address either, which some rules copy over those of the sender.
    assert not net.arrives(net.a, frame, net.b, lambda got: got[6:12] in GUESTS)
    with net.elements("bridge", trunks="cap-a"):
        assert net.arrives(net.a, frame, net.b), "the frame would not have arrived without a rule either"


@pytest.mark.parametrize("name", [name for name in HONEST if name not in BEFORE_IT_HAS_AN_ADDRESS])
def test_is_dropped_from_a_tap_of_which_nothing_is_known(net, name):
    with net.unknown(net.a):
        assert not net.arrives(net.a, HONEST[name], net.b)


# Where the bridge's network gives out the addresses, a guest may have any, but no other MAC and no other part to play.
LIES_WITHOUT_AN_ADDRESS = [
    "arp with another's MAC inside", "arp probe with another's MAC inside", "arp in a VLAN", "spanning tree", "dhcp offer",
    "dhcp in another's name", "icmp redirect", "igmp query", "router advertisement", "redirect", "dhcpv6 reply",
    "solicitation that tells another's MAC", "advertisement that tells another's MAC"]


@pytest.mark.parametrize("name", HONEST)
def test_passes_from_a_tap_that_may_have_any_address(net, name):
    with net.unknown(net.a), net.elements("bridge", unpinned=f"cap-a . {A}"):
        assert net.arrives(net.a, HONEST[name], net.b)


@pytest.mark.parametrize("name", LIES_WITHOUT_AN_ADDRESS)
def test_is_dropped_from_a_tap_that_may_have_any_address(net, name):
    with net.unknown(net.a), net.elements("bridge", unpinned=f"cap-a . {A}"):
        assert not net.arrives(net.a, LIES[name], net.b, lambda got: got[6:12] in GUESTS)


@pytest.mark.parametrize("name", ["arp request", "arp probe for its own address", "udp", "udp, IPv6"])
def test_another_mac_is_dropped_even_by_an_unlocked_port(net, name):
    frame = HONEST[name][:6] + frames.mac_bytes("02:00:00:00:00:77") + HONEST[name][12:]
    with net.elements("bridge", trunks="cap-a"):
        assert not net.arrives(net.a, frame, net.b), "the port was not locked"
    with net.changed("bridge link set dev cap-a locked off", "bridge link set dev cap-a locked on"):
        assert not net.arrives(net.a, frame, net.b)
        with net.elements("bridge", trunks="cap-a"):
            assert net.arrives(net.a, frame, net.b)


@pytest.mark.parametrize("last", range(2, 16))
def test_what_is_for_the_bridge_itself_does_not_get_past_it(net, last):
    """The host would take it for a frame from the TAP, whatever the MAC and address are."""
    liar = "02:00:00:00:00:77"
    frame = frames.ethernet(liar, f"01:80:c2:00:00:{last:02x}", ARP, frames.arp(liar, "10.80.0.66", GATEWAY4))

    def is_reply(got):
        return got[12:14] == b"\x08\x06" and got[20:22] == b"\0\2"

    assert not net.arrives(net.a, frame, net.a, is_reply)
    with net.without_rules("arp"):
        assert net.arrives(net.a, frame, net.a, is_reply), "the host would not have answered without a rule either"


SOLICIT = frames.ip6(B_LOCAL, "ff02::1:2", UDP, frames.udp(B_LOCAL, "ff02::1:2", 546, 547, b"\1\0\0\1"))
REQUESTS_OF_B = {
    "dhcp": frames.ethernet(B, frames.BROADCAST, IP4, frames.ip4(
        NOBODY4, EVERYBODY4, UDP, frames.udp(NOBODY4, EVERYBODY4, 68, 67, frames.dhcp(B, 1)))),
    "dhcpv6": frames.ethernet(B, "33:33:00:01:00:02", IP6, SOLICIT),
    "router solicitation": frames.ethernet(B, "33:33:00:00:00:02", IP6, frames.ip6(
        B_LOCAL, "ff02::2", ICMP6, frames.icmp6(B_LOCAL, "ff02::2", 133, bytes(4) + frames.lladdr(1, B)))),
}


@pytest.mark.parametrize("frame", REQUESTS_OF_B.values(), ids=REQUESTS_OF_B)
def test_who_asks_all_the_time_holds_nobody_up(net, frame):
    net.a.forget()
    for _ in range(400):
        net.b.send(frame)
    net.a.gets(frame, 0)
    assert net.a.seen.count(frame) < 300
    assert net.arrives(net.a, HONEST["dhcp discover"], net.b)
