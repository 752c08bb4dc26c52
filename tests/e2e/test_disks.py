"""Disks of VMs as a real guest sees them: grown, plugged in and out while it runs, snapshots, copies. In the real sandbox."""

import pytest
from conftest import BOOT

VM = "disks"
COPY = "disks-copy"
DATA = "/dev/disk/by-id/virtio-data"


@pytest.fixture(scope="module")
def vm(capsul, debian_12):
    capsul.ctl("vm", "create", VM, "--image", debian_12, "--memory", "512M", "--wait", "cloud-init", "--timeout", "15m",
               "--no-ssh-key", timeout=BOOT)
    yield VM
    capsul.ctl("vm", "delete", VM, COPY, "--yes", "--ignore-missing")


def guest(capsul, command, name=VM):
    return capsul.ctl("exec", name, "-n", "--", "sh", "-c", command, timeout=BOOT).stdout.strip()


def boot(capsul, name=VM):
    capsul.ctl("start", name)
    capsul.ctl("vm", "wait", name, "--for", "cloud-init", "--timeout", "15m", timeout=BOOT)


def test_a_disk_grown_while_it_runs_is_larger_in_the_guest(capsul, vm):
    before = int(guest(capsul, "blockdev --getsize64 /dev/vda"))
    result = capsul.json("vm", "resize", vm, "--disk", "+1G")
    assert int(guest(capsul, "blockdev --getsize64 /dev/vda")) == before + 2**30
    assert result["guest_disk"] == result["vm"]["spec"]["disk"]


def test_a_snapshot_of_a_running_guest_brings_back_all_its_disks(capsul, vm):
    capsul.ctl("vm", "disk", "add", vm, "1G", "--name", "data")
    guest(capsul, f"udevadm settle && mkfs.ext4 -q {DATA} && mount {DATA} /mnt && echo old | tee /mnt/state >/root/state")
    assert capsul.json("vm", "snapshot", "create", vm, "before")["frozen"]
    guest(capsul, "echo new | tee /mnt/state >/root/state && sync")
    refused = capsul.ctl("vm", "snapshot", "restore", vm, "before", "--yes", check=False)
    assert refused.returncode == 4 and f"capsulctl stop {vm}" in refused.stderr
    capsul.ctl("stop", vm, timeout=BOOT)
    capsul.ctl("vm", "snapshot", "restore", vm, "before", "--yes")
    boot(capsul)
    assert guest(capsul, f"mount {DATA} /mnt && cat /mnt/state /root/state && umount /mnt").split() == ["old", "old"]
    capsul.ctl("vm", "snapshot", "delete", vm, "before", "--yes")
    capsul.ctl("vm", "disk", "rm", vm, "data", "--yes", timeout=120)
    assert guest(capsul, f"test -e {DATA} || echo gone") == "gone"
    assert "disk-data" not in capsul.run(f"ls .local/share/capsul/vms/{vm}").stdout


def test_a_copy_is_another_machine(capsul, vm):
    key = "cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub"
    before = guest(capsul, f"echo mine >/root/state && sync && {key}")
    capsul.ctl("stop", vm, timeout=BOOT)
    capsul.ctl("vm", "clone", vm, COPY)
    boot(capsul, COPY)
    assert guest(capsul, "hostname", COPY) == COPY
    assert guest(capsul, "cat /root/state", COPY) == "mine"
    assert guest(capsul, key, COPY) not in ("", before)
