"""DHCP by a dnsmasq that has no privilege: capsul.nft makes its ports 1067 and 1068 those that clients know."""

import os
import socket
import time

import frames
import pytest
from cable import network_of
from frames import IP4, UDP
from net_lab import END, net  # noqa: F401  (net is a fixture)

NOBODY = 65534

# dnsmasq 2.90 starts with DHCP only if it has CAP_NET_ADMIN, which it needs to write into the ARP cache; with --dhcp-broadcast
# it never does. The one it gets here is that of a user namespace which owns nothing, so it can do nothing with it.
UNIT = """\
[Service]
Type=exec
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --user= --pid-file= --log-facility=- \
  --port=0 --no-resolv --no-hosts --no-poll \
  --interface=cap-n --except-interface=lo --bind-interfaces \
  --dhcp-alternate-port=1067,1068 --dhcp-broadcast --no-ping --dhcp-authoritative --leasefile-ro \
  --dhcp-range=10.80.0.0,static,255.255.255.0,1h \
  --dhcp-option=option:router,10.80.0.1 \
  --dhcp-option=option:dns-server,192.0.2.53 \
  --dhcp-host=02:00:00:00:00:0a,10.80.0.10,web
PrivateUsers=yes
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@resources
SystemCallErrorNumber=EPERM
"""

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5


@pytest.fixture(scope="module")
def dnsmasq(net):
    def alice(command, **options):
        return net.host.run(command, user="alice", **options).stdout

    alice("mkdir -p ~/.config/systemd/user && cat >~/.config/systemd/user/dhcp.service", input=UNIT)
    alice("systemctl --user daemon-reload && systemctl --user start dhcp.service")
    with net.elements("inet", dhcp=f"cap-n . {alice('id -u').strip()}"):
        wait_for(lambda: net.run("ss -Huln sport = 1067").strip())
        yield alice
    alice("systemctl --user stop dhcp.service; rm ~/.config/systemd/user/dhcp.service; systemctl --user daemon-reload")


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def request(guest, kind, options=b"", source="0.0.0.0", to="255.255.255.255", to_mac=frames.BROADCAST):
    message = frames.dhcp(guest.mac, kind, options, client_ip=source)
    return frames.ethernet(guest.mac, to_mac, IP4, frames.ip4(source, to, UDP, frames.udp(source, to, 68, 67, message)))


def is_answer(kind):
    """From the server's port to the client's, of this kind; what an honest client looks at."""
    return lambda frame: (frame[12:14] == b"\x08\0" and frame[23] == UDP and frame[34:38] == b"\0\x43\0\x44" and
                          bytes([53, 1, kind]) in frame[282:])


def answer(guest, frame, kind):
    guest.forget()
    guest.send(frame)
    return guest.gets(is_answer(kind))


def udp_checksum_is_right(frame):
    source, to, datagram = frame[26:30], frame[30:34], frame[34:34 + int.from_bytes(frame[38:40], "big")]
    text = [socket.inet_ntoa(address) for address in (source, to)]
    return frames.checksum(frames.pseudo_header(*text, UDP, len(datagram)) + datagram) == 0


def test_a_guest_gets_its_address(net, dnsmasq):
    offer = answer(net.a, request(net.a, DISCOVER), OFFER)
    assert offer and offer[58:62] == socket.inet_aton("10.80.0.10")
    wanted = b"\x32\4" + offer[58:62] + b"\x36\4" + socket.inet_aton("10.80.0.1")
    ack = answer(net.a, request(net.a, REQUEST, wanted), ACK)
    assert ack and ack[58:62] == socket.inet_aton("10.80.0.10")
    assert b"\3\4" + socket.inet_aton("10.80.0.1") in ack[282:]
    assert ack[:6] == frames.mac_bytes(frames.BROADCAST)
    assert udp_checksum_is_right(offer) and udp_checksum_is_right(ack)


def test_a_guest_renews_its_lease(net, dnsmasq):
    renewal = request(net.a, REQUEST, source="10.80.0.10", to="10.80.0.1", to_mac=net.GATEWAY)
    ack = answer(net.a, renewal, ACK)
    assert ack and ack[30:34] == socket.inet_aton("10.80.0.10") and udp_checksum_is_right(ack)


def test_dnsmasq_has_no_power_over_the_network(net, dnsmasq):
    """Its capability is one of a namespace in which there is nothing."""
    pid = dnsmasq("systemctl --user show --value --property=MainPID dhcp.service").strip()
    own, ours = net.run(f"readlink /proc/{pid}/ns/user /proc/1/ns/user").split()
    assert own != ours
    tried = net.host.run(["nsenter", f"--user=/proc/{pid}/ns/user", "--preserve-credentials",
                          "ip", "link", "set", "cap-n", "down"], check=False)
    assert tried.returncode != 0 and "not permitted" in tried.stderr


@pytest.mark.parametrize("uid, sport, dport, arrives", [
    pytest.param(None, 1067, 1068, True, id="the account that serves"),
    pytest.param(NOBODY, 1067, 1068, False, id="another account"),
    pytest.param(NOBODY, 1067, 68, False, id="another account, to the client's port"),
    pytest.param(NOBODY, 5000, 68, False, id="another account, from a port of its own"),
    pytest.param(0, 5000, 68, True, id="root"),
])
def test_who_may_send_to_the_port_of_dhcp_clients(net, dnsmasq, uid, sport, dport, arrives):
    message = b"I am your DHCP server" + bytes(40)
    uid = int(dnsmasq("id -u")) if uid is None else uid
    net.a.forget()
    with network_of(net.host), socket_of(uid) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.bind(("10.80.0.1", sport))
        try:
            server.sendto(message, ("10.80.0.255", dport))
        except PermissionError:  # a dropped packet's sender is told so
            assert not arrives
    net.packets.sendto(END, (net.a.name, 0))
    assert net.a.gets(END)
    got = net.a.gets(lambda frame: message in frame and frame[36:38] == b"\0\x44", 0)
    assert (got is not None) == arrives
    assert not arrives or sport != 1067 or got[34:36] == b"\0\x43"


def socket_of(uid):
    os.seteuid(uid)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)
