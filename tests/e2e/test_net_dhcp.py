"""DHCP and router advertisements of a nat network: the real unit, with this process in the place of the guests.

Each VM here has a record and TAPs, as capsul makes them, and is never started: this process sends and hears for it.
"""

import contextlib
import ipaddress
import json
import os
import re
import socket
import struct
import time

import conftest
import frames
import pytest
from cable import Cable, network_of
from conftest import EXAMPLES_IN_HOST, install_capsul
from frames import ICMP6, IP4, IP6, UDP
from net_helper import HELPER

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
SOLICIT, ADVERTISE, REQUEST6, REPLY6 = 1, 2, 3, 7
UNIT = "capsul-dhcp-lan.service"
GATEWAY4, GATEWAY6 = "10.80.7.1", "fd80:ca95:0:7::1"
NOBODY = 65534


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    with conftest.hosts.Host.boot("dhcp", binds=host_binds, lab=lab, tied=True) as host:
        capsul = install_capsul(host)
        host.run([EXAMPLES_IN_HOST / "host-setup.sh", "--user", "alice"])
        host.run(f"systemctl restart user@{capsul.uid}.service")
        capsul.run("truncate --size 1M empty.raw && capsulctl image import empty empty.raw")
        yield capsul


@pytest.fixture(scope="module")
def lan(capsul):
    capsul.ctl("network", "create", "lan", "--subnet", "10.80.7.0/24", "--subnet6", "fd80:ca95:0:7::/64", "--dhcp",
               "--dns", "192.0.2.53", "--dns", "2001:db8::53")
    yield capsul
    capsul.ctl("network", "delete", "lan", "--yes", "--ignore-missing")


@contextlib.contextmanager
def guest_of(capsul, name, network="lan"):
    """The cable of a VM that is made for it."""
    capsul.ctl("vm", "create", name, "--image", "empty", "--disk", "2M", "--no-ssh-key", "--no-start", "--network", network)
    nic = capsul.json("vm", "show", name)["spec"]["nics"][0]
    capsul.run(f".local/share/capsul/vms/{name}/net-setup.sh")
    guest = Cable(nic["tap"], nic["mac"], nic["ip"], nic.get("ip6", ""))
    with network_of(capsul.host):
        guest.plug_in()
    try:
        yield guest
    finally:
        guest.unplug()
        capsul.run(f".local/share/capsul/vms/{name}/net-teardown.sh")
        capsul.ctl("vm", "delete", name, "--yes")


@pytest.fixture(scope="module")
def web(lan):
    with guest_of(lan, "web") as guest:
        yield guest


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def main_pid(capsul):
    return capsul.run(f"systemctl --user show --value --property=MainPID {UNIT}").stdout.strip()


def answer(guest, frame, test, seconds=3):
    guest.forget()
    guest.send(frame)
    return guest.gets(test, seconds)


# ------------------------------------------------------------------------------------------------------------------ IPv4


def request4(guest, kind, options=b"", source="0.0.0.0"):
    message = frames.dhcp(guest.mac, kind, options, client_ip=source)
    everybody = "255.255.255.255"
    return frames.ethernet(guest.mac, frames.BROADCAST, IP4,
                           frames.ip4(source, everybody, UDP, frames.udp(source, everybody, 68, 67, message)))


def is_answer4(kind):
    """From the server's port to the client's, of this kind; what an honest client looks at."""
    return lambda frame: (frame[12:14] == b"\x08\0" and frame[23] == UDP and frame[34:38] == b"\0\x43\0\x44" and
                          bytes([53, 1, kind]) in frame[282:])


def offer(guest, seconds=3):
    return answer(guest, request4(guest, DISCOVER, b"\x37\4\1\3\6\x0c"), is_answer4(OFFER), seconds)


def ack(guest):
    wanted = b"\x32\4" + socket.inet_aton(guest.ip4) + b"\x36\4" + socket.inet_aton(GATEWAY4) + b"\x37\4\1\3\6\x0c"
    return answer(guest, request4(guest, REQUEST, wanted), is_answer4(ACK))


