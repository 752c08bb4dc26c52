"""Networks from end to end: real guests on a nat network and on an administrator's bridge, an outside host, all unprivileged.

The tests are one story and run in this order, on hosts of their own: emulated guests take too long to boot for a set each.
"""

import json
import re
import time

import pytest
from conftest import BOOT, EXAMPLES_IN_HOST, has_its_addresses, import_debian, install_capsul, wait_until
from isolated_guests import WAYS, isolated, reached_by_both  # noqa: F401  (isolated is a fixture)

import host as hosts

WEB = 8000

# The administrator's bridge: the second card is its port. It is made at boot, by root.
BRIDGE_UNIT = """\
[Unit]
Description=The administrator's bridge
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip link add br0 type bridge
ExecStart=/sbin/ip link set eth1 master br0
ExecStart=/sbin/ip addr flush dev eth1
ExecStart=/sbin/ip addr add {address}/24 dev br0
ExecStart=/sbin/ip link set br0 up
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def inside(lab, host_binds):
    with hosts.Host.boot("inside", binds=host_binds, links=2, lab=lab, tied=True) as host:
        host.run("cat >/etc/systemd/system/br0.service && systemctl enable --now br0.service", input=BRIDGE_UNIT.format(address=host.address(1)))
        yield host


@pytest.fixture(scope="module")
def outside(lab, host_binds, inside):
    with hosts.Host.boot("outside", binds=host_binds, links=2, lab=lab, tied=True) as host:
        host.run("mkdir /srv/www && echo 'hello from outside' >/srv/www/index.html")
        host.run(f"systemd-run --unit=www python3 -m http.server {WEB} --bind :: --directory /srv/www")
        yield host


def set_up(host, *arguments):
    return host.run([EXAMPLES_IN_HOST / "host-setup.sh", "--user", "alice", "--bridge", "br0", "--guest-ips",
                     "10.77.1.96/28", *arguments])


@pytest.fixture(scope="module")
def capsul(inside, outside):
    capsul = install_capsul(inside)
    before = inside.run("find /etc -newer /etc/systemd/system/br0.service -type f | sort").stdout
    assert "capsul-nft.service" in set_up(inside, "--dry-run").stdout
    assert inside.run("find /etc -newer /etc/systemd/system/br0.service -type f | sort").stdout == before
    set_up(inside)
    again = set_up(inside).stdout
    assert "write" not in again and "setcap" not in again
    inside.run(f"systemctl restart user@{capsul.uid}.service")  # alice is in the group from now on
    return capsul


@pytest.fixture(scope="module")
def networks(capsul):
    capsul.ctl("network", "create", "lan", "--subnet", "10.80.5.0/24", "--subnet6", "fd80:ca95:0:5::/64")
    capsul.ctl("network", "create", "public", "--bridge", "br0", "--subnet", "10.77.1.0/24")
    return capsul


class Guests:
    def __init__(self, capsul):
        self.capsul = capsul

    def python(self, vm, program, *arguments, **options):
        return self.capsul.ctl("exec", vm, "--", "python3", "-c", program, *map(str, arguments), **options)

    def reaches(self, vm, address, port=WEB):
        """Whether a TCP connection comes about. What should may need several attempts, in an emulated guest."""
        program = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
        return self.python(vm, program, address, port, check=False).returncode == 0

    def pings(self, vm, address):
        return self.capsul.ctl("exec", vm, "--", "ping", "-c1", "-W3", address, check=False).returncode == 0

    def fetch(self, vm, address):
        program = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
        host = f"[{address}]" if ":" in address else address
        return self.python(vm, program, f"http://{host}:{WEB}/", check=False).stdout


@pytest.fixture(scope="module")
def servers(outside):
    """The web server outside, by IPv4 and by IPv6."""
    return {4: outside.address(), 6: outside.address6()}


@pytest.fixture(scope="module")
def guests(networks, debian_image):
    capsul = networks
    image = import_debian(capsul, debian_image)
    capsul.run("mkdir -p -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519")
    for vm, options in {"a": ["--network", "lan"], "b": ["--network", "lan,ip=10.80.5.40"],
                        "c": ["--network", "lan", "--network", "public"]}.items():
        capsul.ctl("vm", "create", vm, "--image", image, "--memory", "512M", *options, timeout=120)
    for vm in "abc":
        capsul.ctl("vm", "wait", vm, "--for", "cloud-init", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
    return Guests(capsul)


def addresses(capsul, vm):
    return capsul.json("vm", "ip", vm)


def test_addresses_are_known_before_the_guest_is_up_and_are_what_it_has(guests):
    assert addresses(guests.capsul, "a")["assigned"] == ["10.80.5.2", "fd80:ca95:0:5::2"]
    assert addresses(guests.capsul, "b")["assigned"][0] == "10.80.5.40"
    for vm in "abc":
        wait_until(lambda vm=vm: has_its_addresses(guests.capsul, vm))
        assert addresses(guests.capsul, vm)["missing"] == []
    assert addresses(guests.capsul, "c")["assigned"][-1] == "10.77.1.96"


def test_guests_of_a_nat_network_reach_each_other(guests):
    for address in ("10.80.5.40", "fd80:ca95:0:5::3"):
        wait_until(lambda address=address: guests.pings("a", address))
        wait_until(lambda address=address: guests.reaches("a", address, 22))


def test_ssh_goes_to_the_guests_own_address(guests):
    assert guests.capsul.json("vm", "show", "a")["ssh"] == {"address": "10.80.5.2", "port": 22}
    assert guests.capsul.ctl("ssh", "a", "--", "hostname").stdout.strip() == "a"


@pytest.mark.parametrize("family", [4, 6])
def test_nat_leads_outside_in_the_hosts_name(guests, inside, outside, servers, family):
    wait_until(lambda: guests.fetch("a", servers[family]) == "hello from outside\n")
    outside.run("journalctl --sync")
    seen = outside.run("journalctl --unit=www --output=cat").stdout
    assert {4: inside.address(), 6: inside.address6()}[family] in seen
    assert "10.80.5.2" not in seen and "fd80:ca95" not in seen


def test_a_guest_on_a_bridge_is_reached_by_its_own_address(guests, outside):
    wait_until(lambda: outside.run("ping -c1 -W10 10.77.1.96", check=False).returncode == 0)
    assert "SSH-" in outside.run(["bash", "-c", "exec 3<>/dev/tcp/10.77.1.96/22; head -1 <&3"]).stdout


def test_nobody_outside_reaches_a_guest_behind_nat(guests, inside, outside):
    outside.run(f"ip route add 10.80.5.0/24 via {inside.address()}")
    try:
        assert outside.run("ping -c1 -W2 10.80.5.2", check=False).returncode != 0
    finally:
        outside.run("ip route del 10.80.5.0/24")


@pytest.mark.parametrize("egress, open_, closed", [
    ("none", [], ["tcp4", "tcp6", "ping4", "ping6"]),
    ("dns-icmp", ["ping4", "ping6"], ["tcp4", "tcp6"]),
    ("{server}:8000/tcp", ["tcp4"], ["tcp6", "ping4", "ping6"]),
    ("[fd77::/64]:8000-8001/tcp,10.77.0.0/24", ["tcp4", "tcp6", "ping4"], ["ping6"]),
    ("full", ["tcp4", "tcp6", "ping4", "ping6"], []),
])
def test_egress_is_enforced_on_the_host(guests, servers, egress, open_, closed):
    guests.capsul.ctl("network", "set", "lan", "--egress", egress.format(server=servers[4]))
    probes = {"tcp4": lambda: guests.reaches("a", servers[4]), "tcp6": lambda: guests.reaches("a", servers[6]),
              "ping4": lambda: guests.pings("a", servers[4]), "ping6": lambda: guests.pings("a", servers[6])}
    for name in open_:
        wait_until(probes[name])
    assert not [name for name in closed if probes[name]()]
    assert set(open_) | set(closed) == set(probes)
    wait_until(lambda: guests.reaches("a", "10.80.5.40", 22))  # the network itself is not concerned


def test_show_tells_what_protects_and_what_was_carried(guests):
    nic = guests.capsul.json("vm", "show", "a")["nics"][0]
    assert nic["protections"] == ["mac", "ip"]
    assert nic["counters"]["rx_bytes"] > 1000 and nic["counters"]["tx_packets"] > 10


# Sends one forged frame from inside the guest. sys.argv: what to forge.
FORGE = r"""
import socket, struct, sys
NIC = next(line.split(":")[0].strip() for line in open("/proc/net/dev") if line.strip().startswith("e"))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((NIC, 0))
mac = open(f"/sys/class/net/{NIC}/address").read().strip()
me = bytes.fromhex(mac.replace(":", ""))
ip = lambda text: socket.inet_aton(text)
def csum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data)//2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def udp4(src, dst, sport, dport, data):
    body = struct.pack("!4H", sport, dport, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, 0, 64, 17, 0, ip(src), ip(dst))
    return head[:10] + struct.pack("!H", csum(head)) + head[12:] + body
