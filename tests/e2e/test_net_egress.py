"""capsul.nft: how far VMs get, by what is in the sets. With real packets, through a real host's kernel."""

import contextlib
import socket
import time

import frames
import pytest
from frames import ARP, ICMP, ICMP6, IP6, TCP, UDP
from ip_family import PROBE, V4, V6, both, has
from net_lab import net, plugged_in  # noqa: F401  (net is a fixture)

ANY = "0-255 . 0-65535"
EVERYTHING = {"dns", "dns/tcp", "ping", "https", "udp"}

EGRESS = {
    "nothing": ({}, set()),
    "full": ({"full": "cap-n"}, EVERYTHING),
    "full for another bridge": ({"full": "cap-m"}, set()),
    "dns and ping": ({"dns_icmp": "cap-n"}, {"dns", "dns/tcp", "ping"}),
    "one port": ({"allow": "cap-n . {net} . tcp . 443"}, {"https"}),
    "a range of ports": ({"allow": "cap-n . {net} . udp . 9000-9999"}, {"udp"}),
    "one protocol": ({"allow": "cap-n . {net} . tcp . 0-65535"}, {"dns/tcp", "https"}),
    "one net": ({"allow": "cap-n . {net} . " + ANY}, EVERYTHING),
    "another net": ({"allow": "cap-n . {other} . " + ANY}, set()),
    "one net for another bridge": ({"allow": "cap-m . {net} . " + ANY}, set()),
    "two lists": ({"allow": "cap-n . {net} . tcp . 443, cap-n . {net} . udp . 53"}, {"https", "dns"}),
}

egress = pytest.mark.parametrize("sets, passing", EGRESS.values(), ids=EGRESS)


def allow(sets, ip, everywhere):
    """The sets as the table has them, for one family and one destination."""
    other = "198.51.100.0/24" if ip.version == 4 else "2001:db8:1::/64"
    return {f"allow{ip.version}" if name == "allow" else name: value.format(net=everywhere, other=other)
            for name, value in sets.items()}


# -------------------------------------------------------------------------------------------------------------- outwards


def masqueraded(ip, packet):
    """A test for the frame in which this packet leaves: from the host, otherwise the same up to ports and checksums."""
    source, start = (12, 20) if ip.version == 4 else (8, 40)
    protocol = packet[9 if ip.version == 4 else 6]
    ours, size = frames.address_bytes(ip.host_outside), len(frames.address_bytes(ip.host_outside))
    end = start + 4 if protocol in (TCP, UDP) else start + 2
    return lambda frame: (frame[14 + source:14 + source + size] == ours and
                          frame[14 + source + size:14 + source + 2 * size] == packet[source + size:source + 2 * size] and
                          frame[14 + start + 2:14 + end] == packet[start + 2:end] and
                          frame[14:][9 if ip.version == 4 else 6] == protocol)


@both
@egress
def test_leads_outside(net, ip, sets, passing):
    probes = ip.probes(ip.address(net.a), ip.outside)
    with net.elements("inet", **allow(sets, ip, ip.everywhere)):
        left = {name for name, packet in probes.items()
                if net.arrives(net.a, ip.frame(net.a, net.GATEWAY, packet), net.outside, masqueraded(ip, packet))}
    assert left == passing


@both
def test_an_answer_comes_in_and_nothing_else(net, ip):
    mine, asked = ip.address(net.a), {}

    def asks(frame):
        asked["frame"] = frame
        return masqueraded(ip, packet)(frame)

    packet = ip.udp(mine, ip.outside, 9999)
    with net.elements("inet", full="cap-n"):
        assert net.arrives(net.a, ip.frame(net.a, net.GATEWAY, packet), net.outside, asks)
        start = 14 + (20 if ip.version == 4 else 40)
        port = int.from_bytes(asked["frame"][start:start + 2], "big")
        answer = ip.frame(net.outside, net.UPLINK, ip.udp(ip.outside, ip.host_outside, port, sport=9999))
        answered = ip.udp(ip.outside, mine, 5000, sport=9999)
        assert net.arrives(net.outside, answer, net.a, lambda frame: frame[start:] == answered[start - 14:])

        unasked = ip.frame(net.outside, net.UPLINK, ip.udp(ip.outside, mine, 22))
        assert not net.arrives(net.outside, unasked, net.a, lambda frame: PROBE in frame)
        with net.without_rules("inet"):
            assert net.arrives(net.outside, unasked, net.a, lambda frame: PROBE in frame)


@both
def test_narrowing_the_egress_ends_what_is_open(net, ip):
    packet = ip.udp(ip.address(net.a), ip.outside, 9999, sport=5001)
    with net.elements("inet", full="cap-n"):
        assert net.arrives(net.a, ip.frame(net.a, net.GATEWAY, packet), net.outside, masqueraded(ip, packet))
    assert not net.arrives(net.a, ip.frame(net.a, net.GATEWAY, packet), net.outside, masqueraded(ip, packet))