def options4(frame):
    found, place = {}, 282
    while frame[place] != 255:
        length = frame[place + 1]
        found[frame[place]] = frame[place + 2:place + 2 + length]
        place += 2 + length
    return found


def udp_checksum_is_right(frame):
    source, to, datagram = frame[26:30], frame[30:34], frame[34:34 + int.from_bytes(frame[38:40], "big")]
    text = [socket.inet_ntoa(address) for address in (source, to)]
    return frames.checksum(frames.pseudo_header(*text, UDP, len(datagram)) + datagram) == 0


def test_a_guest_gets_its_address(lan, web):
    offered = offer(web)
    assert offered and offered[58:62] == socket.inet_aton(web.ip4)
    taken = ack(web)
    assert taken and taken[58:62] == socket.inet_aton(web.ip4)
    assert taken[6:12] == frames.mac_bytes(lan.run("cat /sys/class/net/cap-lan/address").stdout.strip())
    options = options4(taken)
    assert options[1] == socket.inet_aton("255.255.255.0") and options[3] == socket.inet_aton(GATEWAY4)
    assert options[6] == socket.inet_aton("192.0.2.53") and options[12] == b"web"
    assert options[51] == b"\xff\xff\xff\xff"
    assert udp_checksum_is_right(offered) and udp_checksum_is_right(taken)


def test_a_guest_that_asks_everybody_keeps_its_address(web):
    """And is answered under it: the server knows the guest's MAC without asking."""
    again = answer(web, request4(web, REQUEST, source=web.ip4), is_answer4(ACK))
    assert again and again[30:34] == socket.inet_aton(web.ip4) and again[:6] == frames.mac_bytes(web.mac)
    assert udp_checksum_is_right(again)


def test_whom_capsul_does_not_know_gets_nothing(lan, web):
    stranger = Cable("cap-x", "02:00:00:00:00:77", "10.80.7.200")
    lan.run([HELPER, "tap-add", "cap-x", "cap-lan", stranger.mac, "--ip", stranger.ip4])
    with network_of(lan.host):
        stranger.plug_in()
    try:
        assert offer(stranger, 1) is None
    finally:
        stranger.unplug()
        lan.run([HELPER, "tap-del", "cap-x"])
    assert offer(web)


# ------------------------------------------------------------------------------------------------------------------ IPv6


def ask6(guest, to_mac, to, protocol, payload):
    source = frames.link_local(guest.mac)
    return frames.ethernet(guest.mac, to_mac, IP6, frames.ip6(source, to, protocol, payload(source, to)))


def router_solicitation(guest):
    return ask6(guest, "33:33:00:00:00:02", "ff02::2", ICMP6,
                lambda source, to: frames.icmp6(source, to, 133, bytes(4) + frames.lladdr(1, guest.mac)))


def is_advertisement(frame):
    return frame[12:14] == b"\x86\xdd" and frame[20] == ICMP6 and frame[54] == 134


def options_of_advertisement(frame):
    found, place, end = {}, 70, 54 + int.from_bytes(frame[18:20], "big")
    while place < end:
        length = frame[place + 1] * 8
        found[frame[place]] = frame[place:place + length]
        place += length
    return found


def option6(number, value):
    return struct.pack("!HH", number, len(value)) + value


def options6(data):
    found = {}
    while len(data) >= 4:
        number, length = struct.unpack("!HH", data[:4])
        found[number], data = data[4:4 + length], data[4 + length:]
    return found


def request6(guest, kind, *more, duid=b"\0\3\0\1"):
    """A client with an identifier made of its MAC; option 3 asks for an address, 6 for the servers of DNS."""
    options = (option6(1, duid + frames.mac_bytes(guest.mac)) + option6(3, b"\0\0\0\1" + bytes(8)) + option6(6, b"\0\x17") +
               option6(8, b"\0\0") + b"".join(more))
    message = bytes([kind]) + b"abc" + options
    return ask6(guest, "33:33:00:01:00:02", "ff02::1:2", UDP, lambda source, to: frames.udp(source, to, 546, 547, message))


def answer6(guest, frame, kind, seconds=3):
    got = answer(guest, frame, lambda one: (one[12:14] == b"\x86\xdd" and one[20] == UDP and
                                            one[54:58] == b"\x02\x23\x02\x22" and one[62] == kind), seconds)
    return got and options6(got[66:54 + int.from_bytes(got[58:60], "big")])


