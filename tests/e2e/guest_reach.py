"""What guests reach, tried from inside them: many addresses at once, since an emulated guest is slow in starting programs."""

from concurrent.futures import ThreadPoolExecutor

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
    return capsul.ctl("exec", vm, "--", "sh", "-c", ADOPT, "sh", *words, timeout=60).stdout.strip()


def reached(capsul, vm, targets, ports, before="", after=""):
    """Which of the targets {NAME: ADDRESS} answer, as {"ping NAME", "tcp NAME" ...}; by TCP on port 22, if `ports` has no other."""
    words = [f"{name}={address}={ports.get(name, 22)}" for name, address in targets.items()]
    return set(capsul.ctl("exec", vm, "--", "sh", "-c", TRY, "sh", before, after, *words, timeout=60).stdout.splitlines())


def at_once(*calls):
    """The results of functions that wait for guests, in their order."""
    with ThreadPoolExecutor() as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]
