"""What capsul counts on in tinc 1.0.36: set up by hand, with the options and the sandbox that capsul gives it.

A test that fails here after an upgrade of tinc tells what of capsul's VPNs no longer holds.
"""

import re
import socket
import time

import pytest
from conftest import wait_until
from plain_tinc import FOLDER, OPTIONS, PORT, PlainTinc
from routed import inside_netns
from vpn_lab import foreign, vpn_lab  # noqa: F401  (fixture)

MARK = b"\x88\xb5capsul test"
# How long a host that was cut off may take from when it is back: MaxTimeout, the time of a connection, and what comes of two
# keys that overtake each other on two ways (seen once, on a busy machine): packets by UDP are lost until tincd, after 30 probes,
# one a second, sends them by TCP.
HEALED = OPTIONS["MaxTimeout"] + 15 + 30


@pytest.fixture(scope="module")
def made(vpn_lab):
    return PlainTinc(vpn_lab.links)


@pytest.fixture
def nodes(made):
    """All three in one mesh, as if made a moment ago."""
    made.renew()
    return made.nodes


def frame(destination):
    return destination + bytes.fromhex("020000000042") + MARK + bytes(60)


def frames_in(sender, receiver):
    """How many of ten frames, of which every other one is for everybody, come out of the receiver's trunk."""
    with inside_netns(receiver.host.leader()):
        inlet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    with inside_netns(sender.host.leader()):
        outlet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    mac = bytes.fromhex(receiver.run(f"cat /sys/class/net/{receiver.bridge}/address").stdout.strip().replace(":", ""))
    with inlet, outlet:
        inlet.bind((receiver.trunk, 3))
        inlet.settimeout(2)
        outlet.bind((sender.bridge, 0))
        for number in range(10):
            outlet.send(frame(mac if number % 2 else b"\xff" * 6))
            time.sleep(0.05)
        return sum(1 for _ in range(10) if next_mark(inlet))


def next_mark(inlet):
    try:
        while True:
            if MARK in inlet.recv(65536):
                return True
    except TimeoutError:
        return False


def test_what_is_on_the_wire_is_tincs(vpn_lab, nodes):
    a, b, _ = nodes
    with vpn_lab.links.tap(a.host) as tap:
        assert frames_in(a, b) == 10
        seen = tap.frames()
    assert seen and foreign(seen, PORT) == []
    assert not [one for one in seen if MARK in one]


def test_it_has_no_privilege(nodes):
    status = nodes[0].host.run(f"cat /proc/{nodes[0].pid()}/status").stdout
    assert set(re.findall(r"^Cap\w+:\s+(\w+)$", status, re.M)) == {"0" * 16}
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^Threads:\s+1$", status, re.M)


def test_a_host_is_reached_through_the_one_that_knows_it(vpn_lab, nodes):
    """And then directly: the session's keys come through the one between, which could read them."""
    a, b, c = nodes
    for one, other in ((b, c), (c, b)):
        one.forget(other)
    for one in (b, c):
        one.unit("restart")
    assert c.until_reaches(b) < HEALED
    time.sleep(2)
    with vpn_lab.links.tap(b.host) as tap:
        assert frames_in(c, b) == 10
        assert len([one for one in tap.frames() if is_between(one, c, b)]) >= 5  # what is for everybody goes by a


def is_between(one, sender, receiver):
    """Whether it is an IP packet of one host's, and for the other."""
    ip4, ip6 = (b"".join(socket.inet_pton(family, node.hosts_addresses()[at]) for node in (sender, receiver))
                for at, family in enumerate((socket.AF_INET, socket.AF_INET6)))
    return one[26:34] == ip4 or one[22:54] == ip6


def test_a_host_is_cut_off_when_all_have_dropped_it(nodes):
    """Not before: one that still has it lets it in, and the keys for the way past that one go through it."""
    a, b, c = nodes
    a.forget(c)
    a.unit("reload")
    time.sleep(1)
    assert frames_in(c, a) == 10
    b.forget(c)
    b.unit("reload")
    wait_until(lambda: frames_in(c, a) == 0, 5)
    assert frames_in(c, b) == 0
    time.sleep(OPTIONS["MaxTimeout"] + 15)
    assert frames_in(c, a) == 0 and frames_in(c, b) == 0
    assert frames_in(a, b) == 10


DEAF = """
table inet deaf {
    chain in { type filter hook input priority 0
        tcp dport 11655 drop
        tcp sport 11655 drop
    }
    chain out { type filter hook output priority 0
        tcp dport 11655 drop
        tcp sport 11655 drop
    }
}
"""


def test_what_it_goes_on_sending_with_its_old_keys_is_dropped(nodes):
    a, b, c = nodes
    c.options.update(PingInterval=3600, PingTimeout=3600)
    c.configure()
    c.unit("restart")
    assert c.until_reaches(a) < HEALED and c.until_reaches(b) < HEALED
    assert frames_in(c, a) == 10 and frames_in(c, b) == 10
    c.host.run("nft -f -", input=DEAF)  # it does not get to know that it was dropped
    try:
        for one in (a, b):
            one.forget(c)
            one.unit("reload")
        wait_until(lambda: frames_in(c, a) == 0 and frames_in(c, b) == 0, 10)
    finally:
        c.host.run("nft delete table inet deaf")


