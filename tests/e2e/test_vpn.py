"""VPNs between three hosts, from end to end: joined in three ways, real guests on each, cut, rebooted, killed, removed.

The tests are one story and run in this order: emulated guests take too long to boot for a set each.
"""

import ipaddress
import itertools
import json
import re
import socket
import time

import pytest
from conftest import BOOT, wait_until
from routed import all_at_once, inside_netns
from vpn_example import run_example
from vpn_lab import SUBNET, SUBNET6, ask_dns, foreign, udp_and_tcp_ports, until_known, vpn_guests, vpn_lab  # noqa: F401  (fixtures)

NET = "mesh"
BRIDGE = f"cap-{NET}"
UNITS = [f"capsul-{kind}-{NET}.service" for kind in ("net", "vpn", "peer")]
VMS = ("va", "vb", "vc")
HEALED = 60  # seconds, on a busy machine: it takes six


@pytest.fixture(scope="module")
def lab3(vpn_lab):
    return vpn_lab


@pytest.fixture(scope="module")
def mesh(lab3):
    """Made on a; b has joined by ssh, c by a code that b gave."""
    a, b, c = lab3.capsuls
    a.ctl("network", "create", NET, "--type", "vpn", "--subnet", SUBNET, "--subnet6", SUBNET6, "--address", lab3.address(a),
          timeout=120)
    b.ctl("network", "join", NET, "--from", "ssh://alice@hosta", "--address", lab3.address(b), timeout=120)
    code = b.ctl("network", "invite", NET, "--expires", "10m").stdout.strip()
    c.ctl("network", "join", code, "--address", lab3.address(c), timeout=120)
    until_known(lab3, NET)
    lab3.code = code
    return lab3


def port_of(capsul):
    conf = capsul.run(f"cat .local/share/capsul/networks/{NET}/tinc/tinc.conf").stdout
    return int(re.search(r"^Port *= *(\d+)$", conf, re.M)[1])


def tincd_pid(capsul):
    return int(capsul.run(f"systemctl --user show --value --property=MainPID capsul-vpn-{NET}.service").stdout)


def hosts_reach(one, to, seconds=2):
    return one.host.run(["ping", "-c1", f"-W{seconds}", to], check=False).returncode == 0


# ------------------------------------------------------------------------------------------ the example


def test_the_example_of_three_hosts(lab3):
    run_example(lab3)


# ------------------------------------------------------------------------------------------ joining


def test_a_third_host_that_joins_through_any_reaches_all(mesh):
    for one in mesh.capsuls:
        assert {peer["node"] for peer in mesh.peers(one, NET).values()} == {"hosta", "hostb", "hostc"} - {one.host.name}
        for other in mesh.capsuls:
            if other is not one:
                wait_until(lambda one=one, other=other: hosts_reach(one, mesh.own_ip(other, NET)), HEALED)


def test_slices_do_not_overlap(mesh):
    slices = {peer["node"]: peer["slice"] for one in mesh.capsuls for peer in mesh.peers(one, NET).values()}
    assert len(slices) == 3
    for one, other in itertools.combinations(map(ipaddress.ip_network, slices.values()), 2):
        assert not one.overlaps(other)


def test_a_code_is_good_for_one_host(mesh):
    again = mesh.a.ctl("network", "join", mesh.code, "--as", "again", check=False, timeout=60)
    assert again.returncode != 0 and "does not answer" in again.stderr, again.stderr
    assert "again" not in [one["name"] for one in mesh.a.json("network", "list")]


def test_the_listener_of_an_invitation_goes_with_it(mesh):
    ports = mesh.b.run("ss -Hltn | awk '{print $4}' | sed 's/.*://' | sort -u").stdout.split()
    assert set(ports) <= {"22", "53", str(port_of(mesh.b)), "11654"}


def test_keys_are_of_the_user_alone(mesh):
    for one in mesh.capsuls:
        folder = f".local/share/capsul/networks/{NET}"
        modes = one.run(f"stat -c %a {folder}/tinc/rsa_key.priv {folder}/identity.key").stdout.split()
        assert modes == ["600", "600"]


def test_joining_by_files(mesh):
    """c leaves and comes back, with nothing but files."""
    a, _, c = mesh.capsuls
    a.ctl("network", "peer", "rm", NET, "hostc", "--yes", timeout=60)
    c.ctl("network", "delete", NET, "--yes", timeout=60)
    assert c.run("ip -o link | grep -c cap-", check=False).stdout.strip() == "0"
    assert not c.run("ls -d .local/share/capsul/networks/*", check=False).stdout
    given = a.ctl("network", "export", NET, "--for", "hostc").stdout
    c.run("cat >given.json", input=given)
    c.ctl("network", "join", "--file", "given.json", "--address", mesh.address(c), timeout=120)
    own = c.ctl("network", "export", NET).stdout
    a.run("cat >own.json", input=own)
    a.ctl("network", "peer", "add", NET, "own.json")
    assert "PRIVATE" not in given + own
    until_known(mesh, NET)