@both
def test_a_spoofed_source_makes_nobody_send_to_the_victim(net, ip):
    packet = ip.ping(ip.address(net.b), ip.host)
    frame, reflected = ip.frame(net.a, net.GATEWAY, packet), lambda frame: PROBE in frame
    assert not net.arrives(net.a, frame, net.b, reflected)
    with net.elements("bridge", trunks="cap-a"):
        assert net.arrives(net.a, frame, net.b, reflected)


# ------------------------------------------------------------------------------------------------------------ to the host


def host_hears(net, ip, to):
    """Which probes to an address of the host it takes in: it answers, or a server's socket has them."""
    heard = set()
    mine = ip.address(net.a)
    with contextlib.ExitStack() as servers:
        udp = {name: servers.enter_context(net.socket(ip.socket, port)) for name, port in (("dns", 53), ("udp", 9999))}
        for name, packet in ip.probes(mine, to).items():
            # To a closed TCP port the answer is a reset: that is one too.
            answer = frames.address_bytes(to) + frames.address_bytes(mine)
            if net.arrives(net.a, ip.frame(net.a, net.GATEWAY, packet), net.a, lambda frame: answer in frame):
                heard.add(name)
        return heard | {name for name, server in udp.items() if has(server, PROBE)}


@both
@egress
def test_leads_to_the_host(net, ip, sets, passing):
    for address in (ip.host, ip.host_outside):
        everywhere = {V4.host: "10.80.0.0/24", V6.host: "fd80::/64"}.get(address, ip.everywhere)
        with net.elements("inet", **allow(sets, ip, everywhere)):
            assert host_hears(net, ip, address) == passing | {"ping"}, address


@pytest.mark.parametrize("ip, packet, port", [
    (V4, frames.ip4("0.0.0.0", "255.255.255.255", UDP, frames.udp("0.0.0.0", "255.255.255.255", 68, 67,
                                                                  frames.dhcp("02:00:00:00:00:0a", 1))), 67),
    (V6, frames.ip6(frames.link_local("02:00:00:00:00:0a"), "ff02::1", UDP,
                    frames.udp(frames.link_local("02:00:00:00:00:0a"), "ff02::1", 546, 547, b"x")), 547)],
    ids=["DHCP", "DHCPv6"])
def test_dhcp_is_not_for_the_host(net, ip, packet, port):
    """The server of a network is behind a trunk; another one here would tell the VMs what is not so."""
    mac = frames.BROADCAST if ip.version == 4 else "33:33:00:00:00:01"
    with net.socket(ip.socket, port) as server:
        net.a.send(ip.frame(net.a, mac, packet))
        assert not has(server, b"")


def test_the_host_is_found_and_looks_for_guests(net):
    asked = frames.ethernet(net.a.mac, "33:33:ff:00:00:01", IP6, frames.ip6(
        net.a.ip6, "ff02::1:ff00:1", ICMP6,
        frames.icmp6(net.a.ip6, "ff02::1:ff00:1", 135, frames.solicitation(V6.host, frames.lladdr(1, net.a.mac)))))
    assert net.arrives(net.a, asked, net.a, lambda frame: frame[54:55] == b"\x88")
    assert net.arrives(net.a, frames.ethernet(net.a.mac, frames.BROADCAST, ARP, frames.arp(net.a.mac, net.a.ip4, V4.host)),
                       net.a, lambda frame: frame[20:22] == b"\0\2")


@pytest.mark.parametrize("ip, kind", [(V4, 5), (V4, 9), (V6, 134), (V6, 137)],
                         ids=["redirect", "router advertisement", "router advertisement, IPv6", "redirect, IPv6"])
def test_nobody_on_a_bridge_tells_the_host_its_routes(net, ip, kind):
    """Not even through a trunk, and not with egress `full`."""
    source, body = ip.address(net.witness), bytes(4) + PROBE
    message = frames.icmp(kind, body) if ip.version == 4 else frames.icmp6(source, ip.host, kind, body)
    packet = ip.packet(source, ip.host, ICMP if ip.version == 4 else ICMP6, message)
    with net.socket(ip.socket, 0, socket.SOCK_RAW, ICMP if ip.version == 4 else ICMP6) as host:
        with net.elements("inet", full="cap-n"):
            net.witness.send(ip.frame(net.witness, net.GATEWAY, packet))
            assert not has(host, PROBE)
        with net.without_rules("inet"):
            net.witness.send(ip.frame(net.witness, net.GATEWAY, packet))
            assert has(host, PROBE)


@both
def test_the_host_may_ask_a_guest(net, ip):
    guest = ip.address(net.a)

    def sends(sport):
        net.a.send(ip.frame(net.a, net.GATEWAY, ip.udp(guest, ip.host, 4000, sport)))

    with net.socket(ip.socket, 4000) as host:
        host.sendto(b"a question", (guest, 9999))
        sends(sport=9998)
        assert not has(host, PROBE)
        sends(sport=9999)
        assert has(host, PROBE)


@both
def test_a_guest_may_take_its_time_to_answer(net, ip):
    """As long as a client of a published UDP port is remembered, which is longer than the kernel's own limit."""
    guest = ip.address(net.a)
    net.sysctl("netfilter/nf_conntrack_udp_timeout", 1)
    try:
        with net.socket(ip.socket, 4001) as host:
            host.sendto(b"a question", (guest, 9999))
            time.sleep(2.5)
            net.a.send(ip.frame(net.a, net.GATEWAY, ip.udp(guest, ip.host, 4001, 9999)))
            assert has(host, PROBE)
    finally:
        net.sysctl("netfilter/nf_conntrack_udp_timeout", 30)