def address_in(options):
    inner = options6(options[3][12:])
    return str(ipaddress.IPv6Address(inner[5][:16])) if 5 in inner else None


def get_address6(guest, **more):
    advertised = answer6(guest, request6(guest, SOLICIT, **more), ADVERTISE)
    if not advertised or address_in(advertised) is None:
        return None
    reply = answer6(guest, request6(guest, REQUEST6, option6(2, advertised[2]), **more), REPLY6)
    return reply and address_in(reply)


def test_a_guest_finds_its_router(lan, web):
    got = answer(web, router_solicitation(web), is_advertisement)
    assert got
    mac = lan.run("cat /sys/class/net/cap-lan/address").stdout.strip()
    own = next(line.split() for line in lan.run("cat /proc/net/if_inet6").stdout.splitlines()
               if line.startswith("fe80") and line.endswith(" cap-lan"))
    assert got[6:12] == frames.mac_bytes(mac) and got[22:38] == bytes.fromhex(own[0])
    assert frames.checksum(frames.pseudo_header(*(str(ipaddress.IPv6Address(got[place:place + 16])) for place in (22, 38)),
                                                ICMP6, len(got) - 54) + got[54:]) == 0
    assert got[59] & 0x80, "it does not say that there is DHCPv6"
    assert int.from_bytes(got[60:62], "big") > 0, "it is no default router"
    options = options_of_advertisement(got)
    assert options[1][2:8] == frames.mac_bytes(mac)
    assert options[3][2] == 64 and options[3][16:] == ipaddress.IPv6Address("fd80:ca95:0:7::").packed
    assert not options[3][3] & 0x40, "guests would make up addresses that they may not send from"
    assert options[25][8:24] == ipaddress.IPv6Address("2001:db8::53").packed


def test_a_guest_gets_its_ipv6_address(web):
    advertised = answer6(web, request6(web, SOLICIT), ADVERTISE)
    assert advertised and address_in(advertised) == web.ip6
    assert advertised[23] == ipaddress.IPv6Address("2001:db8::53").packed
    assert get_address6(web) == web.ip6


# --------------------------------------------------------------------------------------------------- what VMs are, and do


def test_vms_that_come_and_go(lan, web):
    with guest_of(lan, "first") as first:
        assert offer(first) and ack(first) and get_address6(first) == first.ip6
        before = first
    with guest_of(lan, "second") as second:
        assert (second.ip4, second.ip6) == (before.ip4, before.ip6) and second.mac != before.mac
        taken = offer(second) and ack(second)
        assert taken and taken[58:62] == socket.inet_aton(second.ip4)
        assert get_address6(second) == second.ip6
    assert offer(web)


def test_dnsmasq_is_not_started_anew_for_a_vm_that_comes(lan, web):
    before = main_pid(lan)
    with guest_of(lan, "guest") as guest:
        assert offer(guest)
        assert main_pid(lan) == before


def test_a_vm_whose_name_dnsmasq_takes_for_a_word(lan):
    with guest_of(lan, "ignore") as guest:
        assert offer(guest)


def set_bridged(capsul, value):
    with network_of(capsul.host):
        for name in ("iptables", "ip6tables"):
            with open(f"/proc/sys/net/bridge/bridge-nf-call-{name}", "w", encoding="ascii") as file:
                file.write(f"{value}\n")


@pytest.mark.parametrize("bridged", [0, 1], ids=["", "where bridged frames are filtered"])
@pytest.mark.parametrize("isolate", [[], ["--isolate"]], ids=["", "isolated"])
@pytest.mark.parametrize("egress", ["full", "none", "dns-icmp", "192.0.2.0/24"])
def test_every_kind_of_network_has_it(capsul, egress, isolate, bridged):
    set_bridged(capsul, bridged)
    capsul.ctl("network", "create", "other", "--subnet", "10.80.9.0/24", "--subnet6", "fd80:ca95:0:9::/64", "--dhcp",
               "--egress", egress, *isolate)
    try:
        with guest_of(capsul, "kind", "other") as guest:
            assert offer(guest)
            assert answer(guest, router_solicitation(guest), is_advertisement)
            assert get_address6(guest) == guest.ip6
    finally:
        capsul.ctl("network", "delete", "other", "--yes")
        set_bridged(capsul, 1)