def arp(sender_ip, sender_mac): return struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + sender_mac + ip(sender_ip) + b"\0" * 6 + ip("10.80.5.40")
wide = b"\xff" * 6
own = sys.argv[2]
frames = {
    "control": wide + me + b"\x08\x00" + udp4(own, "10.80.5.255", 4000, 4000, b"control"),
    "mac": wide + b"\x02\0\0\0\0\x99" + b"\x08\x00" + udp4(own, "10.80.5.255", 4000, 4000, b"mac"),
    "ip": wide + me + b"\x08\x00" + udp4("10.80.5.1", "10.80.5.255", 4000, 4000, b"ip"),
    "arp": wide + me + b"\x08\x06" + arp("10.80.5.1", me),
    "dhcp": wide + me + b"\x08\x00" + udp4(own, "255.255.255.255", 67, 68, b"dhcp"),
}
ra = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
src, dst = socket.inet_pton(socket.AF_INET6, sys.argv[3]), socket.inet_pton(socket.AF_INET6, "ff02::1")
ra = ra[:2] + struct.pack("!H", csum(src + dst + struct.pack("!II", len(ra), 58) + ra)) + ra[4:]
frames["ra"] = b"\x33\x33\0\0\0\x01" + me + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(ra), 58, 255) + src + dst + ra
for _ in range(3): s.send(frames[sys.argv[1]])
"""

# Listens in another guest until a little after it hears "control", and prints what was forged of all that it hears. sys.argv: the
# MAC of the gateway.
LISTEN = r"""
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.settimeout(0.5)
open("/root/ready", "w").close()
end = time.monotonic() + 600; seen = set()
while time.monotonic() < end:
    try: frame = s.recv(2048)
    except socket.timeout: continue
    kind = frame[12:14]
    if kind == b"\x08\x06" and frame[28:32] == socket.inet_aton("10.80.5.1") and frame[22:28] != bytes.fromhex(sys.argv[1]): seen.add("arp")
    for word in (b"control", b"mac", b"dhcp"):
        if frame.endswith(word): seen.add(word.decode())
    if frame.endswith(b"control"): end = min(end, time.monotonic() + 3)
    if kind == b"\x08\x00" and frame.endswith(b"ip"): seen.add("ip")
    if kind == b"\x86\xdd" and frame[20] == 58 and frame[54] == 134: seen.add("ra")