# ------------------------------------------------------------------------------------------ checking


def findings(capsul):
    """{(node, check): what was found}"""
    found = capsul.ctl("network", "check", NET, "--json", check=False, timeout=180)
    assert found.returncode in (0, 8), found.stderr
    return {(one["node"], one["check"]): one for one in json.loads(found.stdout)}


def test_check_tries_every_peer(mesh):
    found = findings(mesh.a)
    for node in ("hostb", "hostc"):
        for check in ("handshake", "ping", "mtu", "download", "upload"):
            one = found[node, check]
            assert one["severity"] == "ok" and one["value"] > 0, one
    assert found["hostb", "mtu"]["value"] == 1380


# ------------------------------------------------------------------------------------------ bad input


def refused(capsul, *words, **options):
    """What capsulctl says; nothing is changed."""
    before = (capsul.json("network", "list"), capsul.traces())
    result = capsul.ctl(*words, check=False, **{"timeout": 60, **options})
    assert result.returncode != 0, words
    assert (capsul.json("network", "list"), capsul.traces()) == before
    return result.stderr


def test_bad_codes_are_refused(mesh):
    """Altered, and withdrawn."""
    code = mesh.a.ctl("network", "invite", NET, "--expires", "1m").stdout.strip()
    altered = code[:30] + ("a" if code[30] != "a" else "b") + code[31:]
    assert "code" in refused(mesh.b, "network", "join", altered, "--as", "again")
    mesh.a.ctl("network", "invite", NET, "--expires", "1m")  # one at a time: the first is no longer good
    said = refused(mesh.b, "network", "join", code, "--as", "again")
    assert "has not given out this join code" in said or "does not answer" in said, said


def test_a_port_or_subnet_that_is_taken_is_refused(mesh):
    create = ("network", "create", "other", "--type", "vpn", "--address", mesh.address(mesh.a))
    assert "another network's" in refused(mesh.a, *create, "--subnet", "10.90.0.0/16", "--port", port_of(mesh.a))
    assert "overlaps" in refused(mesh.a, *create, "--subnet", "10.90.0.0/16")
    assert "10.99.0.0/16" in refused(mesh.a, *create, "--subnet", "10.99.0.0/16")  # the policy does not have it
    with inside_netns(mesh.a.host.leader()), socket.socket() as taken:
        taken.bind(("0.0.0.0", 11799))
        taken.listen()
        assert "another program" in refused(mesh.a, *create, "--port", "11799")


def test_a_host_that_cannot_be_reached_is_told_of(mesh):
    assert "ssh has failed" in refused(mesh.b, "network", "join", NET, "--as", "again", "--from", "ssh://alice@198.51.100.77",
                                       timeout=200)


def test_a_megabyte_of_host_file_is_refused(mesh):
    mesh.a.run("head -c 1048576 /dev/zero | tr '\\0' '[' >large.json")
    refused(mesh.a, "network", "peer", "add", NET, "large.json")


# ------------------------------------------------------------------------------------------ processes


def test_its_processes_have_no_privilege(mesh):
    for one in mesh.capsuls:
        for unit in UNITS[1:]:
            group = one.run(f"systemctl --user show --value --property=ControlGroup {unit}").stdout.strip()
            pids = one.run(f"cat /sys/fs/cgroup{group}/cgroup.procs").stdout.split()
            assert pids, unit
            for pid in pids:
                status = one.host.run(f"cat /proc/{pid}/status").stdout
                assert set(re.findall(r"^Cap\w+:\s+(\w+)$", status, re.M)) == {"0" * 16}, f"{unit}: {status}"
                assert set(re.search(r"^Uid:\s+(.*)$", status, re.M)[1].split()) == {one.uid}
                assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)


# ------------------------------------------------------------------------------------------ guests


@pytest.fixture(scope="module")
def guests(mesh, vpn_guests):
    made = vpn_guests(dict(zip(VMS, mesh.capsuls)), NET)
    made.give_iperf()
    return made


def pairs():
    return [(one, other) for one in VMS for other in VMS if one != other]


