"""TCP between guests, and between a guest and the host: VMs of capsul's, and the same ones with QEMU started by hand.

    capsul   two VMs as they are: the unit's sandbox, capsul-run's filters, locked ports, the packet filter's tables
    bare     two VMs that capsul has made and does not run. QEMU starts with their qemu.conf less what capsul has added for itself
             (monitors, agent, ports to plug NICs into), without -sandbox, in a unit without a single restriction. Their TAPs are
             plain ones that root made; while they are measured the packet filter is not loaded

Both on one bridge, all four at the same time, one pair at work. The first of each pair has one CPU of the host's for all of its
QEMU, what it talks to has another: where the scheduler happens to put them makes more of a difference than what is measured.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

NETWORK, BRIDGE, GATEWAY = "lan", "cap-lan", "10.80.5.1"
PAIRS = {"capsul": ("c1", "c2"), "bare": ("b1", "b2")}
IMAGE = "/srv/capsul-images/debian-12"
IPERF = ["usr/bin/iperf3", "usr/lib/x86_64-linux-gnu/libiperf.so.0", "usr/lib/x86_64-linux-gnu/libsctp.so.1"]
SSH = ("ssh -q -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
       "-o ControlPath=/home/alice/.ssh/to-%h")
TAPS = {"capsul": "cap-{}-0", "bare": "bare-{}"}
UNITS = {"capsul": "capsul-vm-{}.service", "bare": "bare-{}.service"}
BOOT = 900  # seconds: four emulated guests at once

# {what: (whether the other end is a guest, option of iperf3)}
DIRECTIONS = {"guest → guest": (True, ""), "guest ← guest": (True, "--reverse"),
              "guest → host": (False, ""), "guest ← host": (False, "--reverse")}

# Runs in the host: interface, rx or tx, seconds, pids of QEMU. What passes in the midst of a connection, and what it costs.
LOOK = r"""
import json, os, sys, time
interface, direction, seconds, *pids = sys.argv[1:]
def look():
    stats = [open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split() for pid in pids]
    return (time.monotonic(), int(open(f"/sys/class/net/{interface}/statistics/{direction}_bytes").read()),
            sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK"))
time.sleep(2)
begin = look()
time.sleep(float(seconds))
took, size, cpu = (b - a for a, b in zip(begin, look()))
print(json.dumps([8e-6 * size / took, 1e9 * cpu / size]))
"""

OF_CAPSUL = {"pcie-root-port", "virtio-serial-pci", "virtserialport"}


def sections_of(text):
    """[(head, {key: value})] of a file for QEMU's -readconfig."""
    sections = []
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            sections.append((line, {}))
        else:
            key, value = line.split("=", 1)
            sections[-1][1][key.strip()] = value.strip().strip('"')
    return sections


def bare_config(text, tap, log):
    """capsul's qemu.conf less what it has added to a plain VM."""
    lines = []
    for head, options in sections_of(text):
        group = head.strip("[]").split()[0]
        if group in ("mon", "chardev") and '"console"' not in head or options.get("driver") in OF_CAPSUL:
            continue
        if group == "chardev":
            options = {"backend": "file", "path": log}
        if options.get("driver") == "virtio-net-pci":
            del options["bus"]
        if "fd" in options:  # which capsul-run opens
            del options["fd"]
            options |= {"ifname": tap, "script": "no", "downscript": "no"}
        lines += [head, *(f'  {key} = "{value}"' for key, value in options.items()), ""]
    return "\n".join(lines) + "\n"


class Guests:
    """All four, booted, with an iperf3 that waits in the second of each pair and in the host."""

    iperf = "env LD_LIBRARY_PATH=bench/usr/lib/x86_64-linux-gnu bench/usr/bin/iperf3"

    def __init__(self, bench):
        self.bench = bench
        self._make()
        self.addresses = {vm: bench.json("vm", "ip", vm)["assigned"][0] for pair in PAIRS.values() for vm in pair}
        for vm in PAIRS["bare"]:
            self._start_bare(vm)
        for vm in self.addresses:
            self._await(vm)
            self._give_iperf(vm)
        for _, other in PAIRS.values():
            self._ssh(other, f"{self.iperf} --server --daemon")
        bench.alice("systemd-run --user --quiet --unit=iperf iperf3 --server")
        self.pids = {vm: self._pid(UNITS[way].format(vm)) for way, pair in PAIRS.items() for vm in pair}
        places = [(self.pids[vm], cpu) for pair in PAIRS.values() for cpu, vm in enumerate(pair)]
        for pid, cpu in [*places, (self._pid("iperf"), 1)]:
            bench.root(f"taskset --all-tasks --cpu-list --pid {cpu} {pid}")

    def _make(self):
        bench = self.bench
        bench.alice("mkdir -p -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519")
        bench.alice(f"capsulctl image import debian-12 {IMAGE}.qcow2 --kernel {IMAGE}.vmlinuz --initrd {IMAGE}.initrd "
                    f"--cmdline \"$(cat {IMAGE}.cmdline)\"", timeout=300)
        bench.ctl("network", "create", NETWORK, "--subnet", "10.80.5.0/24")
        for way, pair in PAIRS.items():
            for vm in pair:
                bench.ctl("vm", "create", vm, "--image", "debian-12", "--memory", "512M", "--network", NETWORK,
                          *(["--no-start"] if way == "bare" else []), timeout=120)

    def _start_bare(self, vm):
        folder = f"/home/alice/.local/share/capsul/vms/{vm}"
        config = bare_config(self.bench.alice(["cat", f"{folder}/qemu.conf"]), f"bare-{vm}", f"/home/alice/{vm}.log")
        self.bench.root(f"ip tuntap add bare-{vm} mode tap user alice && ip link set bare-{vm} master {BRIDGE} up")
        self.bench.alice(f"cat >{vm}.conf", input=config)
        self.bench.alice(f"systemd-run --user --quiet --unit=bare-{vm} /usr/bin/qemu-system-x86_64 -nodefaults -no-user-config "
                         f"-display none -cpu max -smbios type=1,serial=ds=nocloud -readconfig /home/alice/{vm}.conf")

    def _await(self, vm):
        """Until it has booted to the end: what is left of that would be measured."""
        deadline = time.monotonic() + BOOT
        to = f"debian@{self.addresses[vm]}"
        while self.bench.host.run(f"{SSH} -fNM {to} >/dev/null 2>&1", user="alice", check=False, timeout=60).returncode != 0:
            unit = UNITS["bare" if vm in PAIRS["bare"] else "capsul"].format(vm)
            self.bench.alice(["systemctl", "--user", "--quiet", "is-active", unit])  # or it is an error
            if time.monotonic() > deadline:
                raise SystemExit(f"network: {vm} does not let ssh in")
            time.sleep(2)
        self._ssh(vm, "cloud-init status --wait >/dev/null", timeout=BOOT)

    def _pid(self, unit):
        return self.bench.alice(["systemctl", "--user", "show", "--value", "--property=MainPID", unit]).strip()

    def _ssh(self, vm, command, timeout=60):
        """Its output goes to a file: of a pipe, ssh's master would keep an end for as long as the guest stands still."""
        said = f"/home/alice/{vm}.said"
        self.bench.alice(f"timeout {timeout} {SSH} debian@{self.addresses[vm]} '{command}' >{said} 2>&1 </dev/null || "
                         f"{{ echo {vm} does not do it in time, or: >&2; cat {said} >&2; exit 1; }}", timeout=timeout + 30)

    def _give_iperf(self, vm):
        """The host's own: it is the same Debian."""
        self.bench.alice(f"tar --directory=/ --dereference --create {' '.join(IPERF)} | "
                         f"{SSH} debian@{self.addresses[vm]} 'mkdir bench && tar --directory=bench --extract'")

    def traffic(self, way, direction, seconds):
        """(megabits a second, seconds of CPU that QEMU took for a gigabyte) while a connection carries what it can."""
        to_guest, option = DIRECTIONS[direction]
        vms = PAIRS[way]
        to = self.addresses[vms[1]] if to_guest else GATEWAY
        command = f"{self.iperf} --client {to} --time {seconds + 3} {option}"
        with ThreadPoolExecutor() as pool:
            sending = pool.submit(self._ssh, vms[0], command, timeout=seconds + 60)
            pids = [self.pids[vm] for vm in vms[:2 if to_guest else 1]]
            said = self.bench.root(["/usr/bin/python3", "-c", LOOK, TAPS[way].format(vms[0]), "tx" if option else "rx",
                                    seconds, *pids])
            sending.result()
        return tuple(json.loads(said))

    def prepare(self, way):
        """The packet filter is there for capsul's VMs only."""
        if way == "capsul":
            self.bench.root("systemctl start capsul-nft.service")
            self.bench.alice(f"systemctl --user reload capsul-net-{NETWORK} capsul-tap-c1 capsul-tap-c2")
        else:
            self.bench.root("systemctl stop capsul-nft.service")


def measure(bench, args, tell):
    """{direction: {way: [(Mbit/s, s/GB) ...]}}, taken in turns; who is first changes."""
    for name in ("iptables", "ip6tables"):
        bench.root(f"echo {int(args.docker)} >/proc/sys/net/bridge/bridge-nf-call-{name}", check=False)  # absent: as if 0
    guests = Guests(bench)
    result = {direction: {way: [] for way in PAIRS} for direction in DIRECTIONS}
    for number in range(args.traffic_rounds):
        tell(f"round {number + 1} of {args.traffic_rounds}")
        for direction in DIRECTIONS:
            for way in list(PAIRS) if number % 2 == 0 else list(PAIRS)[::-1]:
                guests.prepare(way)
                result[direction][way].append(guests.traffic(way, direction, args.seconds))
    return result
