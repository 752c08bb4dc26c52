"""Three hosts, each on a link of its own, with capsul for alice, who may make networks in 10.90.0.0/16 and fd90::/64, and
of a second VPN (vpn_example) in 10.94.0.0/20 and fd94::/64.

    vpn_lab       the hosts a, b and c (hosta, hostb, hostc), no VPN on them yet; ssh goes from each to each
    vpn_guests    vpn_guests({"va": lab.a, "vb": lab.b}, "mesh"): a guest on each, which is ready, and commands in them
"""

import json
from dataclasses import dataclass

import dns_client
import pytest
from conftest import BOOT, Capsul, allow_networks, import_debian, install_capsul, wait_until
from routed import RoutedHosts, all_at_once, inside_netns, let_ssh_in

SUBNET, SUBNET6 = "10.90.0.0/16", "fd90::/64"
OTHER_SUBNET, OTHER_SUBNET6 = "10.94.0.0/20", "fd94::/64"
NAMES = ("hosta", "hostb", "hostc")
IPERF = ["usr/bin/iperf3", "usr/lib/x86_64-linux-gnu/libiperf.so.0", "usr/lib/x86_64-linux-gnu/libsctp.so.1"]
ETHERTYPES = {b"\x08\x00": 4, b"\x86\xdd": 6}


@dataclass
class VpnLab:
    links: RoutedHosts
    capsuls: list

    @property
    def a(self) -> Capsul:
        return self.capsuls[0]

    @property
    def b(self) -> Capsul:
        return self.capsuls[1]

    @property
    def c(self) -> Capsul:
        return self.capsuls[2]

    def address(self, capsul):
        """Where the others reach the host."""
        return self.links.ip4(capsul.host)

    def peers(self, capsul, network):
        """{node: what is shown of it}"""
        return {peer["node"]: peer for peer in capsul.json("network", "peer", "list", network)}

    def own_ip(self, capsul, network):
        """The host's own in the VPN, as the others know it."""
        other = next(one for one in self.capsuls if one is not capsul)
        return self.peers(other, network)[capsul.host.name]["ip"]

    def know_each_other(self, network, capsuls=None):
        """Whether every host shows every other one, and as reachable."""
        hosts = capsuls or self.capsuls
        wanted = {one.host.name for one in hosts}
        return all({node for node, peer in self.peers(one, network).items() if peer.get("reachable")} >= wanted - {one.host.name}
                   for one in hosts)


def prepare(host):
    capsul = install_capsul(host)
    allow_networks(capsul, "--subnet", SUBNET, "--subnet6", SUBNET6, "--subnet", OTHER_SUBNET, "--subnet6", OTHER_SUBNET6)
    return capsul


@pytest.fixture(scope="module")
def vpn_lab(lab, host_binds):
    with RoutedHosts(NAMES, lab, binds=host_binds) as links:
        let_ssh_in(links)
        yield VpnLab(links, all_at_once(prepare, links.hosts))


# ------------------------------------------------------------------------------------------ what is seen on a link


def udp_and_tcp_ports(frame):
    """(IP version, both ports) of a frame that carries UDP or TCP; None for another."""
    version = ETHERTYPES.get(frame[12:14])
    if version is None:
        return None
    protocol, payload = (frame[23], 14 + 4 * (frame[14] & 15)) if version == 4 else (frame[20], 54)
    if protocol not in (6, 17):
        return None
    return version, {int.from_bytes(frame[payload + at:payload + at + 2], "big") for at in (0, 2)}


def foreign(frames, port):
    """Of the frames on a link, those that are neither tinc's nor what any host says to its router (ARP, ICMPv6)."""
    def is_ours(frame):
        ports = udp_and_tcp_ports(frame)
        quiet = frame[12:14] == b"\x08\x06" or frame[12:14] == b"\x86\xdd" and frame[20] == 58
        return quiet or ports is not None and port in ports[1]
    return [frame for frame in frames if not is_ours(frame)]


def ask_dns(capsul, server, name, kind="A"):
    """The addresses that a server has for a name, asked from a host."""
    with inside_netns(capsul.host.leader()):
        return dns_client.ask(server, name, {"A": dns_client.A, "AAAA": dns_client.AAAA}[kind]).values


# ------------------------------------------------------------------------------------------ guests


class VpnGuests:
    def __init__(self, where, network):
        self.where, self.network = where, network
        all_at_once(self._create, where)
        all_at_once(self._await, where)

    def _create(self, vm):
        capsul = self.where[vm]
        capsul.ctl("vm", "create", vm, "--image", "debian-12", "--memory", "512M", "--network", self.network, timeout=120)

    def _await(self, vm):
        self.where[vm].ctl("vm", "wait", vm, "--for", "cloud-init", "--timeout", f"{BOOT}s", timeout=BOOT + 30)

    def run(self, vm, *words, **options):
        """In the guest, as root."""
        return self.where[vm].ctl("exec", vm, "--", *words, **{"timeout": 120, **options})

    def addresses(self, vm):
        """(IPv4, IPv6), which capsul has given it."""
        return self.where[vm].json("vm", "ip", vm)["assigned"][:2]

    def name(self, vm):
        return f"{vm}.{self.network}.capsul"

    def pings(self, vm, to):
        return self.run(vm, "ping", "-c1", "-W5", to, check=False).returncode == 0

    def give_iperf(self):
        """The host's own: guests and hosts are the same Debian."""
        for vm, capsul in self.where.items():
            tar = f"tar --directory=/ --dereference --create {' '.join(IPERF)}"
            capsul.run(f"{tar} | capsulctl ssh {vm} -- 'mkdir -p bench && tar --directory=bench --extract'", timeout=300)

    def iperf(self, vm, *options, **more):
        bench = "/home/debian/bench/usr"
        words = ["env", f"LD_LIBRARY_PATH={bench}/lib/x86_64-linux-gnu", f"{bench}/bin/iperf3", *map(str, options)]
        return self.run(vm, *words, **more)

    def iperf_between(self, vm, to, seconds=3):
        """Megabits a second that arrive; an iperf3 --server --daemon is to run in the other guest."""
        said = json.loads(self.iperf(vm, "--client", to, "--time", seconds, "--json", timeout=seconds + 120).stdout)
        return said["end"]["sum_received"]["bits_per_second"] / 1e6


@pytest.fixture(scope="module")
def vpn_guests(vpn_lab, debian_image):
    all_at_once(lambda capsul: import_debian(capsul, debian_image), vpn_lab.capsuls)
    for capsul in vpn_lab.capsuls:  # capsulctl ssh: alice's key, which the guests are given
        assert capsul.run("ls .ssh/id_ed25519.pub").stdout
    return VpnGuests


def until_known(lab, network, capsuls=None, seconds=120):
    wait_until(lambda: lab.know_each_other(network, capsuls), seconds)
