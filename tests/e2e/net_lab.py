"""Bridges and TAPs in a host, with this process in the place of the guests and of the world outside.

A TAP's frames can be read and written by whoever has opened it, so a test holds all ends of all cables: what it sends
comes from a guest, and what it reads is what the guest would have got.

    cap-n   a bridge of capsul's   10.80.0.1/24 fd80::1/64   guests a, b; witness
    cap-m   another                10.81.0.1/24 fd81::1/64   guest c
    adm0    an administrator's     10.82.0.1/24 fd82::1/64   guest p (a TAP cap-p), and beside it the host q
    out0    the way out            192.0.2.1/24 2001:db8::1/64
"""

import contextlib
import socket
import subprocess
from pathlib import Path

import frames
import pytest
from cable import Cable, await_forwarding, network_of
from conftest import install_stage

END = frames.ethernet("02:00:00:00:99:99", frames.BROADCAST, 0x88B5, b"end")

FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
BRIDGED = ("bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables")

SETUP = """
set -eu
bridge() {
    ip link add "$1" address "$2" type bridge mcast_snooping 0
    ip address add "$3" dev "$1"
    ip address add "$4" dev "$1" nodad
    ip link set "$1" up
}
bridge cap-n 02:00:00:00:ff:01 10.80.0.1/24 fd80::1/64
bridge cap-m 02:00:00:00:ff:02 10.81.0.1/24 fd81::1/64
bridge adm0 02:00:00:00:ff:03 10.82.0.1/24 fd82::1/64
"""

GUEST = """
ip neigh replace {ip4} lladdr {mac} dev {bridge} nud permanent
ip neigh replace {ip6} lladdr {mac} dev {bridge} nud permanent
"""

OTHERS = """
ip link set witness master cap-n up
ip link set adm-q master adm0 up
ip link set out0 address 02:00:00:00:ff:09 up
ip address add 192.0.2.1/24 dev out0
ip address add 2001:db8::1/64 dev out0 nodad
ip neigh replace 192.0.2.2 lladdr 02:00:00:00:99:02 dev out0 nud permanent
ip neigh replace 2001:db8::2 lladdr 02:00:00:00:99:02 dev out0 nud permanent
"""

TEARDOWN = """
ip link del cap-n; ip link del cap-m; ip link del adm0
systemctl stop capsul-nft.service
"""


def plugged_in(guest, bridge):
    """A script. As capsul-net does it: locked, not learning, the guest's MAC known."""
    return (f"ip link set {guest.name} master {bridge} up\n"
            f"bridge link set dev {guest.name} locked on learning off\n"
            f"bridge fdb replace {guest.mac} dev {guest.name} master static\n")


def known(guest, verb):
    """To nft: what the guest may send from."""
    ours = f"{guest.name} . {guest.mac}"
    return (f"{verb} element bridge capsul known4 {{ {ours} . {guest.ip4} }}\n"
            f"{verb} element bridge capsul known6 {{ {ours} . {guest.ip6}, {ours} . {frames.link_local(guest.mac)} }}\n")


