"""A VPN's resolver, in its real unit on a bridge that is made by hand: this process is a guest, and the hosts behind the tunnel.

The unit, what dnsmasq is told and the names are the texts that the unit tests keep: of a host with the slice 10.90.4.0/26.
"""

import ipaddress
import re
import socket
import struct
from pathlib import Path

import dns_client
import frames
import pytest
from cable import Cable, await_forwarding, network_of
from conftest import allow_networks, install_capsul, wait_until
from dhcp_client import (DISCOVER, OFFER, REQUEST, ack, answer, get_address6, is_advertisement, is_answer4, offer, options4,
                         options_of_advertisement, request4, request6, router_solicitation)
from dns_client import AAAA, NO_ERROR, NXDOMAIN, PTR, REFUSED, A
from frames import ARP, ICMP6, IP4, IP6, UDP
from net_helper import HELPER

import host as hosts

GOLDEN = Path(__file__).parents[1] / "unit/golden"
FOLDER = ".local/share/capsul/networks/lab"
UNIT = "capsul-dhcp-lab.service"
HOST, HOST6 = "10.90.4.1", "fd90::a5a:401"
RESOLVER, RESOLVER6 = "10.90.4.2", "fd90::a5a:402"
MAC = re.search(r"--mac (\S+)", (GOLDEN / UNIT).read_text())[1]