def test_switched_off_and_on(lan, web):
    lan.ctl("network", "set", "lan", "--dhcp", "off")
    assert offer(web, 1) is None
    assert lan.json("network", "show", "lan")["dhcp"] is None
    assert lan.run(f"systemctl --user is-active {UNIT}", check=False).stdout.strip() == "inactive"
    assert lan.run(f"ls .config/systemd/user/{UNIT}", check=False).returncode != 0
    assert lan.run("ip link show cap-lan-dhcp", check=False).returncode != 0
    lan.ctl("network", "set", "lan", "--dhcp", "on")
    assert offer(web)
    assert lan.json("network", "show", "lan")["dhcp"] == "running"
    assert re.search(r"DHCP: +on \(running\)", lan.ctl("network", "show", "lan").stdout)


def test_a_change_of_dns_servers_holds_at_once(lan, web):
    lan.ctl("network", "set", "lan", "--dns", "192.0.2.99")
    try:
        assert offer(web) and options4(ack(web))[6] == socket.inet_aton("192.0.2.99")
    finally:
        lan.ctl("network", "set", "lan", "--dns", "192.0.2.53", "--dns", "2001:db8::53")


def test_starts_and_stops_with_its_network(capsul):
    capsul.ctl("network", "create", "brief", "--subnet", "10.80.11.0/24", "--dhcp")
    state = "systemctl --user is-active capsul-dhcp-brief.service"
    capsul.ctl("network", "stop", "brief")
    assert capsul.run(state, check=False).stdout.strip() == "inactive"
    capsul.run("systemctl --user start capsul-net-brief.service")  # as at boot: capsuld has no part in it
    wait_for(lambda: capsul.run(state, check=False).stdout.strip() == "active")
    before = capsul.run("ip -o link show type tun").stdout
    assert "cap-brief-dhcp" in before
    capsul.ctl("network", "delete", "brief", "--yes")
    assert "brief" not in capsul.run("ip -o link").stdout
    assert not [line for line in capsul.traces() if "brief" in line]


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
@pytest.mark.parametrize("victim", ["capsul-dhcp", "dnsmasq"])
def test_comes_back_whichever_of_the_two_ends(lan, web, victim, signal):
    before = main_pid(lan)
    lan.run(f"pkill --signal {signal} --exact {victim}; systemctl --user reset-failed {UNIT}")
    wait_for(lambda: main_pid(lan) not in (before, "0") and offer(web, 0.5))
    assert lan.run("pgrep --count --exact dnsmasq").stdout.strip() == "1"


# ------------------------------------------------------------------------------------------------------------ its confines


def test_has_no_power_over_the_host(lan, web):
    """dnsmasq's capabilities are those of a namespace in which there is nothing of the host's."""
    pid = lan.run("pgrep --exact dnsmasq").stdout.strip()
    status = lan.host.run(f"cat /proc/{pid}/status").stdout
    assert re.search(r"CapBnd:\s*0000000000003400\n", status) and re.search(r"NoNewPrivs:\s*1\n", status)
    for kind in ("user", "net", "pid", "mnt"):
        assert len(set(lan.host.run(f"readlink /proc/{pid}/ns/{kind} /proc/1/ns/{kind}").stdout.split())) == 2, kind
    tried = lan.host.run(["nsenter", f"--user=/proc/{pid}/ns/user", "--preserve-credentials",
                          "ip", "link", "set", "cap-lan", "down"], check=False)
    assert tried.returncode != 0 and "not permitted" in tried.stderr