print(*sorted(seen))
"""


def test_a_guest_that_forges_gets_nowhere(guests):
    capsul = guests.capsul
    gateway = capsul.run("cat /sys/class/net/cap-lan/address").stdout.strip().replace(":", "")
    link_local = capsul.ctl("exec", "a", "--", "sh", "-c", "ip -6 -o addr show scope link | awk '{print $4}'").stdout
    capsul.ctl("exec", "b", "--", "sh", "-c", "cat >/root/listen.py", input=LISTEN)
    capsul.ctl("exec", "b", "--", "systemd-run", "--unit=listen", "--property=StandardOutput=file:/root/heard",
               "python3", "/root/listen.py", gateway)
    wait_until(lambda: capsul.ctl("exec", "b", "--", "test", "-e", "/root/ready", check=False).returncode == 0)
    for forged in ("ip", "mac", "arp", "dhcp", "ra", "control"):
        guests.python("a", FORGE, forged, "10.80.5.2", link_local.split("/")[0].strip())
    wait_until(lambda: capsul.ctl("exec", "b", "--", "systemctl", "is-active", "listen", check=False).stdout == "inactive\n", 700)
    assert capsul.ctl("exec", "b", "--", "cat", "/root/heard").stdout.split() == ["control"]


def test_no_process_has_any_capability(guests):
    status = guests.capsul.host.run(
        "for pid in $(pgrep --uid alice); do grep -HE '^(Name|CapEff|Uid)' /proc/$pid/status; done").stdout
    effective = set(re.findall(r"CapEff:\s*([0-9a-f]+)", status))
    assert "qemu" in status and "capsuld" in status
    assert effective == {"0000000000000000"}
    root = guests.capsul.host.run("ps -U root -o comm=").stdout.split()
    assert not [name for name in root if name.startswith(("capsul", "qemu"))]


def test_a_nic_is_plugged_into_a_running_vm_and_out_again(guests):
    capsul = guests.capsul
    capsul.ctl("vm", "nic", "add", "a", "public")
    vm = capsul.json("vm", "show", "a")
    assert [nic["ip"] for nic in vm["spec"]["nics"]] == ["10.80.5.2", "10.77.1.97"]
    mac = vm["spec"]["nics"][1]["mac"]
    deadline = time.monotonic() + 60
    while mac not in capsul.ctl("exec", "a", "--", "ip", "link").stdout:
        assert time.monotonic() < deadline, "the guest does not see the new card"
        time.sleep(1)
    capsul.ctl("vm", "nic", "rm", "a", "1", timeout=120)
    assert mac not in capsul.ctl("exec", "a", "--", "ip", "link").stdout
    assert capsul.run("ip -o link show type tun | grep -c cap-a-", check=False).stdout.strip() == "1"


# Adds to a VM's QEMU, through its second monitor, what has the identifier of the NIC that comes next.
OCCUPY = """\
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["XDG_RUNTIME_DIR"] + "/capsul/vms/a/stop.sock")
answers = connection.makefile()
for command in {"execute": "qmp_capabilities"}, json.loads(sys.argv[1]):
    answers.readline()
    connection.sendall(json.dumps(command).encode())
