"""Two guests on a network that keeps VMs apart, and what they reach, tried from inside them: many addresses at once, since an
emulated guest is slow in starting programs.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

WEB = 8000  # where what is outside listens

# sh -c: a script to begin with, one to end with, NAME=ADDRESS=PORT... Prints what works.
TRY = r"""
eval "$1"
undo=$2
shift 2
for each; do
    port=${each##*=} each=${each%=*}
    name=${each%%=*} address=${each#*=}
    { ping -c1 -W3 "$address" >/dev/null 2>&1 && echo "ping $name"; } &
    { timeout 4 bash -c "exec 3<>'/dev/tcp/$address/$port'" 2>/dev/null && echo "tcp $name"; } &
done
wait
eval "$undo"
"""

# sh -c: MAC, IPv4/length, IPv6/length. Gives them to the card when it is there, and prints its name.
ADOPT = r"""
until device=$(grep -l "$1" /sys/class/net/*/address); do sleep 0.2; done
device=${device%/address}
device=${device##*/}
ip link set "$device" up
ip addr replace "$2" dev "$device"
ip addr replace "$3" dev "$device" nodad
echo "$device"
"""


def adopt(capsul, vm, nic):
    """Configures a card that was plugged into a running guest; returns its name there."""
    words = [nic["mac"], f"{nic['ip']}/24", f"{nic['ip6']}/64"]
    return capsul.ctl("exec", vm, "--", "sh", "-c", ADOPT, "sh", *words, timeout=120).stdout.strip()


def reached(capsul, vm, targets, before, after):
    """Which of the targets {NAME: (ADDRESS, PORT)} answer, as {"ping NAME", "tcp NAME" ...}. Before and after it, commands."""
    words = ["\n".join(before), "\n".join(after), *(f"{name}={address}={port}" for name, (address, port) in targets.items())]
    return set(capsul.ctl("exec", vm, "--", "sh", "-c", TRY, "sh", *words, timeout=120).stdout.splitlines())


def at_once(*calls):
    """The results of functions that wait for guests, in their order."""
    with ThreadPoolExecutor() as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@pytest.fixture
def isolated(guests):
    """The NICs of a and b on a network that keeps VMs apart, plugged into them as they run."""
    capsul = guests.capsul
    capsul.ctl("network", "create", "apart", "--subnet", "10.80.6.0/24", "--subnet6", "fd80:ca95:0:6::/64", "--isolate")
    for vm in "ab":
        capsul.ctl("vm", "nic", "add", vm, "apart")
    nics = {vm: capsul.json("vm", "show", vm)["spec"]["nics"][1] for vm in "ab"}
    devices = at_once(*(lambda vm=vm: adopt(capsul, vm, nics[vm]) for vm in "ab"))
    yield {vm: {**nics[vm], "device": device} for vm, device in zip("ab", devices)}
    for vm in "ab":
        capsul.ctl("vm", "nic", "rm", vm, "1", timeout=120)
    capsul.ctl("network", "delete", "apart", "--yes")


# How a guest may go about reaching the other one: commands that are there both to "add" and to "del" something.
WAYS = {
    "as any guest does": [],
    "without asking for its MAC": ["ip neigh {verb} {apart4} lladdr {mac} dev {device}",
                                   "ip neigh {verb} {apart6} lladdr {mac} dev {device}"],
    "by the gateway": ["ip route {verb} {apart4} via 10.80.6.1", "ip route {verb} {apart6} via fd80:ca95:0:6::1",
                       "ip route {verb} {lan4} via 10.80.5.1", "ip route {verb} {lan6} via fd80:ca95:0:5::1"],
}
OUTWARD = ["ip route {verb} {out4} via 10.80.6.1", "ip route {verb} {out6} via fd80:ca95:0:6::1"]


def reached_by_both(capsul, isolated, servers, way, wanted):
    """What a reaches, and b at the same time: the other on both networks, and by the isolated one what is outside. What is not
    reached though it is wanted is tried again, all of it: an emulated guest is at times too slow for the limits in TRY.
    """
    found = [set(), set()]
    for _ in range(5):
        for known, new in zip(found, one_round(capsul, isolated, servers, way)):
            known |= new
        if all(known >= wanted for known in found):
            break
    return found


def one_round(capsul, isolated, servers, way):
    def attempt(vm, other):
        lan4, lan6 = capsul.json("vm", "ip", other)["assigned"][:2]
        mine, its = isolated[vm], isolated[other]
        address = {"apart4": its["ip"], "apart6": its["ip6"], "lan4": lan4, "lan6": lan6, "out4": servers[4], "out6": servers[6]}
        facts = {**address, "mac": its["mac"], "device": mine["device"]}
        before, after = ([line.format(verb=verb, **facts) for line in OUTWARD + WAYS[way]] for verb in ("add", "del"))
        targets = {name: (to, WEB if name.startswith("out") else 22) for name, to in address.items()}
        return reached(capsul, vm, targets, before, after)

    return at_once(lambda: attempt("a", "b"), lambda: attempt("b", "a"))