class NetLab:
    """See above. What stays inside a bridge is not seen by the host's inet rules, unless a test wants it so."""

    GATEWAY, GATEWAY_ADM, UPLINK = "02:00:00:00:ff:01", "02:00:00:00:ff:03", "02:00:00:00:ff:09"

    def __init__(self, host):
        self.host = host
        self.a = Cable("cap-a", "02:00:00:00:00:0a", "10.80.0.10", "fd80::a")
        self.b = Cable("cap-b", "02:00:00:00:00:0b", "10.80.0.11", "fd80::b")
        self.c = Cable("cap-c", "02:00:00:00:00:0c", "10.81.0.12", "fd81::c")
        self.p = Cable("cap-p", "02:00:00:00:00:0d", "10.82.0.13", "fd82::d")
        self.q = Cable("adm-q", "02:00:00:00:00:0e", "10.82.0.14", "fd82::e")
        self.witness = Cable("witness", "02:00:00:00:99:01", "10.80.0.99", "fd80::99")
        self.outside = Cable("out0", "02:00:00:00:99:02", "192.0.2.2", "2001:db8::2")
        self.cables = [self.a, self.b, self.c, self.p, self.q, self.witness, self.outside]

    def __enter__(self):
        for name in FORWARDING:
            self.sysctl(name, 1)
        self._see_bridged_frames(False)
        self.run(SETUP)
        with network_of(self.host):
            self.packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            for cable in self.cables:
                cable.plug_in()
        guests = [(self.a, "cap-n"), (self.b, "cap-n"), (self.c, "cap-m"), (self.p, "adm0")]
        self.run("set -eu\n" + "".join(
            plugged_in(guest, bridge) +
            GUEST.format(bridge=bridge, mac=guest.mac, ip4=guest.ip4, ip6=guest.ip6)
            for guest, bridge in guests) + OTHERS)
        await_forwarding(self.host, *(guest for guest, _ in guests))
        for guest, _ in guests:
            self.nft(known(guest, "add"))
        return self

    def __exit__(self, *_):
        self.packets.close()
        for cable in self.cables:
            cable.unplug()
        self.run(TEARDOWN)
        for name in FORWARDING:
            self.sysctl(name, 0)
        self._see_bridged_frames(True)

    @contextlib.contextmanager
    def changed(self, change, back):
        """A change to the host by a script, and another that takes it back."""
        self.run(change)
        try:
            yield
        finally:
            self.run(back)

    def sysctl(self, name, value):
        """From out here, since /proc/sys is read-only in a test host."""
        with network_of(self.host):
            Path("/proc/sys/net", name).write_text(f"{value}\n")

    @contextlib.contextmanager
    def bridged_frames_seen(self, yes=True):
        """The host's inet rules see what stays inside a bridge, as wherever Docker runs."""
        self._see_bridged_frames(yes)
        try:
            yield
        finally:
            self._see_bridged_frames(False)

    def _see_bridged_frames(self, yes):
        for name in BRIDGED:
            self.sysctl(name, int(yes))

    def run(self, script):
        return self.host.run(script).stdout

    def nft(self, commands):
        """One command a line, all or none. It is the host's nft too, and this way it starts in a tenth of the time."""
        with network_of(self.host):
            subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True)

    @contextlib.contextmanager
    def elements(self, family, **sets):
        """These elements are there for the time of the body: elements("inet", full="cap-n")."""
        lines = [f"element {family} capsul {name} {{ {value} }}\n" for name, value in sets.items()]
        self.nft("".join("add " + line for line in lines))
        try:
            yield
        finally:
            self.nft("".join("delete " + line for line in lines))

    @contextlib.contextmanager
    def unknown(self, guest):
        self.nft(known(guest, "delete"))
        try:
            yield
        finally:
            self.nft(known(guest, "add"))

    @contextlib.contextmanager
    def without_rules(self, family):
        """What is in the sets stays."""
        self.nft(f"flush table {family} capsul")
        try:
            yield
        finally:
            self.run("systemctl reload capsul-nft.service")

    def socket(self, family, port, kind=socket.SOCK_DGRAM, protocol=0):
        """A server on the host, on all its addresses, that does not wait."""
        with network_of(self.host):
            server = socket.socket(family, kind, protocol)
        if family == socket.AF_INET6 and kind == socket.SOCK_DGRAM:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.setblocking(False)
        server.bind(("", port))
        return server

    def arrives(self, sender, frame, receiver, wanted=None):
        """Whether the receiver gets this frame, or one that `wanted` is true for, because the sender sent it."""
        receiver.forget()
        sender.send(frame)
        # The kernel has done with a frame when the write returns, so behind this one nothing more will come.
        self.packets.sendto(END, (receiver.name, 0))
        assert receiver.gets(END) is not None, "the end mark got lost"
        return receiver.gets(wanted or frame, 0) is not None


@pytest.fixture(scope="module")
def net(host):
    install_stage(host)
    host.run("systemctl start capsul-nft.service")
    with NetLab(host) as lab:
        yield lab