NETWORK = """
[Unit]
Description=Stands for the network
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""


def guest_of(name, number):
    mac = f"02:00:00:00:00:{number:02x}"
    return Cable(f"cap-{name}", mac, f"10.90.4.{number}", str(ipaddress.IPv6Address(f"fd90::ff:fe00:{number:x}")))


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    with hosts.Host.boot("names", binds=host_binds, lab=lab, tied=True) as host:
        capsul = install_capsul(host)
        allow_networks(capsul, "--subnet", "10.90.0.0/16", "--subnet6", "fd90::/48")
        yield capsul


def write_names(capsul, text):
    """As capsuld replaces a file."""
    capsul.run(f"cat >{FOLDER}/dns/.new && mv {FOLDER}/dns/.new {FOLDER}/dns/hosts", input=text)


@pytest.fixture(scope="module")
def cables(capsul):
    """A guest that the host knows, one that it does not, and the far end of the tunnel."""
    web, stranger, tunnel = guest_of("web", 3), guest_of("other", 9), Cable("cap-lab-vpn", "02:00:00:00:00:77", "10.90.8.3", "fd90::ff:fe00:77")
    for words in (["bridge-add", "cap-lab"], ["addr-add", "cap-lab", f"{HOST}/20"], ["addr-add", "cap-lab", f"{HOST6}/64"],
                  ["egress", "cap-lab", "none"], ["trunk-add", "cap-lab-dhcp", "cap-lab", "--isolated"],
                  ["trunk-add", tunnel.name, "cap-lab", "--isolated"],
                  *(["tap-add", guest.name, "cap-lab", guest.mac, "--ip", guest.ip4, "--ip", guest.ip6] for guest in (web, stranger))):
        capsul.run([HELPER, *words])
    with network_of(capsul.host):
        for cable in (web, stranger, tunnel):
            cable.plug_in()
    await_forwarding(capsul.host, web, stranger, tunnel)
    return web, stranger, tunnel


@pytest.fixture(scope="module")
def lan(capsul, cables):
    web = cables[0]
    capsul.run(f"mkdir -p {FOLDER}/dns {FOLDER}/dhcp .config/systemd/user")
    capsul.run(f"cat >{FOLDER}/dhcp/dnsmasq.conf", input=(GOLDEN / "resolver-dhcp.conf").read_text())
    capsul.run(f"cat >{FOLDER}/dhcp/hosts", input=f"{web.mac},{web.ip4},[{web.ip6}],web\n")
    write_names(capsul, (GOLDEN / "vpn-hosts").read_text())
    capsul.run(f"cat >.config/systemd/user/{UNIT}", input=(GOLDEN / UNIT).read_text())
    capsul.run("cat >.config/systemd/user/capsul-net-lab.service", input=NETWORK)
    capsul.run(f"systemctl --user daemon-reload && systemctl --user start {UNIT}")
    return capsul


@pytest.fixture
def web(lan, cables):
    return cables[0]


@pytest.fixture
def stranger(lan, cables):
    return cables[1]


@pytest.fixture
def tunnel(lan, cables):
    return cables[2]


def here(lan, *question, server=RESOLVER, **options):
    with network_of(lan.host):
        return dns_client.ask(server, *question, **options)


def find4(cable, ip=RESOLVER):
    """The MAC of an address, by ARP."""
    asked = frames.ethernet(cable.mac, frames.BROADCAST, ARP, frames.arp(cable.mac, cable.ip4, ip))
    got = answer(cable, asked, lambda frame: frame[12:14] == b"\x08\x06" and frame[28:32] == socket.inet_aton(ip), 5)
    return got and got[22:28]


def find6(cable, ip=RESOLVER6, source=None):
    source = source or cable.ip6
    packed = ipaddress.ip_address(ip).packed
    group = str(ipaddress.IPv6Address(ipaddress.ip_address("ff02::1:ff00:0").packed[:13] + packed[13:]))
    body = frames.solicitation(ip, frames.lladdr(1, cable.mac))
    asked = frames.ethernet(cable.mac, "33:33:ff:" + packed[13:].hex(":"), IP6,
                            frames.ip6(source, group, ICMP6, frames.icmp6(source, group, 135, body)))
    got = answer(cable, asked, lambda frame: frame[12:14] == b"\x86\xdd" and frame[54] == 136 and frame[62:78] == packed, 5)
    return got and got[80:86]


def query4(cable, name, kind=A, patience=20):
    """Whoever is asked knows the guest's MAC by its own question for the server's: nobody here answers ARP."""
    find4(cable)
    asked = frames.udp(cable.ip4, RESOLVER, 5300, 53, dns_client.question(name, kind))
    got = answer(cable, frames.ethernet(cable.mac, MAC, IP4, frames.ip4(cable.ip4, RESOLVER, UDP, asked)),
                 lambda frame: frame[12:14] == b"\x08\0" and frame[23] == UDP and frame[34:36] == b"\0\x35", patience)
    return got and dns_client.parse(got[42:14 + int.from_bytes(got[16:18], "big")])


def query6(cable, name, kind=A):
    find6(cable)
    asked = frames.udp(cable.ip6, RESOLVER6, 5300, 53, dns_client.question(name, kind))
    got = answer(cable, frames.ethernet(cable.mac, MAC, IP6, frames.ip6(cable.ip6, RESOLVER6, UDP, asked)),
                 lambda frame: frame[12:14] == b"\x86\xdd" and frame[20] == UDP and frame[54:56] == b"\0\x35")
    return got and dns_client.parse(got[62:54 + int.from_bytes(got[58:60], "big")])


@pytest.fixture(params=[0, 1], ids=["", "where bridged frames are filtered"])
def bridged(request, lan):
    with network_of(lan.host):
        for name in ("iptables", "ip6tables"):
            Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").write_text(f"{request.param}\n", "ascii")


def test_a_guest_finds_it_and_is_answered(web, bridged):
    assert find4(web) == frames.mac_bytes(MAC)
    assert query4(web, "web.lab.capsul").values == ["10.90.0.3"]
    assert find6(web) == frames.mac_bytes(MAC)
    assert query6(web, "web.lab.capsul", AAAA).values == ["fd90::ff:fe00:1"]


@pytest.mark.parametrize("name, kind, code, values", [
    ("db.lab.capsul", A, NO_ERROR, ["10.90.0.4"]),
    ("db.lab.capsul", AAAA, NO_ERROR, []),
    ("DB.Lab.capsul", A, NO_ERROR, ["10.90.0.4"]),
    ("host-b.lab.capsul", A, NO_ERROR, ["10.90.4.1"]),
    ("no.lab.capsul", A, NXDOMAIN, []),
    ("lab.capsul", A, NO_ERROR, []),
    (dns_client.reverse("10.90.0.4"), PTR, NO_ERROR, ["db.lab.capsul"]),
    (dns_client.reverse("fd90::ff:fe00:1"), PTR, NO_ERROR, ["web.lab.capsul"]),
    (dns_client.reverse("10.90.0.99"), PTR, NXDOMAIN, []),
    (dns_client.reverse("192.168.1.1"), PTR, REFUSED, []),
    ("web.other.capsul", A, REFUSED, []),
    ("example.org", A, REFUSED, []),
    ("db", A, REFUSED, []),
])
def test_what_it_knows_and_what_it_refuses(lan, name, kind, code, values):
    got = here(lan, name, kind)
    assert (got.code, got.values) == (code, values)
    assert got.ttls <= {5}


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("server", [RESOLVER, RESOLVER6], ids=["IPv4", "IPv6"])
def test_the_host_can_ask_it_too(lan, server, tcp):
    assert here(lan, "web.lab.capsul", server=server, tcp=tcp).values == ["10.90.0.3"]


def test_names_that_come_and_go(lan):
    write_names(lan, "10.90.0.5 new.lab.capsul\n")
    try:
        wait_until(lambda: here(lan, "new.lab.capsul").values == ["10.90.0.5"])
        for gone, kind in (("web.lab.capsul", AAAA), ("db.lab.capsul", A), (dns_client.reverse("10.90.0.4"), PTR)):
            assert here(lan, gone, kind).code == NXDOMAIN, gone
    finally:
        write_names(lan, (GOLDEN / "vpn-hosts").read_text())
    wait_until(lambda: here(lan, "db.lab.capsul").values == ["10.90.0.4"])


def test_dhcp_leads_nowhere_beyond_the_vpn(web, bridged):
    assert offer(web)
    told = options4(ack(web, RESOLVER))
    assert 3 not in told, "a router"
    assert told[1] == socket.inet_aton("255.255.240.0")
    assert told[6] == socket.inet_aton(RESOLVER)
    assert told[12] == b"web"
    assert find6(web, source=frames.link_local(web.mac))
    assert get_address6(web) == web.ip6


def test_dhcp_tells_the_mtu_and_the_domain_to_those_who_ask(web):
    asked = answer(web, request4(web, DISCOVER, b"\x37\5\1\3\x0f\x1a\x77"), is_answer4(OFFER))
    told = options4(asked)
    assert told[26] == struct.pack("!H", 1400) and told[119] == b"\3lab\6capsul\0"
    assert told[15] == b"lab.capsul" and 3 not in told


def test_router_advertisements_are_of_no_router(web):
    got = answer(web, router_solicitation(web), is_advertisement)
    assert got[6:12] == frames.mac_bytes(MAC)
    assert int.from_bytes(got[60:62], "big") == 0, "it is a default router"
    told = options_of_advertisement(got)
    assert int.from_bytes(told[5][4:8], "big") == 1400
    assert told[3][16:] == ipaddress.IPv6Address("fd90::").packed and not told[3][3] & 0x40
    assert told[25][8:24] == ipaddress.IPv6Address(RESOLVER6).packed
    assert int.from_bytes(told[25][4:8], "big") > 0
    assert told[31][8:].rstrip(b"\0") == b"\3lab\6capsul"


@pytest.mark.parametrize("server", [RESOLVER, "10.90.0.2"], ids=["its own", "another host's"])
@pytest.mark.parametrize("wanted", ["10.90.0.3", "192.168.1.5"])
def test_who_is_not_known_gets_no_answer_at_all(stranger, server, wanted):
    """Nor that what it has is wrong: it may be another host's guest."""
    assert offer(stranger, 1) is None
    words = b"\x32\4" + socket.inet_aton(wanted)
    for asked in (words + b"\x36\4" + socket.inet_aton(server), words):
        assert answer(stranger, request4(stranger, REQUEST, asked), lambda frame: frame[34:38] == b"\0\x43\0\x44", 1) is None
    assert answer(stranger, request4(stranger, REQUEST, source=stranger.ip4),
                  lambda frame: frame[34:38] == b"\0\x43\0\x44", 1) is None


