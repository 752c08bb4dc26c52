"""Hosts on links of their own, with a router between them that a test can make worse.

    host  its card eth0                        the router's end of the link
    1     198.51.100.2/28   2001:db8:0:1::2/64    198.51.100.1    2001:db8:0:1::1
    2     198.51.100.18/28  2001:db8:0:2::2/64    198.51.100.17   2001:db8:0:2::1
    ...

The router is the network namespace in which host.py has its switches; a lab has one of its own, so these hosts have theirs.
A frame that one host sends another passes two links and is seen on both.
"""

import contextlib
import ctypes
import functools
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from host import Host, in_netns, port_name

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3

libc = ctypes.CDLL(None, use_errno=True)

# The addresses are the host's own affair, as on a real one: they are there after a reboot, and before anything asks for them.
ADDRESS_UNIT = """\
[Unit]
Description=The link to the router
DefaultDependencies=no
Before=network.target multi-user.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip address flush dev eth0
ExecStart=/sbin/ip address add {ip4}/28 dev eth0
ExecStart=/sbin/ip address add {ip6}/64 dev eth0 nodad
ExecStart=/sbin/ip route replace default via {router4}
ExecStart=/sbin/ip -6 route replace default via {router6}
[Install]
WantedBy=sysinit.target
"""

# A router keeps the addresses of a port whose cable is out.
ROUTER_SYSCTLS = {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1, "ipv6/conf/all/keep_addr_on_down": 1}

CUT = """
table inet lab {{
    chain silenced {{ type filter hook forward priority 0
        iifname {port} drop
        oifname {port} drop
    }}
}}
"""

LOSS = """
table inet lab {{
    chain lossy {{ type filter hook forward priority 0
        iifname {port} numgen random mod 100 < {percent} drop
        oifname {port} numgen random mod 100 < {percent} drop
    }}
}}
"""


@contextlib.contextmanager
def inside_netns(pid):
    """The body, in this thread, runs in the network namespace of a process; sockets opened there stay there."""
    own, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        enter(there)
        yield
    finally:
        enter(own)
        os.close(own)
        os.close(there)


def enter(namespace):
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def all_at_once(function, items):
    """The results in the order of the items."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))


class Tap:
    """Every frame on a host's link, from when it was made."""

    def __init__(self, router, port):
        with inside_netns(router):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((port, ETH_P_ALL))
        self._socket.setblocking(False)

    def frames(self):
        """Those since the last call."""
        seen = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(self._socket.recv(65536))
        return seen

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()


class RoutedHosts:
    """`names` booted together, in `lab`; options as those of Host.boot."""

    def __init__(self, names, lab, **options):
        self.lab = lab
        self.hosts = all_at_once(lambda name: Host.boot(name, lab=lab, tied=True, **options), names)
        for name, value in ROUTER_SYSCTLS.items():
            in_netns(lab.router(), "sh", "-c", f"echo {value} >/proc/sys/net/{name}")
        for host in self.hosts:
            self._plug_in(host)
        all_at_once(self._configure, self.hosts)

    # ---- addresses

    @staticmethod
    def _number(host):
        return host.config()["number"]

    def ip4(self, host, end=2):
        return f"198.51.100.{16 * (self._number(host) - 1) + end}"

    def ip6(self, host, end=2):
        return f"2001:db8:0:{self._number(host):x}::{end}"

    def port(self, host):
        """The router's end of a host's link."""
        return port_name(self._number(host), 0)

    # ---- cabling

    def _plug_in(self, host):
        port = self.port(host)
        self.router("ip", "link", "set", port, "nomaster", "up")
        self.router("ip", "address", "replace", f"{self.ip4(host, 1)}/28", "dev", port)
        self.router("ip", "address", "replace", f"{self.ip6(host, 1)}/64", "dev", port, "nodad")

    def _configure(self, host):
        unit = ADDRESS_UNIT.format(ip4=self.ip4(host), ip6=self.ip6(host), router4=self.ip4(host, 1), router6=self.ip6(host, 1))
        names = "".join(f"{self.ip4(one)} {one.name}\n{self.ip6(one)} {one.name}\n" for one in self.hosts if one != host)
        host.run("cat >>/etc/hosts", input=names)
        host.run("cat >/etc/systemd/system/link.service && systemctl --quiet enable --now link.service", input=unit)

    def router(self, *argv):
        return in_netns(self.lab.router(), *argv)

    # ---- what can happen to a link

    @contextlib.contextmanager
    def pulled_out(self, host):
        """The host sees that there is no carrier."""
        host.cut_link()
        try:
            yield
        finally:
            host.restore_link()

    @contextlib.contextmanager
    def silenced(self, host):
        """Nothing passes, and nobody is told: neither the host nor the others."""
        self._nft(CUT.format(port=self.port(host)))
        try:
            yield
        finally:
            self._nft("delete table inet lab")

    @contextlib.contextmanager
    def lossy(self, host, percent):
        self._nft(LOSS.format(port=self.port(host), percent=percent))
        try:
            yield
        finally:
            self._nft("delete table inet lab")

    @contextlib.contextmanager
    def mtu(self, host, size):
        """Others find out about it by what the router answers them."""
        self._set_mtu(host, size)
        try:
            yield
        finally:
            self._set_mtu(host, 1500)

    def _set_mtu(self, host, size):
        self.router("ip", "link", "set", self.port(host), "mtu", size)
        host.run(f"ip link set eth0 mtu {size}")

    def _nft(self, commands):
        with inside_netns(self.lab.router()):
            subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True)

    def tap(self, host):
        return Tap(self.lab.router(), self.port(host))

    # ---- power

    def power_cut(self, host, seconds=0):
        """And on again after a while; nothing of the kernel's is left then, such as TAPs and bridges."""
        host.run("sync")
        host.power_cut()
        time.sleep(seconds)
        host.start()
        self._plug_in(host)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        all_at_once(Host.destroy, self.hosts)


# ------------------------------------------------------------------------------------------- ssh


def let_ssh_in(hosts, user="alice"):
    """Each host runs a server of ssh with keys of its own; `user` of each may log in as `user` on all, and knows all of them."""
    keys = all_at_once(functools.partial(_start_sshd, user=user), hosts.hosts)
    known = "".join(f"{one.name},{hosts.ip4(one)},{hosts.ip6(one)} {server}\n" for one, (server, _) in zip(hosts.hosts, keys))
    allowed = "".join(f"{own}\n" for _, own in keys)
    for host in hosts.hosts:
        host.run("cat >.ssh/known_hosts", user=user, input=known)
        host.run("cat >.ssh/authorized_keys", user=user, input=allowed)


def _start_sshd(host, user):
    """(its public key, the user's)"""
    host.run("rm -f /etc/ssh/ssh_host_* && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key && "
             "systemctl --quiet enable --now ssh.service")
    host.run("mkdir -p -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519", user=user)
    return [" ".join(host.run(["cat", f"{file}.pub"]).stdout.split()[:2])
            for file in ("/etc/ssh/ssh_host_ed25519_key", f"/home/{user}/.ssh/id_ed25519")]
