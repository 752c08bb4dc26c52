"""tinc on test hosts, set up by hand the way capsul does it: what capsul's VPNs are measured against, and built on.

On each host a bridge with a persistent TAP for alice, and tincd as a user unit of hers.

    bridge   cap-mesh, which capsul-net has made, or another by root; 10.90.N.1/16 and fd90::N/64 on the Nth host
    trunk    cap-mesh-t, or as its bridge is called
    folder   ~/mesh: tinc.conf, hosts/NAME, rsa_key.priv
"""

import time

from host import HostError
from routed import all_at_once

FOLDER = "/home/alice/mesh"
HELPER = "/usr/libexec/capsul/capsul-net"
BRIDGE = "cap-mesh"
PORT = 11655
UNIT = "mesh.service"

# The times: who answers nothing for PingInterval + PingTimeout is gone, and is tried again every MaxTimeout from then on.
OPTIONS = {
    "Mode": "switch", "DeviceType": "tap", "Device": "/dev/net/tun", "AddressFamily": "any", "Port": PORT,
    "PingInterval": 5, "PingTimeout": 3, "MaxTimeout": 5, "ReplayWindow": 64, "KeyExpire": 3600,
    "Cipher": "aes-256-cbc", "Digest": "sha512", "MACLength": 32,
}

# All of it was seen to work. What did not: --mlock, since a user's manager lets no more than 8 MiB be locked, and OpenSSL then
# makes no keys; --chroot, which needs a capability; no --pidfile=, since tincd does not start without a file that it can write.
SANDBOX = """\
PrivateUsers=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
KeyringMode=private
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @mount @obsolete @swap @reboot @raw-io @clock @cpu-emulation @debug @module @keyring
SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev pidfd_getfd bpf
SystemCallErrorNumber=EPERM
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
PrivateMounts=yes
ProtectSystem=strict
ProtectHome=tmpfs
TemporaryFileSystem=/home:ro /root:ro /run:ro /run/user:ro /var:ro /dev/shm:ro /dev/mqueue:ro
BindReadOnlyPaths=/usr
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectClock=yes
NoExecPaths=/ -/tmp -/var/tmp
ExecPaths=/usr
ReadOnlyPaths=/proc
BindPaths=/dev/net/tun
BindReadOnlyPaths={folder}
LimitNOFILE=256
MemoryMax=64M
TasksMax=1
"""

SERVICE = """\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/sbin/tincd --config={folder} --no-detach --pidfile=/tmp/tincd.pid --debug={debug}
ExecReload=/usr/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1s
UMask=0077
[Install]
WantedBy=default.target
"""

# The last line is for what asks the host itself under its address here: without it the packet filter lets through pings only.
INTERFACES = """
set -eu
{helper} bridge-add {bridge}
{helper} trunk-add {trunk} {bridge}
{helper} addr-add {bridge} {ip4}/16
{helper} addr-add {bridge} {ip6}/64
{helper} egress {bridge} full
"""

# The same with nothing of capsul's.
BY_ROOT = """
set -eu
ip link add {bridge} type bridge
ip tuntap add {trunk} mode tap user alice
ip link set {trunk} master {bridge} up
ip link set {bridge} up
ip addr add {ip4}/16 dev {bridge}
ip addr add {ip6}/64 dev {bridge}
"""