def test_addresses_are_of_the_hosts_slice_and_of_the_mac(mesh, guests):
    for vm, one in guests.where.items():
        ip4, ip6 = guests.addresses(vm)
        assert ip4.split(".")[:2] == ["10", "90"]
        mac = one.json("vm", "show", vm)["spec"]["nics"][0]["mac"].split(":")
        last = [int(mac[0], 16) ^ 2, *(int(part, 16) for part in mac[1:3]), 0xFF, 0xFE, *(int(part, 16) for part in mac[3:])]
        assert ip6.split("/")[0] == "fd90::" + ":".join(f"{last[i] << 8 | last[i + 1]:x}" for i in range(0, 8, 2))


def test_guests_reach_each_other_by_address_and_by_name(guests):
    for one, other in pairs():
        for to in (*guests.addresses(other), guests.name(other)):
            wait_until(lambda one=one, to=to: guests.pings(one, to.split("/")[0]), 120)
        for family in ("-4", "-6"):
            wait_until(lambda one=one, other=other, family=family:
                       guests.run(one, "ping", family, "-c1", "-W5", guests.name(other), check=False).returncode == 0, 120)


def test_hosts_resolve_the_names_too(mesh, guests):
    for one in mesh.capsuls:
        resolver = one.json("network", "show", NET)["vpn"]["resolver"]
        for vm in VMS:
            ip4, ip6 = (address.split("/")[0] for address in guests.addresses(vm))
            assert ask_dns(one, resolver, guests.name(vm)) == [ip4]
            assert ask_dns(one, resolver, guests.name(vm), "AAAA") == [ip6]


def test_ssh_and_iperf3_go_from_guest_to_guest(guests):
    for vm in VMS:
        guests.iperf(vm, "--server", "--daemon")
    key = "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_vpn <<<y >/dev/null 2>&1; cat /root/.ssh/id_vpn.pub"
    for number, (one, other) in enumerate(pairs()):
        public = guests.run(one, "bash", "-c", f"mkdir -p /root/.ssh; {key}").stdout
        guests.run(other, "sh", "-c", f"echo '{public.strip()}' >>/home/debian/.ssh/authorized_keys")
        targets = [to.split("/")[0] for to in (guests.name(other), *guests.addresses(other))]
        for to in targets:
            said = guests.run(one, "ssh", "-i", "/root/.ssh/id_vpn", "-o", "StrictHostKeyChecking=no", f"debian@{to}", "hostname")
            assert said.stdout.strip() == other
        assert guests.iperf_between(one, targets[number % len(targets)], 1) > 0


def test_arp_and_broadcast_cross(guests):
    """What one guest sends to all is received on all hosts."""
    listen = "import socket\n" \
             "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 4242)); s.settimeout(90)\n" \
             "print(s.recv(2000).decode())"
    send = "import socket, time\n" \
           "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n" \
           "for _ in range(25): s.sendto(b'to-all-vms', ('10.90.255.255', 4242)); time.sleep(1)"
    for vm in VMS[1:]:
        guests.run(vm, "sh", "-c", "nohup python3 -c \"$1\" >/tmp/heard 2>&1 &", "sh", listen)
    guests.run("va", "python3", "-c", send, timeout=180)
    for vm in VMS[1:]:
        assert guests.run(vm, "cat", "/tmp/heard").stdout.strip() == "to-all-vms"
    guests.run("va", "ip", "neigh", "flush", "all")
    assert guests.pings("va", guests.addresses("vb")[0].split("/")[0])


def test_only_tincs_traffic_is_on_the_links(mesh, guests):
    taps = {one.host.name: mesh.links.tap(one.host) for one in mesh.capsuls}
    port = port_of(mesh.a)
    to = guests.addresses("vb")[0].split("/")[0]
    pattern = "6f70656e2d746578742d636170737531"
    guests.run("va", "ping", "-c5", "-p", pattern, to)
    for tap in taps.values():
        with tap:
            seen = tap.frames()
            assert foreign(seen, port) == []
            assert any((ports := udp_and_tcp_ports(frame)) and port in ports[1] for frame in seen)
            assert not [one for one in seen if bytes.fromhex(pattern) in one]


# ------------------------------------------------------------------------------------------ what can happen


def all_reach_each_other(guests):
    for one, other in pairs():
        wait_until(lambda one=one, other=other: guests.pings(one, guests.addresses(other)[0].split("/")[0]), HEALED)


@pytest.mark.parametrize("how", ["pulled_out", "silenced"])
def test_a_host_off_the_network_for_thirty_seconds_comes_back(mesh, guests, how):
    with getattr(mesh.links, how)(mesh.c.host):
        time.sleep(30)
        assert not guests.pings("va", guests.addresses("vc")[0].split("/")[0])
        wait_until(lambda: not mesh.peers(mesh.a, NET)["hostc"]["reachable"], 60)
        found = findings(mesh.a)
        assert found["hostc", "handshake"]["severity"] == "failure" and found["hostc", "handshake"]["hint"]
        assert found["hostb", "handshake"]["severity"] == "ok"
    all_reach_each_other(guests)
    until_known(mesh, NET)