assert "return" in json.loads(answers.readline())
"""


def test_a_nic_that_cannot_be_plugged_in_leaves_nothing(guests):
    capsul = guests.capsul

    def traces():
        return capsul.json("vm", "show", "a")["spec"], [link["ifname"] for link in json.loads(capsul.run("ip -j link").stdout)]

    before = traces()
    capsul.run(["python3", "-c", OCCUPY, json.dumps({"execute": "netdev_add", "arguments": {
        "type": "hubport", "id": "net1", "hubid": 7}})])
    refused = capsul.ctl("vm", "nic", "add", "a", "public", check=False)
    assert refused.returncode != 0 and "Duplicate ID" in refused.stderr
    assert traces() == before
    capsul.run(["python3", "-c", OCCUPY, json.dumps({"execute": "netdev_del", "arguments": {"id": "net1"}})])


def test_isolated_guests_reach_the_outside_and_not_each_other(guests, servers, isolated):
    """On another network they do, with the same means at the same time."""
    others = {"ping lan4", "ping lan6", "tcp lan4", "tcp lan6"}
    pings, all_ = {"ping out4", "ping out6"}, {"ping out4", "ping out6", "tcp out4", "tcp out6"}
    for way, egress, outside in zip(WAYS, ("full", "dns-icmp", "none"), (all_, pings, set())):
        guests.capsul.ctl("network", "set", "apart", "--egress", egress)
        wanted = others | outside
        assert reached_by_both(guests.capsul, isolated, servers, way, wanted) == [wanted, wanted], way


def test_a_network_in_use_is_neither_stopped_nor_deleted(guests):
    stopped = guests.capsul.ctl("network", "stop", "lan", check=False)
    assert stopped.returncode != 0 and "VMs run on it: a, b, c" in stopped.stderr
    deleted = guests.capsul.ctl("network", "delete", "lan", "--yes", check=False)
    assert deleted.returncode != 0 and "VMs have a NIC on it" in deleted.stderr
    wait_until(lambda: guests.pings("a", "10.80.5.40"))


def test_a_bridge_that_is_gone_is_told_in_words(guests):
    capsul = guests.capsul
    capsul.ctl("stop", "c", "--force", timeout=60)
    capsul.host.run("ip link del br0")
    try:
        refused = capsul.ctl("start", "c", check=False)
        assert refused.returncode != 0
        assert "vm c: cannot start: bridge br0 does not exist" in refused.stderr
    finally:
        capsul.host.run("systemctl restart br0.service")
    capsul.run("systemctl --user restart capsul-net-public.service")
    capsul.ctl("start", "c", timeout=120)
    assert capsul.state("c") == "running"


def test_a_reboot_brings_back_networks_and_vms_with_the_same_addresses(guests, servers):
    capsul = guests.capsul
    before = {vm: addresses(capsul, vm)["assigned"] for vm in "abc"}
    capsul.ctl("stop", "b", "--force", timeout=60)
    capsul.host.reboot()
    capsul.ctl("vm", "wait", "a", "c", "--for", "agent", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
    assert [network["state"] for network in capsul.json("network", "list")] == ["running", "running"]
    assert capsul.state("b") == "stopped"
    for vm in "ac":
        assert addresses(capsul, vm)["assigned"] == before[vm]
        wait_until(lambda vm=vm: has_its_addresses(capsul, vm), BOOT)
    wait_until(lambda: guests.fetch("a", servers[4]) == "hello from outside\n")


def test_deleting_all_leaves_nothing(guests):
    capsul = guests.capsul
    capsul.ctl("vm", "delete", "a", "b", "c", "--yes", timeout=120)
    capsul.ctl("network", "delete", "lan", "public", "--yes")
    assert capsul.run("ip -o link | grep -c ': cap-'", check=False).stdout.strip() == "0"
    assert not [line for line in capsul.traces() if re.search(r"capsul-(vm|tap|net)-|/networks/|qemu", line)]
    elements = json.loads(capsul.host.run("nft --json list ruleset").stdout)["nftables"]
    # Those that the rules fill lose their elements by themselves.
    sets = [entry["set"] for entry in elements if "set" in entry and "timeout" not in entry["set"].get("flags", [])]
    assert sets and not [each["name"] for each in sets if each.get("elem")]
