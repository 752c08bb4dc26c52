"""TCP and pings between two hosts, and between a guest on each, on three ways in turns.

    capsul   a vpn network of capsul's, as it is
    tinc     tincd by hand with the same options in the same sandbox, on a bridge and a TAP that root has made
    link     the hosts' own link, by the router; guests are on a bridge of their host, which routes

Guests of the two latter ways are VMs of capsul's as well: what is compared is the way between the hosts, not QEMU. Their networks
are bridges that capsul plugs VMs into: that of plain tinc, and one that is routed.
"""

import json
import re
import time

from plain_tinc import HELPER
from routed import all_at_once

WAYS = {"capsul": "capsul", "tinc": "tinc by hand", "link": "bare link"}
MEASURES = {"TCP": "Mbit/s", "round trip": "ms"}
VPN, BRIDGE, ROUTED = "vpn", "mesh0", "routed0"
IMAGE = "/srv/capsul-images/debian-12"
MTU = 1380  # what the guests of a VPN have: the most that is in no case split on the way
BOOT = 900  # seconds
IPERF = ["usr/bin/iperf3", "usr/lib/x86_64-linux-gnu/libiperf.so.0", "usr/lib/x86_64-linux-gnu/libsctp.so.1"]
IN_GUEST = "env LD_LIBRARY_PATH=/home/debian/bench/usr/lib/x86_64-linux-gnu /home/debian/bench/usr/bin/iperf3"


class BetweenHosts:
    def __init__(self, benches, addresses):
        """`addresses`: {way: of the second host}."""
        self.one, self.two = benches
        self.addresses = addresses
        self.two.alice("systemd-run --user --quiet --unit=iperf iperf3 --server")

    def megabits(self, way, seconds):
        return received(self.one.alice(f"iperf3 --client {self.addresses[way]} --time {seconds} --json", timeout=seconds + 60))

    def milliseconds(self, way, count):
        return median(self.one.root(f"ping -q -i 0.01 -c {count} {self.addresses[way]}", timeout=count + 60))