class Node:
    """One host's part of it."""

    def __init__(self, hosts, host, bridge, options):
        self.hosts, self.host, self.name = hosts, host, host.name
        self.bridge, self.trunk = bridge, bridge + "-t"
        self.number = host.config()["number"]
        self.ip4, self.ip6 = f"10.90.{self.number}.1", f"fd90::{self.number:x}"
        self.options = self.options_with(options)
        self.connect_to = []
        self.public = ""

    def run(self, command, **options):
        return self.host.run(command, user="alice", **options)

    def options_with(self, options):
        return {**OPTIONS, "Interface": self.trunk, **options}

    def make(self, debug, sandbox):
        self.make_interfaces()
        self.run(f"mkdir -p -m 700 {FOLDER}/hosts .config/systemd/user")
        self.configure()
        self.run(["/usr/sbin/tincd", f"--config={FOLDER}", "--generate-keys=4096"])
        self.public = self.run(["cat", f"{FOLDER}/hosts/{self.name}"]).stdout
        self.run(f"cat >.config/systemd/user/{UNIT}",
                 input=SERVICE.format(folder=FOLDER, debug=debug).replace(
                     "[Install]", (SANDBOX.format(folder=FOLDER) if sandbox else "") + "[Install]"))
        self.run("systemctl --user daemon-reload")

    def make_interfaces(self):
        facts = {"helper": HELPER, "bridge": self.bridge, "trunk": self.trunk, "ip4": self.ip4, "ip6": self.ip6}
        if self.bridge.startswith("cap-"):  # those are never the administrator's
            self.run(INTERFACES.format(**facts))
        else:
            self.host.run(BY_ROOT.format(**facts))

    # ---- what tinc is told

    def host_file(self, *addresses):
        return "".join(f"Address = {address} {PORT}\n" for address in addresses) + self.public

    def write(self, name, text):
        """As capsul does: a new file takes the old one's place."""
        self.run(f"cat >{FOLDER}/.new && mv {FOLDER}/.new {FOLDER}/{name}", input=text)

    def configure(self):
        lines = [f"Name = {self.name}", *(f"{key} = {value}" for key, value in self.options.items()),
                 *(f"ConnectTo = {name}" for name in self.connect_to)]
        self.write("tinc.conf", "\n".join(lines) + "\n")

    def know(self, other, addresses=(), connect=True):
        """From now on, or from the next reload."""
        self.write(f"hosts/{other.name}", other.host_file(*addresses))
        if connect and other.name not in self.connect_to:
            self.connect_to.append(other.name)
        self.configure()

    def forget(self, other):
        self.run(["rm", "-f", f"{FOLDER}/hosts/{other.name}"])
        self.connect_to = [name for name in self.connect_to if name != other.name]
        self.configure()

    # ---- what it does

    def unit(self, verb):
        self.run(["systemctl", "--user", verb, UNIT])

    def pid(self):
        return int(self.run(["systemctl", "--user", "show", "--value", "--property=MainPID", UNIT]).stdout)

    def signal(self, name):
        """Also USR2, for tincd to write down what it knows."""
        self.run(["systemctl", "--user", "kill", f"--signal={name}", UNIT])

    def known_nodes(self):
        """What tincd knows of the others: "NAME at ADDRESS port N cipher N ... pmtu N (min N max N)", a line each."""
        self.signal("USR2")
        time.sleep(0.5)
        said = self.log("-5s")
        return said[said.rfind(" Nodes:"):said.rfind(" Edges:")]

    def known_node(self, other):
        """Its line of that."""
        return next((line for line in self.known_nodes().splitlines() if f" {other.name} at " in line), "")

    def hosts_addresses(self):
        return [self.hosts.ip4(self.host), self.hosts.ip6(self.host)]

    def log(self, since=""):
        return self.run(["journalctl", "--user-unit", UNIT, "--output=short-precise", "--no-pager",
                         *([f"--since={since}"] if since else [])]).stdout

    def reaches(self, other, seconds=1):
        return self.pings(other.ip4, seconds)

    def pings(self, address, seconds=1, *options):
        return self.host.run(["ping", "-c1", f"-W{seconds}", *options, address], check=False).returncode == 0

    def until_reaches(self, other, limit=60):
        """How many seconds it took."""
        begin = time.monotonic()
        while not self.pings(other.ip4, 0.2):
            if time.monotonic() > begin + limit:
                return float("inf")
        return time.monotonic() - begin


class PlainTinc:
    """On all the hosts, in one mesh: every one knows every other one and calls it."""

    def __init__(self, hosts, debug=3, sandbox=True, bridge=BRIDGE, **options):
        self.options = options
        self.nodes = [Node(hosts, host, bridge, options) for host in hosts.hosts]
        all_at_once(lambda node: node.make(debug, sandbox), self.nodes)
        self.renew()

    def renew(self, addresses=None):
        """As if made a moment ago; `addresses` of a host are all that it has, unless said."""
        for node in self.nodes:
            node.unit("stop")
            node.run(f"rm -f {FOLDER}/hosts/*")
            node.connect_to, node.options = [], node.options_with(self.options)
            node.write(f"hosts/{node.name}", node.host_file())
            for other in self.nodes:
                if other is not node:
                    node.know(other, addresses(other.host) if addresses else other.hosts_addresses())
        all_at_once(lambda node: node.unit("start"), self.nodes)
        for node in self.nodes:
            for other in self.nodes:
                if other is not node and node.until_reaches(other) == float("inf"):
                    raise HostError(f"{node.name} does not reach {other.name}", f"journalctl --user-unit {UNIT}")
