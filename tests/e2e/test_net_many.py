"""200 TAPs at once through the units and scripts that capsul writes: all there, and afterwards nothing, whatever went first.

They belong to 40 VMs that never run. What holds a VM's TAPs is its unit; here it is a target, which holds them all.
"""

import itertools
import json
import re
import time

import pytest
from conftest import allow_networks, install_capsul, wait_until
from net_helper import Net

import host as hosts

VMS, NICS = 40, 5
HOLD = "".join(f"Wants={unit}\nAfter={unit}\n" for unit in (f"capsul-tap-t{n}.service" for n in range(VMS)))
EMPTY = "--image empty --memory 64M --disk 2M --no-ssh-key --no-start --no-autostart" + " --network lan" * NICS


class Many:
    def __init__(self, host, capsul):
        self.host = host
        self.capsul = capsul
        self.net = Net(host)
        self.before = self.picture()

    def systemctl(self, *words, **options):
        return self.capsul.run(["systemctl", "--user", *words], **options)

    def picture(self):
        """Whatever could be left: of the kernel's network, of packets counted nothing; files, units, processes."""
        network = re.sub(r'"counter": \{"packets": \d+, "bytes": \d+', "", self.net.snapshot())
        return set(re.split(r"\},\s*\{", network)) | set(self.capsul.traces())

    def require(self, before):
        now = self.picture()
        assert now == before, "\n".join(["no longer there:", *sorted(before - now), "new:", *sorted(now - before)])

    def start(self):
        self.systemctl("start", "taps.target")

    def stop(self):
        self.systemctl("stop", "taps.target")
        self.wait_for_jobs()

    def wait_for_jobs(self):
        """Also for the stop of what nobody needs any more, which systemd decides on by itself."""
        wait_until(lambda: not self.states() - {"active", "failed"} and not self.systemctl("list-jobs", "--no-legend").stdout)

    def states(self):
        said = self.systemctl("list-units", "--all", "--plain", "--no-legend", "capsul-tap-*").stdout
        return {line.split()[2] for line in said.splitlines()} - {"inactive"}

    def failed(self):
        said = self.systemctl("list-units", "--state=failed", "--plain", "--no-legend", "capsul-tap-*").stdout
        return sorted(line.split()[0].removeprefix("capsul-tap-").removesuffix(".service") for line in said.splitlines())

    def taps(self):
        return self.net.names("cap-t")

    def require_all(self):
        """Every TAP with all that makes it safe."""
        links = {link["ifname"]: link for link in json.loads(self.host.run("ip -json -details link").stdout)}
        wanted = sorted(f"cap-t{vm}-{nic}" for vm, nic in itertools.product(range(VMS), range(NICS)))
        assert self.taps() == wanted
        for name in wanted:
            link, port = links[name], links[name]["linkinfo"]["info_slave_data"]
            assert link["master"] == "cap-lan" and link["ifalias"].startswith("capsul uid=") and "UP" in link["flags"], link
            assert port["locked"] and not port["learning"] and link["linkinfo"]["info_data"]["persist"], link
        fixed = [entry for entry in json.loads(self.host.run("bridge -json fdb show br cap-lan").stdout)
                 if entry.get("state") == "static" and entry["ifname"] in links]
        assert len({entry["mac"] for entry in fixed}) == len(wanted)
        elements = self.net.elements()
        assert len(elements["known4"]) == len(wanted) and len(elements["known6"]) == 2 * len(wanted)


@pytest.fixture(scope="module")
def many(lab, host_binds):
    with hosts.Host.boot("many", users=("alice", "bob", "mallory"), lab=lab, binds=host_binds, tied=True) as host:
        capsul = install_capsul(host)
        allow_networks(capsul)
        capsul.run("truncate --size 1M empty.raw && capsulctl image import empty empty.raw && "
                   "capsulctl network create lan --subnet 10.80.5.0/24 --subnet6 fd80:ca95:0:5::/64 && "
                   f"for n in $(seq 0 {VMS - 1}); do capsulctl -q vm create t$n {EMPTY} || exit; done")
        capsul.run("cat >.config/systemd/user/taps.target && systemctl --user daemon-reload", input=f"[Unit]\n{HOLD}")
        capsul.ctl("network", "stop", "lan")
        yield Many(host, capsul)


@pytest.fixture(autouse=True)
def leaves_nothing(many):
    yield
    many.systemctl("stop", "capsul-net-lan.service", "taps.target")
    many.wait_for_jobs()
    many.require(many.before)


@pytest.fixture
def with_network(many):
    """How it is with the network alone. A bridge keeps the address that the kernel gives it with its first port."""
    many.start()
    many.stop()
    assert many.taps() == []
    return many.picture()


def test_taps_that_are_stopped_before_their_network(many, with_network):
    many.start()
    many.require_all()
    many.stop()
    many.require(with_network)


def test_a_network_that_is_stopped_first_takes_its_taps_along(many):
    many.start()
    many.require_all()
    many.systemctl("stop", "capsul-net-lan.service")
    many.wait_for_jobs()
    assert many.taps() == [] and many.failed() == []


def test_a_network_is_not_taken_from_under_its_taps(many):
    many.start()
    refused = many.capsul.run(".local/share/capsul/networks/lan/teardown.sh", check=False)
    assert refused.returncode == 1 and "cap-lan" in refused.stderr
    many.require_all()


def test_taps_whose_bridge_root_took_away(many):
    many.start()
    many.host.run("ip link del cap-lan")
    many.stop()
    assert many.taps() == [] and many.failed() == []


def test_setups_that_are_killed(many, with_network):
    """At several points of the way: what is killed leaves nothing, what is done is whole, and the next start makes all."""
    killed = 0
    for delay in (0, 0.2, 0.5):
        many.systemctl("start", "--no-block", "taps.target")
        wait_until(many.states)  # the network is there, the first setups run
        time.sleep(delay)
        many.systemctl("kill", "--signal=KILL", "capsul-tap-*", check=False)  # complains of those that are done
        many.wait_for_jobs()
        failed = many.failed()
        killed += len(failed)
        per_vm = {vm: list(taps) for vm, taps in itertools.groupby(many.taps(), lambda tap: tap.rsplit("-", 1)[0])}
        assert not {f"cap-{vm}" for vm in failed} & set(per_vm), (failed, per_vm)
        assert all(len(taps) == NICS for taps in per_vm.values()), per_vm
        many.systemctl("reset-failed")
        many.start()
        many.require_all()
        many.stop()
        many.require(with_network)
    assert killed > 0
