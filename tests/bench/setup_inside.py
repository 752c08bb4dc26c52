#!/usr/bin/python3
"""Runs in the host, as root: a bridge and its TAPs are set up and taken down again and again, by capsul-net and by other means.

Prints JSON: {"DOING": {"WAY": [milliseconds ...]}}. Every way is a script that sh runs, so each step is a process of its own, but
for ip -batch. All of them leave the same in the kernel, which is looked at.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

HELPER = "/usr/libexec/capsul/capsul-net"
BRIDGE = "cap-bench"
SETS = ("known4", "known6")


class Tap:
    def __init__(self, number, pinned):
        self.name = f"cap-bench-{number}"
        self.mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        self.outer = "fe" + self.mac[2:]
        self.ips = [f"10.80.200.{number + 2}", f"fd80:ca95:0:c8::{number + 2:x}"] if pinned else []

    def elements(self):
        """What the packet filter knows of it: {SET: TEXT}."""
        local = f"fe80::ff:fe00:{int(self.mac[-5:].replace(':', ''), 16):x}"
        known = {"known4": self.ips[:1], "known6": [*self.ips[1:], local]} if self.ips else {}
        return {name: ", ".join(f"{self.name} . {self.mac} . {ip}" for ip in ips) for name, ips in known.items()}


class Ways:
    """The scripts: {WAY: (who runs it, what sets up, what takes down)}."""

    def __init__(self, folder, uid, taps):
        self.folder, self.uid, self.taps = folder, uid, taps

    def all(self):
        return {"capsul": ("alice", self._capsul_up(), self._capsul_down()),
                "ip": ("root", self._ip_up(), self._ip_down()),
                "batch": ("root", *self._batch())}

    def _capsul_up(self):
        lines = [f"{HELPER} bridge-add {BRIDGE}"]
        for tap in self.taps:
            lines.append(" ".join([HELPER, "tap-add", tap.name, BRIDGE, tap.mac, *(f"--ip {ip}" for ip in tap.ips)]))
        return lines

    def _capsul_down(self):
        return [f"{HELPER} tap-del {tap.name}" for tap in self.taps] + [f"{HELPER} bridge-del {BRIDGE}"]

    def _nft(self, verb, tap):
        return [f"nft {verb} element bridge capsul {name} '{{ {text} }}'" for name, text in tap.elements().items()]

    def _bridge_up(self):
        return [f"link add {BRIDGE} address 02:00:00:00:ff:01 type bridge stp_state 0 mcast_snooping 0",
                f"link set {BRIDGE} alias 'capsul uid={self.uid}' up"]

    def _tap_up(self, tap):
        """The fewest commands there are: (of ip, of bridge)."""
        return ([f"tuntap add {tap.name} mode tap user {self.uid}",
                 f"link set {tap.name} address {tap.outer} mtu 1500 alias 'capsul uid={self.uid}' addrgenmode none "
                 f"master {BRIDGE} up"],
                [f"link set dev {tap.name} locked on learning off isolated off flood off hairpin off guard on mcast_router 0",
                 f"fdb add {tap.mac} dev {tap.name} master static sticky"])

    def _ip_up(self):
        lines = [f"ip {line}" for line in self._bridge_up()]
        for tap in self.taps:
            of_ip, of_bridge = self._tap_up(tap)
            lines += [f"ip {line}" for line in of_ip] + [f"bridge {line}" for line in of_bridge] + self._nft("add", tap)
        return lines

    def _ip_down(self):
        lines = []
        for tap in self.taps:
            lines += self._nft("delete", tap) + [f"ip link del {tap.name}"]
        return [*lines, f"ip link del {BRIDGE}"]

    def _batch(self):
        steps = [self._tap_up(tap) for tap in self.taps]
        up = [f"ip -batch {self._file('up-ip', self._bridge_up() + [line for of_ip, _ in steps for line in of_ip])}",
              f"bridge -batch {self._file('up-bridge', [line for _, of_bridge in steps for line in of_bridge])}",
              *self._nft_file("add")]
        down = [f"link del {name}" for name in [*(tap.name for tap in self.taps), BRIDGE]]
        return up, [*self._nft_file("delete"), f"ip -batch {self._file('down', down)}"]

    def _nft_file(self, verb):
        lines = [f"{verb} element bridge capsul {name} {{ {text} }}" for tap in self.taps for name, text in tap.elements().items()]
        return [f"nft -f {self._file('nft-' + verb, lines)}"] if lines else []

    def _file(self, name, lines):
        path = os.path.join(self.folder, f"{name}-{'pinned' if self.taps[0].ips else 'plain'}")
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        return path


def run(user, lines):
    """How many milliseconds it took."""
    argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "sh", "-c", "set -e\n" + "\n".join(lines)]
    begin = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    took = time.monotonic() - begin
    if done.returncode != 0:
        raise SystemExit(f"setup_inside.py: {user}: {done.stderr}")
    return 1000 * took


def told(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def facts(link):
    """What was decided about a link: not numbers, timers, carrier, nor a bridge's address, which capsul-net makes up."""
    info = link["linkinfo"]
    port = info.get("info_slave_data", {})
    return [link["ifname"], link["ifalias"], link.get("master"), link["mtu"], "UP" in link["flags"],
            link.get("inet6_addr_gen_mode"), link["address"] if port else "",
            {key: info["info_data"].get(key) for key in ("type", "persist", "user", "stp_state", "mcast_snooping")},
            {key: port.get(key) for key in ("locked", "learning", "isolated", "flood", "guard", "hairpin", "multicast_router")}]