class BetweenGuests:
    """A guest on each host for each way."""

    def __init__(self, benches, networks):
        """`networks`: {way: the options of its network for `vm create` on each host}."""
        self.benches = benches
        self.vms = {way: (f"{way}1", f"{way}2") for way in networks}
        for bench in benches:
            bench.alice(f"capsulctl image import debian-12 {IMAGE}.qcow2 --kernel {IMAGE}.vmlinuz --initrd {IMAGE}.initrd "
                        f"--cmdline \"$(cat {IMAGE}.cmdline)\" --if-not-exists", timeout=300)
        each = [(bench, self.vms[way][at], networks[way][at]) for way in networks for at, bench in enumerate(benches)]
        all_at_once(lambda one: self._boot(*one), each)
        for bench, vm, _ in each:  # of capsul's VPN they have it already, and a bridge drops what is larger than its own
            if vm in self.vms["tinc"]:
                bench.ctl("exec", vm, "--", "sh", "-c",
                          f"for card in /sys/class/net/e*; do ip link set ${{card##*/}} mtu {MTU}; done")
        self.addresses = {way: benches[1].json("vm", "ip", vms[1])["assigned"][0] for way, vms in self.vms.items()}
        for _, two in self.vms.values():
            benches[1].ctl("exec", two, "--", "sh", "-c", f"{IN_GUEST} --server --daemon")

    @staticmethod
    def _boot(bench, vm, options):
        bench.ctl("vm", "create", vm, "--image", "debian-12", "--memory", "512M", "--network", options, timeout=120)
        bench.ctl("vm", "wait", vm, "--for", "cloud-init", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
        tar = f"tar --directory=/ --dereference --create {' '.join(IPERF)}"
        bench.alice(f"{tar} | capsulctl ssh {vm} -- 'mkdir -p bench && tar --directory=bench --extract'", timeout=300)

    def megabits(self, way, seconds):
        command = f"{IN_GUEST} --client {self.addresses[way]} --time {seconds} --json"
        return received(self.benches[0].ctl("exec", self.vms[way][0], "--", "sh", "-c", command, timeout=seconds + 120))

    def milliseconds(self, way, count):
        return median(self.benches[0].ctl("exec", self.vms[way][0], "--", "ping", "-q", "-i", "0.05", "-c", count,
                                          self.addresses[way], timeout=count + 120))


def received(text):
    said = json.loads(text)
    if "error" in said:
        raise SystemExit(f"vpn: iperf3 to {said['start'].get('connecting_to', {}).get('host')}: {said['error']}")
    bits = said["end"]["sum_received"]["bits_per_second"]
    if bits == 0:  # no slow way, but none: not to be told as a ratio
        raise SystemExit("vpn: a connection was made and carried nothing")
    return bits / 1e6


def median(text):
    """ping tells the mean: good enough, since the rounds' median is taken."""
    return float(re.search(r"= [\d.]+/([\d.]+)/", text)[1])


def make_vpn(links, benches):
    """The one of capsul's: made on the first host, joined by the second over ssh. Its addresses in the VPN."""
    one, two = benches
    one.ctl("network", "create", VPN, "--type", "vpn", "--subnet", "10.91.0.0/16", "--address", links.ip4(one.host), timeout=120)
    two.ctl("network", "join", VPN, "--from", f"ssh://alice@{one.host.name}", "--address", links.ip4(two.host), timeout=120)
    deadline = time.monotonic() + 60
    while True:
        peers = one.json("network", "peer", "list", VPN)
        if peers and peers[0].get("reachable"):
            return peers[0]["ip"]
        if time.monotonic() > deadline:
            raise SystemExit(f"vpn: the hosts do not reach each other through capsul's VPN: {peers}")
        time.sleep(1)


def guest_networks(links, benches, ways):
    """Bridges of plain tinc and of a routed network on each host, known to capsul. {way: [NETWORK of each host]}"""
    for at, bench in enumerate(benches, 1):
        other = 3 - at
        bench.root(f"ip link add {ROUTED} type bridge && ip addr add 10.92.{at}.1/24 dev {ROUTED} && ip link set {ROUTED} up && "
                   f"ip route add 10.92.{other}.0/24 via {links.ip4(bench.host, 1)} && echo 1 >/proc/sys/net/ipv4/ip_forward")
        links.router("ip", "route", "replace", f"10.92.{at}.0/24", "via", links.ip4(bench.host))
        for bridge, ips in ((BRIDGE, f"10.90.{at}.0/24"), (ROUTED, f"10.92.{at}.0/24")):
            bench.root(["/srv/capsul-examples/host-setup.sh", "--user", "alice", "--bridge", bridge, "--guest-ips", ips])
        bench.ctl("network", "create", "byhand", "--bridge", BRIDGE, "--subnet", "10.90.0.0/16",
                  "--range", f"10.90.{at}.10-10.90.{at}.99")
        bench.ctl("network", "create", "routed", "--bridge", ROUTED, "--subnet", f"10.92.{at}.0/24", "--gateway", f"10.92.{at}.1")
    return {"capsul": [VPN, VPN], "tinc": ["byhand"] * 2, "link": ["routed"] * 2} if "capsul" in ways else \
        {"tinc": ["byhand"] * 2, "link": ["routed"] * 2}


def measure(links, benches, plain, args, tell):
    """{between whom: {way: [{measure: figure} ...]}}, taken in turns; who is first changes."""
    addresses = {"tinc": plain.nodes[1].ip4, "link": links.ip4(links.hosts[1])}
    for node in plain.nodes:  # as capsul's has it, and its guests
        node.host.run(f"ip link set {BRIDGE} mtu {MTU}")
    if not args.plain_only:
        addresses["capsul"] = make_vpn(links, benches)
    pairs = {"hosts": BetweenHosts(benches, addresses)}
    if not args.hosts_only:
        tell("booting guests")
        pairs["guests"] = BetweenGuests(benches, guest_networks(links, benches, addresses))
    if "capsul" in addresses:  # or the packet filter would refuse what is to measure: iperf3 in the host itself
        for bench in benches:  # only now: the start of a VM has the network's script put this back
            bench.alice(f"{HELPER} egress cap-{VPN} full")
    found = {between: {way: [] for way in addresses} for between in pairs}
    for number in range(args.rounds):
        tell(f"round {number + 1} of {args.rounds}")
        for between, pair in pairs.items():
            for way in list(addresses) if number % 2 == 0 else list(addresses)[::-1]:
                found[between][way].append({"TCP": pair.megabits(way, args.seconds),
                                            "round trip": pair.milliseconds(way, args.pings)})
                tell(f"{between}, {WAYS[way]}: " + ", ".join(f"{value:.1f} {MEASURES[what]}"
                                                             for what, value in found[between][way][-1].items()))
    return found