def test_other_hosts_guests_do_not_see_it(web, tunnel):
    """Through the tunnel it is as if it were not there; the guests are."""
    assert find4(tunnel) is None
    assert query4(tunnel, "web.lab.capsul", patience=1) is None
    assert find6(tunnel) is None
    for asked in (request4(tunnel, DISCOVER), request6(tunnel, 1), router_solicitation(tunnel)):
        assert answer(tunnel, asked, lambda frame: frame[6:12] == frames.mac_bytes(MAC), 1) is None
    web.forget()
    tunnel.send(frames.ethernet(tunnel.mac, frames.BROADCAST, ARP, frames.arp(tunnel.mac, tunnel.ip4, web.ip4)))
    assert web.gets(lambda frame: frame[6:12] == frames.mac_bytes(tunnel.mac))


def test_it_forwards_nothing(web, stranger):
    """A guest gets to others by itself or not at all."""
    assert find4(stranger)  # it knows the way
    stranger.forget()
    payload = frames.udp(web.ip4, stranger.ip4, 5300, 53, b"forward me, please")
    web.send(frames.ethernet(web.mac, MAC, IP4, frames.ip4(web.ip4, stranger.ip4, UDP, payload)))
    assert query4(web, "db.lab.capsul").values == ["10.90.0.4"]
    assert stranger.gets(lambda frame: b"forward me" in frame, 0.5) is None


def test_it_has_no_power_over_the_host(lan, web):
    pid = lan.run("pgrep --exact dnsmasq").stdout.split()[0]
    status = lan.host.run(f"cat /proc/{pid}/status").stdout
    assert re.search(r"CapBnd:\s*0000000000003400\n", status) and re.search(r"NoNewPrivs:\s*1\n", status)
    assert lan.run("systemctl --user is-active " + UNIT).stdout.strip() == "active"


def test_comes_back_when_it_is_killed(lan, web):
    lan.run(f"pkill --signal KILL --exact dnsmasq; systemctl --user reset-failed {UNIT}", check=False)
    wait_until(lambda: (got := query4(web, "db.lab.capsul", patience=1)) and got.values == ["10.90.0.4"])