def past_the_bridge(net, to):
    """Whether the host takes in a packet that comes from a TAP and not from its bridge."""
    with net.socket(V4.socket, 9999) as server:
        net.a.send(V4.frame(net.a, to, V4.udp(net.a.ip4, V4.host, 9999)))
        return has(server, PROBE)


@pytest.mark.parametrize("change", ["true", "ip link set cap-a nomaster"], ids=["in a bridge", "in none"])
def test_no_way_past_the_bridge(net, change):
    """A frame for bridges themselves, and a TAP that is in none: the kernel takes it for a packet from the TAP."""
    to = "01:80:c2:00:00:0e" if change == "true" else net.run("cat /sys/class/net/cap-a/address").strip()
    with net.changed(change, plugged_in(net.a, "cap-n")), net.elements("inet", full="cap-n, cap-a"):
        assert not past_the_bridge(net, to)
        with net.without_rules("inet"):
            assert past_the_bridge(net, to)


# -------------------------------------------------------------------------------------------------------- from VM to VM


@both
def test_between_bridges_only_what_is_named(net, ip):
    packet = ip.udp(ip.address(net.a), ip.address(net.c), 9999)
    frame, probe = ip.frame(net.a, net.GATEWAY, packet), lambda frame: PROBE in frame
    with net.elements("inet", full="cap-n, cap-m", inside="cap-n . cap-n, cap-m . cap-m"):
        assert not net.arrives(net.a, frame, net.c, probe)
        with net.elements("inet", inside="cap-n . cap-m"):
            assert net.arrives(net.a, frame, net.c, probe)


@both
def test_isolated_vms_do_not_meet_at_the_gateway(net, ip):
    """Past the bridge's own isolation: sent to the gateway's MAC, for it to route back."""
    packet = ip.udp(ip.address(net.a), ip.address(net.b), 9999)
    frame, probe = ip.frame(net.a, net.GATEWAY, packet), lambda frame: PROBE in frame
    with net.elements("inet", full="cap-n"):
        assert not net.arrives(net.a, frame, net.b, probe)
        with net.elements("inet", inside="cap-n . cap-n"):
            assert net.arrives(net.a, frame, net.b, probe)


@both
def test_vms_of_one_bridge_meet_inside(net, ip):
    frame = ip.frame(net.a, net.b.mac, ip.udp(ip.address(net.a), ip.address(net.b), 9999))
    with net.bridged_frames_seen(), net.elements("inet", full="cap-n"):
        assert not net.arrives(net.a, frame, net.b)
        with net.elements("inet", inside="cap-n . cap-n"):
            assert net.arrives(net.a, frame, net.b)


@both
@pytest.mark.parametrize("seen", [True, False])
def test_isolated_ports_do_not_meet_in_the_bridge(net, ip, seen):
    frame = ip.frame(net.a, net.b.mac, ip.udp(ip.address(net.a), ip.address(net.b), 9999))
    isolate = "bridge link set dev cap-a isolated {0}; bridge link set dev cap-b isolated {0}"
    with net.bridged_frames_seen(seen), net.elements("inet", inside="cap-n . cap-n"):
        with net.changed(isolate.format("on"), isolate.format("off")):
            assert not net.arrives(net.a, frame, net.b)
            assert host_hears(net, ip, ip.host) == {"ping"}
        assert net.arrives(net.a, frame, net.b)


# -------------------------------------------------------------------------------------------- an administrator's bridge


@both
@pytest.mark.parametrize("seen", [True, False])
def test_a_bridge_of_the_administrators_is_left_alone(net, ip, seen):
    p, q = ip.address(net.p), ip.address(net.q)
    host = "10.82.0.1" if ip.version == 4 else "fd82::1"
    routed = frames.address_bytes(p) + frames.address_bytes(ip.outside)
    with net.bridged_frames_seen(seen), net.socket(ip.socket, 9999) as server:
        assert net.arrives(net.p, ip.frame(net.p, net.q.mac, ip.udp(p, q, 9999)), net.q)
        assert net.arrives(net.q, ip.frame(net.q, net.p.mac, ip.udp(q, p, 22)), net.p)
        net.p.send(ip.frame(net.p, net.GATEWAY_ADM, ip.udp(p, host, 9999)))
        assert has(server, PROBE)
        assert net.arrives(net.p, ip.frame(net.p, net.GATEWAY_ADM, ip.udp(p, ip.outside, 9999)), net.outside,
                           lambda frame: routed in frame)


@both
def test_a_guest_on_it_is_filtered_like_any(net, ip):
    stolen = ip.frame(net.p, net.q.mac, ip.udp(ip.address(net.q), ip.address(net.p), 9999))
    assert not net.arrives(net.p, stolen, net.q)
    with net.elements("bridge", trunks="cap-p"):
        assert net.arrives(net.p, stolen, net.q)
