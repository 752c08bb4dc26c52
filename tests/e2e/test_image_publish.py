"""An image made of a VM's disk, and copies of that VM: each a machine of its own, with what the VM had.

The tests are one story and run in this order: one boot of the VM, then two at the same time, then one of these again.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import BOOT

SOURCE = "golden"
IMAGE = "golden-base"
PUBLISHED = "one"
COPY = "twin"
COPIES = (PUBLISHED, COPY)

TELL = """\
echo "id $(cat /etc/machine-id)"
echo "dbus $(cat /var/lib/dbus/machine-id)"
for key in /etc/ssh/ssh_host_*_key.pub; do echo "key $(cut -d' ' -f1,2 "$key")"; done
echo "instances $(ls /var/lib/cloud/instances | wc -l)"
echo "journals $(ls /var/log/journal)"
echo "file $(cat /srv/written)"
"""


class Guest:
    """What a guest says that it is."""

    def __init__(self, capsul, vm):
        lines = [line.split(" ", 1) for line in capsul.ctl("exec", vm, "--", "sh", "-c", TELL).stdout.splitlines()]
        said = dict(lines)
        self.id, self.dbus, self.file = said["id"], said["dbus"], said["file"]
        self.instances, self.journals = int(said["instances"]), said["journals"]
        self.keys = {value for word, value in lines if word == "key"}

    def identity(self):
        return self.id, self.dbus, self.keys


def wait_for(capsul, vm):
    capsul.ctl("vm", "wait", vm, "--for", "cloud-init", "--timeout", f"{BOOT}s", timeout=BOOT + 30)


def create(capsul, vm, image):
    capsul.ctl("vm", "create", vm, "--image", image, "--memory", "512M", "--no-ssh-key")


@pytest.fixture(scope="module")
def source(capsul, debian_12):
    """What the source was; it is off."""
    capsul.ctl("vm", "list")
    before = capsul.traces()
    create(capsul, SOURCE, debian_12)
    wait_for(capsul, SOURCE)
    capsul.ctl("exec", SOURCE, "--", "sh", "-c", "echo kept >/srv/written; echo secret >>/var/log/app.log; sync")
    guest = Guest(capsul, SOURCE)
    running = capsul.ctl("image", "publish", SOURCE, IMAGE, check=False)
    assert running.returncode == 4 and "stop it first" in running.stderr
    capsul.ctl("stop", SOURCE, timeout=200)
    yield guest
    capsul.ctl("rm", SOURCE, *COPIES, "--yes", "--ignore-missing", timeout=300)
    capsul.ctl("image", "rm", IMAGE, "--ignore-missing")
    assert capsul.traces() == before


@pytest.fixture(scope="module")
def guests(capsul, source):
    """The copies after their first boot, by name."""
    told = capsul.ctl("image", "publish", SOURCE, IMAGE, timeout=600)
    assert "cleaned at the first boot of each VM made from it" in told.stderr
    capsul.ctl("vm", "clone", SOURCE, COPY, timeout=300)
    create(capsul, PUBLISHED, IMAGE)
    capsul.ctl("start", COPY)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda vm: wait_for(capsul, vm), COPIES))
    return {vm: Guest(capsul, vm) for vm in COPIES}


def test_the_image_says_whose_disk_it_was(capsul, guests):
    image = capsul.json("image", "show", IMAGE)
    assert image["published"] == {"vm": SOURCE, "image": "debian-12", "reset": True}
    assert image["vms"] == [PUBLISHED] and image["boot"]["kernel"]


def test_what_was_written_is_there(source, guests):
    assert source.file == "kept"
    assert all(guest.file == "kept" for guest in guests.values())


def test_no_two_are_the_same_machine(source, guests):
    everybody = [source, *guests.values()]
    assert len({guest.id for guest in everybody}) == len(everybody)
    assert all(guest.dbus == guest.id for guest in everybody)
    keys = [key for guest in everybody for key in guest.keys]
    assert all(guest.keys for guest in everybody) and len(set(keys)) == len(keys)


def test_nothing_of_the_source_is_left(capsul, source, guests):
    for vm, guest in guests.items():
        assert guest.instances == 1, vm
        assert guest.journals == guest.id, f"{vm} keeps its journal under its own machine-id alone"
        assert capsul.ctl("exec", vm, "--", "cat", "/var/log/app.log").stdout == ""
        said = capsul.ctl("exec", vm, "--", "journalctl", "--boot", "--output=cat", "--lines=1000").stdout
        assert "sshd" in said or "ssh" in said, "the journal of this boot can be read"
        failed = capsul.ctl("exec", vm, "--", "systemctl", "--failed", "--plain", "--no-legend").stdout
        assert failed == "", failed


def test_it_stays_what_it_is_over_a_reboot(capsul, guests):
    capsul.ctl("exec", PUBLISHED, "--", "sh", "-c", "echo its own >/var/log/app.log; sync")
    capsul.ctl("restart", PUBLISHED, timeout=300)
    wait_for(capsul, PUBLISHED)
    assert Guest(capsul, PUBLISHED).identity() == guests[PUBLISHED].identity()
    assert capsul.ctl("exec", PUBLISHED, "--", "cat", "/var/log/app.log").stdout == "its own\n"