def test_tincd_killed_is_back_and_no_vm_notices(mesh, guests):
    boots = {vm: guests.run(vm, "cat", "/proc/sys/kernel/random/boot_id").stdout for vm in VMS}
    pid = tincd_pid(mesh.b)
    mesh.b.run(f"kill -9 {pid}")
    wait_until(lambda: tincd_pid(mesh.b) not in (0, pid), 20)
    all_reach_each_other(guests)
    assert {vm: guests.run(vm, "cat", "/proc/sys/kernel/random/boot_id").stdout for vm in VMS} == boots


def test_a_network_with_vms_on_it_is_not_deleted(mesh, guests):
    assert mesh.b.ctl("network", "delete", NET, "--yes", check=False).returncode != 0


def test_after_a_reboot_and_a_power_cut_the_vms_and_the_vpn_are_back(mesh, guests):
    all_at_once(lambda go: go(), [mesh.a.host.reboot, lambda: mesh.links.power_cut(mesh.b.host, 5)])
    for one, vm in ((mesh.a, "va"), (mesh.b, "vb")):
        one.ctl("vm", "wait", vm, "--for", "agent", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
    all_reach_each_other(guests)
    until_known(mesh, NET)


def test_a_narrower_way_between_hosts_is_found_out(mesh, guests):
    with mesh.links.mtu(mesh.c.host, 1400):
        to = guests.addresses("vc")[0].split("/")[0]
        wait_until(lambda: guests.iperf_between("va", to, 3) > 0, 120)
        wait_until(lambda: 1200 < findings(mesh.a).get(("hostc", "mtu"), {}).get("value", 0) < 1380, 120)


# ------------------------------------------------------------------------------------------ who is removed


def test_a_removed_host_sends_no_frame_in(mesh, guests):
    assert frames_arrive(mesh.c, mesh.a) and frames_arrive(mesh.c, mesh.b)
    mesh.a.ctl("network", "peer", "rm", NET, "hostc", "--yes", timeout=60)
    wait_until(lambda: not any("hostc" in mesh.peers(one, NET) for one in (mesh.a, mesh.b)), HEALED)
    for one in (mesh.a, mesh.b):
        wait_until(lambda one=one: not frames_arrive(mesh.c, one), HEALED)
    mesh.c.run(f"systemctl --user restart capsul-vpn-{NET}.service")
    time.sleep(15)
    assert not frames_arrive(mesh.c, mesh.a) and not frames_arrive(mesh.c, mesh.b)
    assert guests.pings("va", guests.addresses("vb")[0].split("/")[0])


def test_what_it_has_left_does_not_let_it_in_again(mesh):
    """Its own export, given to a host by mistake, and what the others have of it."""
    own = mesh.c.ctl("network", "export", NET).stdout
    mesh.a.run("cat >removed.json", input=own)
    assert mesh.a.ctl("network", "peer", "add", NET, "removed.json", check=False).returncode != 0
    mesh.b.ctl("network", "peer", "sync", NET, check=False, timeout=60)
    assert "hostc" not in mesh.peers(mesh.a, NET) and "hostc" not in mesh.peers(mesh.b, NET)


def frames_arrive(sender, receiver):
    """Whether a frame for everybody, sent on one host's bridge, comes out on the other's."""
    with inside_netns(receiver.host.leader()):
        inlet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    with inside_netns(sender.host.leader()):
        outlet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with inlet, outlet:
        inlet.bind((BRIDGE, 0x88B5))
        inlet.settimeout(2)
        outlet.bind((BRIDGE, 0))
        for _ in range(5):
            outlet.send(b"\xff" * 6 + bytes.fromhex("020000000042") + b"\x88\xb5" + b"let me in" + bytes(60))
        try:
            return b"let me in" in inlet.recv(2000)
        except TimeoutError:
            return False


# ------------------------------------------------------------------------------------------ the end


def test_nothing_is_left(mesh, guests):
    for vm, one in guests.where.items():
        one.ctl("vm", "delete", vm, "--yes", timeout=180)
    for one in mesh.capsuls:
        one.ctl("network", "delete", NET, "--yes", timeout=60)
        assert one.run("ip -o link | grep -c 'cap-'", check=False).stdout.strip() == "0"
        assert one.run("pgrep -x tincd || pgrep -f '[c]apsul-peer'", check=False).stdout == ""
        assert not [line for line in one.traces() if NET in line]
