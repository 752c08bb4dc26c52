"""TAPs and the QEMU that has them, in VMs without an operating system: a guest's own view is in test_networks.py."""

import json

import pytest
from conftest import allow_networks, install_capsul

import host as hosts

VM = "bare"

TELL_QEMU = """\
import os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["XDG_RUNTIME_DIR"] + "/capsul/vms/bare/stop.sock")
answers = connection.makefile()
for command in '{"execute": "qmp_capabilities"}', sys.argv[1]:
    answers.readline()
    connection.sendall(command.encode())
assert "return" in answers.readline()
"""


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    with hosts.Host.boot("plug", binds=host_binds, lab=lab, tied=True) as host:
        one = install_capsul(host)
        allow_networks(one)
        one.run("truncate --size 1M empty.raw && capsulctl image import empty empty.raw")
        one.ctl("network", "create", "lan", "--subnet", "10.80.9.0/24")
        one.ctl("vm", "create", VM, "--image", "empty", "--memory", "64M", "--disk", "2M", "--no-ssh-key", "--stop-timeout", "2s")
        yield one


def taps(capsul):
    """{TAP: whether somebody is attached}."""
    names = capsul.run("ls /sys/class/net").stdout.split()
    return {name: capsul.run(f"cat /sys/class/net/{name}/carrier").stdout.strip() == "1"
            for name in names if name.startswith(f"cap-{VM}-")}


def tell_qemu(capsul, command):
    """By its second monitor."""
    capsul.run(["python3", "-c", TELL_QEMU, json.dumps(command)])


def test_a_vm_that_was_started_without_a_tap_gets_one(capsul):
    unit = capsul.run(f"cat .config/systemd/user/capsul-vm-{VM}.service").stdout
    assert "/dev/net/tun" not in unit and taps(capsul) == {}
    capsul.ctl("vm", "nic", "add", VM, "lan")
    assert taps(capsul) == {f"cap-{VM}-1": True}


def test_its_qemu_gets_it_from_capsul_run_the_next_time(capsul):
    capsul.ctl("stop", VM, "--force")
    assert taps(capsul) == {}
    capsul.ctl("start", VM)
    assert taps(capsul) == {f"cap-{VM}-1": True}


def test_one_is_plugged_in_beside_another(capsul):
    capsul.ctl("vm", "nic", "add", VM, "lan")
    assert taps(capsul) == {f"cap-{VM}-1": True, f"cap-{VM}-2": True}
    capsul.ctl("restart", VM, "--force")
    assert taps(capsul) == {f"cap-{VM}-1": True, f"cap-{VM}-2": True}


def test_a_first_one_that_cannot_be_plugged_in_leaves_nothing(capsul):
    capsul.ctl("stop", VM, "--force")
    for slot in "1", "2":
        capsul.ctl("vm", "nic", "rm", VM, slot)
    capsul.ctl("start", VM)
    before = capsul.json("vm", "show", VM)["spec"]
    tell_qemu(capsul, {"execute": "netdev_add", "arguments": {"type": "hubport", "id": "net1", "hubid": 7}})
    refused = capsul.ctl("vm", "nic", "add", VM, "lan", check=False)
    assert refused.returncode != 0 and "Duplicate ID" in refused.stderr
    assert taps(capsul) == {} and capsul.json("vm", "show", VM)["spec"] == before
    tell_qemu(capsul, {"execute": "netdev_del", "arguments": {"id": "net1"}})
    capsul.ctl("vm", "nic", "add", VM, "lan")
    assert taps(capsul) == {f"cap-{VM}-1": True}