def test_a_reload_calls_who_is_new_and_closes_nothing(nodes):
    a, b, c = nodes
    for one in nodes:
        one.unit("stop")
    for one, other in ((a, c), (b, c), (c, a), (c, b)):
        one.forget(other)
    for one in nodes:
        one.unit("start")
    assert a.until_reaches(b) < HEALED and not a.reaches(c)
    pid = a.pid()
    a.know(c, connect=False)
    a.unit("reload")
    c.know(a, a.hosts_addresses())
    c.unit("reload")
    assert c.until_reaches(a) < 3 and c.until_reaches(b) < 3
    a.unit("reload")
    time.sleep(1)
    assert "Closing" not in a.log("-1s") and a.pid() == pid


def test_a_reload_takes_in_a_changed_address(nodes):
    """It closes the connection and calls again. A change in the second of the last reload is not seen, but none is lost."""
    a, _, c = nodes
    c.know(a, ["198.51.100.200"])
    c.unit("restart")
    time.sleep(1.5)
    c.know(a, [c.hosts.ip4(a.host)])
    c.unit("reload")
    assert c.until_reaches(a) < 3


def test_killed_it_is_back(nodes):
    a, b, c = nodes
    a.signal("KILL")
    assert b.until_reaches(a) < HEALED and c.until_reaches(a) < HEALED


@pytest.mark.parametrize("how", ["pulled_out", "silenced"])
def test_cut_off_for_thirty_seconds_it_is_back(vpn_lab, nodes, how):
    a, b, c = nodes
    with getattr(vpn_lab.links, how)(c.host):
        time.sleep(30)
        assert not a.reaches(c)
    assert a.until_reaches(c) < HEALED and b.until_reaches(c) < HEALED


@pytest.mark.parametrize("family, largest", [(4, 1421), (6, 1389)], ids=["IPv4", "IPv6"])
def test_what_fits(vpn_lab, made, nodes, family, largest):
    """1380 does in both. Of what does not, the sender is told: nothing is split on the way (PMTU of guests works)."""
    a, b, _ = nodes
    made.renew(addresses=lambda host: [getattr(vpn_lab.links, f"ip{family}")(host)])
    wait_until(lambda: fits(a, b, 1380) and f"pmtu {largest + 14} (min {largest + 14}" in a.known_node(b), 30)
    with vpn_lab.links.tap(a.host) as tap:
        assert fits(a, b, largest) and not fits(a, b, largest + 1)
        split = [one for one in tap.frames() if one[12:14] == b"\x08\x00" and int.from_bytes(one[20:22], "big") & 0x3FFF
                 or one[12:14] == b"\x86\xdd" and one[20] == 44]
    assert split == []


def fits(sender, receiver, size):
    """An IPv4 packet of this size, not to be split."""
    return sender.pings(receiver.ip4, 2, "-M", "do", "-s", str(size - 28))


def test_a_narrower_way_is_found_out(vpn_lab, nodes):
    a, _, c = nodes
    assert fits(a, c, 1380)
    with vpn_lab.links.mtu(c.host, 1400):
        wait_until(lambda: not fits(a, c, 1380) and fits(a, c, 1280), 60)


def test_how_a_host_is_sent_to_is_that_hosts_choice(vpn_lab, nodes):
    """What others have in their copy of its file does not count, and its own file counts more than tinc.conf. So capsul writes
    none of it to hosts/, and all of it to tinc.conf."""
    a, b, _ = nodes
    weak = "Cipher = none\nDigest = none\nMACLength = 0\n"
    a.write(f"hosts/{b.name}", weak + b.host_file(*b.hosts_addresses()))
    a.unit("restart")
    assert a.until_reaches(b) < HEALED
    assert not in_clear(vpn_lab, a, b)
    b.write(f"hosts/{b.name}", weak + b.host_file())
    b.unit("restart")
    assert a.until_reaches(b) < HEALED
    assert in_clear(vpn_lab, a, b)


def in_clear(vpn_lab, sender, receiver):
    time.sleep(2)
    with vpn_lab.links.tap(sender.host) as tap:
        assert frames_in(sender, receiver) == 10
        return any(MARK in one for one in tap.frames())


@pytest.mark.parametrize("name", ["../tinc", "hosta-up", "host a", ""])
def test_names_that_are_paths_are_refused(nodes, name):
    a, b, _ = nodes
    since = time.strftime("%H:%M:%S")
    with inside_netns(b.host.leader()), socket.create_connection((b.hosts.ip4(a.host), PORT), 5) as line:
        line.sendall(f"0 {name} 17\n".encode())
        wait_until(lambda: re.search("had invalid name|Got bad ID|unknown identity", a.log(since)), 10)


def test_it_writes_nothing(nodes):
    newer = nodes[0].run(f"find {FOLDER} -newer {FOLDER}/tinc.conf -type f").stdout.split()
    assert [one for one in newer if "/hosts/" not in one and not one.endswith("tinc.conf")] == []