# In dnsmasq's place. Prints what it could do.
PROBE = r"""
import ctypes, json, os, socket, sys
home, uid, victim, address = sys.argv[1:]
data = f"{home}/.local/share/capsul"
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *words):
    if getattr(libc, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), name)

def connect(family, kind, place):
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        one.connect(place)

tries = {
    "read what it is told": lambda: open(f"{data}/networks/lan/dhcp/hosts").read(),
    "write what it is told": lambda: open(f"{data}/networks/lan/dhcp/hosts", "a"),
    "read the network's record": lambda: open(f"{data}/networks/lan/network.toml"),
    "read the home": lambda: open(f"{home}/.ssh/secret"),
    "write somewhere": lambda: open("/tmp/x", "w"),
    "reach the bus": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, f"/run/user/{uid}/bus"),
    "reach systemd": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, f"/run/user/{uid}/systemd/private"),
    "reach capsuld": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, f"/run/user/{uid}/capsul/capsuld.sock"),
    "reach an abstract socket": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0dhcp-probe"),
    "reach the host": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, (address, 9)),
    "send to the host": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (address, 9)),
    "hear all frames": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "open a TAP": lambda: os.open("/dev/net/tun", os.O_RDWR),
    "make namespaces": lambda: call("unshare", 0x10000000),
    "make namespaces by clone": lambda: call("syscall", 56, 0x10000011, 0, 0, 0, 0),
    "enter the host's network": lambda: call("setns", os.open(f"/proc/{victim}/ns/net", os.O_RDONLY), 0),
    "signal others": lambda: os.kill(int(victim), 0),
    "signal all": lambda: os.kill(-1, 0),
    "read the memory of others": lambda: open(f"/proc/{victim}/mem", "rb"),
    "read the environment of others": lambda: open(f"/proc/{victim}/environ", "rb").read(),
    "have others killed first": lambda: open(f"/proc/{victim}/oom_score_adj", "w"),
}
done = []
for name, attempt in tries.items():
    try:
        attempt()
        done.append(name)
    except OSError:
        pass
print("PROBED", json.dumps(done), flush=True)
"""


def test_the_server_can_do_nothing_but_serve(lan, web):
    unit = f".config/systemd/user/{UNIT}"
    command = re.search(r"^ExecStart=(.*?) -- ", lan.run(f"cat {unit}").stdout, re.MULTILINE)[1]
    home = lan.run("pwd").stdout.strip()
    lan.run("mkdir -p -m 700 .ssh && echo secret >.ssh/secret; cat >/var/tmp/probe.py", input=PROBE)
    lan.run(["systemd-run", "--user", "--quiet", "--unit=listener", "/usr/bin/python3", "-c",
             r"import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\0dhcp-probe'); s.listen(); time.sleep(1e6)"])
    words = f"{home} {lan.uid} {lan.daemon_pid()} {lan.host.address()}"
    lan.host.run(f"mv /var/tmp/probe.py /usr/local/lib/probe.py; mkdir -p {home}/{unit}.d && chown alice {home}/{unit}.d")
    lan.run(f"cat >{unit}.d/probe.conf", input=f"[Service]\nType=exec\nRestart=no\nExecStart=\nExecStart={command} -- "
                                               f"/usr/bin/python3 /usr/local/lib/probe.py {words}\n")
    lan.run(f"systemctl --user daemon-reload; systemctl --user restart {UNIT}")
    said = f"journalctl --user --unit {UNIT} --output=cat | grep ^PROBED"
    try:
        wait_for(lambda: lan.run(said, check=False).stdout)
        assert json.loads(lan.run(said).stdout.split(maxsplit=1)[1]) == ["read what it is told"]
    finally:
        lan.run(f"rm -r {unit}.d; systemctl --user stop listener; systemctl --user daemon-reload; "
                f"systemctl --user reset-failed {UNIT}; systemctl --user restart {UNIT}", check=False)
    assert offer(web)


def test_no_process_has_a_capability_on_the_host(lan, web):
    everyone = lan.host.run("for pid in $(pgrep --uid alice); do "
                            "echo $(readlink /proc/$pid/ns/user) $(awk '/^Name|^CapEff/ {print $2}' /proc/$pid/status); done")
    host = lan.host.run("readlink /proc/1/ns/user").stdout.strip()
    lines = [line.split() for line in everyone.stdout.splitlines()]
    assert {"capsul-dhcp", "dnsmasq", "capsuld"} <= {name for _, name, _ in lines}
    # The manager's helper that waits for the end of a login has those of its own session.
    assert {effective for namespace, _, effective in lines if namespace == host} == {"0" * 16}
    assert {effective for _, name, effective in lines if name == "capsul-dhcp"} == {"0" * 16}