def picture():
    """What there is of ours: links, fixed MACs, elements of the packet filter."""
    links = [facts(link) for link in told("ip", "-json", "-details", "link") if link["ifname"].startswith(BRIDGE)]
    fixed = [(entry["mac"], entry["ifname"], entry["flags"]) for entry in told("bridge", "-json", "fdb")
             if entry.get("state") == "static" and entry.get("master") == BRIDGE]
    sets = [told("nft", "-j", "list", "set", "bridge", "capsul", name)["nftables"] for name in SETS]
    elements = [str(element) for answer in sets for item in answer for element in item.get("set", {}).get("elem", [])]
    return sorted(links, key=str), sorted(fixed, key=str), sorted(elements)


def require_same(pictures):
    for way, seen in pictures.items():
        for mine, capsuls in zip(seen, pictures["capsul"]):
            different = [one for one in mine + capsuls if (one in mine) != (one in capsuls)]
            if different:
                raise SystemExit(f"setup_inside.py: {way} and capsul did not do the same: {different[:4]}")


def measure(ways, rounds):
    """{DOING: {WAY: [ms]}}, taken in turns; who is first changes."""
    result = {doing: {way: [] for way in ways} for doing in ("set up", "take down")}
    pictures = {}
    for number in range(rounds + 1):
        order = list(ways)
        for way in order[number % len(order):] + order[:number % len(order)]:
            user, up, down = ways[way]
            took_up = run(user, up)
            if number == 0:  # a warm-up, and a look
                pictures[way] = picture()
            took_down = run(user, down)
            if number > 0:
                result["set up"][way].append(took_up)
                result["take down"][way].append(took_down)
    require_same(pictures)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--taps", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    args = parser.parse_args()
    uid = subprocess.run(["id", "-u", "alice"], check=True, capture_output=True, text=True).stdout.strip()
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for pinned in (False, True):
            ways = Ways(folder, uid, [Tap(number, pinned) for number in range(args.taps)]).all()
            for doing, figures in measure(ways, args.rounds).items():
                result[doing + (", addresses pinned" if pinned else "")] = figures
    print(json.dumps(result))


if __name__ == "__main__":
    main()