def test_does_not_start_without_its_sandbox(lan, web):
    folder = f".config/systemd/user/{UNIT}.d"
    lan.run(f"mkdir -p {folder} && printf '[Service]\\nPrivateTmp=no\\n' >{folder}/weak.conf && systemctl --user daemon-reload")
    try:
        assert lan.run(f"systemctl --user restart {UNIT}", check=False).returncode != 0
        assert "not in force: PrivateTmp=yes" in lan.run(f"journalctl --user --unit {UNIT} --output=cat --lines=20").stdout
    finally:
        lan.run(f"rm -r {folder}; systemctl --user daemon-reload; systemctl --user reset-failed {UNIT}; "
                f"systemctl --user restart {UNIT}")
    assert offer(web)


def test_unit_is_judged_well_by_systemd(lan, web):
    judged = lan.run(f"systemd-analyze --user security --no-pager {UNIT}").stdout
    assert float(re.search(r"exposure level for \S+: ([0-9.]+)", judged)[1]) <= 2.2, judged


@pytest.mark.parametrize("uid, sport, arrives", [
    pytest.param(NOBODY, 1067, False, id="another account"),
    pytest.param(None, 1067, False, id="the account that serves"),
    pytest.param(0, 67, True, id="root"),
])
def test_who_may_send_to_the_port_of_dhcp_clients(lan, web, uid, sport, arrives):
    message = b"I am your DHCP server" + bytes(40)
    web.forget()
    with network_of(lan.host), socket_of(int(lan.uid) if uid is None else uid) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.bind((GATEWAY4, sport))
        try:
            server.sendto(message, ("10.80.7.255", 68))
        except PermissionError:  # a dropped packet's sender is told so
            assert not arrives
    assert (web.gets(lambda frame: message in frame, 1) is not None) == arrives


def socket_of(uid):
    os.seteuid(uid)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)


# ---------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("words, told", [
    (["bad", "--bridge", "br0", "--dhcp"], "dhcp: is of nat networks only"),
    (["bad", "--subnet6", "fd80:ca95:0:100::/56", "--dhcp"], "dhcp: needs an IPv6 subnet of /64 or smaller"),
])
def test_refused_where_it_cannot_be(capsul, words, told):
    refused = capsul.ctl("network", "create", *words, check=False)
    assert refused.returncode == 2 and told in refused.stderr
    assert "bad" not in capsul.ctl("network", "list").stdout


def test_a_server_that_does_not_start_is_told_and_leaves_nothing(capsul):
    capsul.host.run("mv /usr/sbin/dnsmasq /usr/sbin/dnsmasq.away && printf '#!/bin/sh\\necho broken >&2; exit 5\\n' >/usr/sbin/dnsmasq"
                    " && chmod 755 /usr/sbin/dnsmasq")
    try:
        refused = capsul.ctl("network", "create", "bad", "--dhcp", check=False)
        assert refused.returncode != 0 and "its DHCP server does not start: " in refused.stderr
    finally:
        capsul.host.run("mv /usr/sbin/dnsmasq.away /usr/sbin/dnsmasq")
    assert not [line for line in capsul.traces() if "bad" in line]
    assert "cap-bad" not in capsul.run("ip -o link").stdout


def test_a_host_without_dnsmasq_is_told_what_to_install(lan, web):
    lan.host.run("mv /usr/sbin/dnsmasq /usr/sbin/dnsmasq.away")
    try:
        refused = lan.ctl("network", "create", "bad", "--dhcp", check=False)
        assert refused.returncode != 0
        assert "dnsmasq is not installed" in refused.stderr and "apt install dnsmasq-base" in refused.stderr
        findings = lan.json("doctor", check=False)
        assert [found["hint"] for found in findings if found["check"] == "net-dhcp"] == ["sudo apt install dnsmasq-base"]
    finally:
        lan.host.run("mv /usr/sbin/dnsmasq.away /usr/sbin/dnsmasq")
