"""Images made of a VM's disk, and copies of that VM: each a machine of its own, with what the VM had.

The tests are one story and run in this order: one boot of the VM, then three at the same time, then one of these again. The host
has no libguestfs at first, and gets it, from Debian, after the first image was made: the second one is cleaned itself.
"""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import BOOT, REPOSITORY, import_debian, wait_until
from debian_mirror import Mirror, host_with_mirror

SOURCE = "golden"
IMAGE = "golden-base"
CLEANED = "golden-clean"
PUBLISHED = "one"
COPY = "twin"
FRESH = "fresh"
COPIES = (PUBLISHED, COPY, FRESH)

KERNEL = "linux-image-cloud-amd64"  # libguestfs boots one of the host's
CLEANING = 600  # seconds, on a busy machine
KERNELS = "/boot/vmlinuz-*"

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
def capsul(lab, host_binds, tmp_path_factory):
    """On a host of its own, which sees Debian's mirror."""
    with host_with_mirror("publisher", lab, host_binds, tmp_path_factory.mktemp("mirror")) as capsul:
        yield capsul


@pytest.fixture(scope="module")
def debian_12(capsul, debian_image):
    return import_debian(capsul, debian_image)


def install_libguestfs(host):
    """No service of its packages starts."""
    sources = f"deb {Mirror.url} bookworm main\ndeb {Mirror.security_url} bookworm-security main\n"
    host.run("cat >/root/sources", input=sources)
    host.run("printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d")
    packages = subprocess.run([REPOSITORY / "tests/install-deps.sh", "--list", "publish"], check=True, capture_output=True, text=True).stdout.split()
    apt = "apt-get -qq -o Dir::Etc::sourcelist=/root/sources -o Dir::Etc::sourceparts=/dev/null"
    host.run(f"{apt} update && DEBIAN_FRONTEND=noninteractive {apt} install --no-install-recommends --yes {' '.join(packages)} {KERNEL}",
             timeout=CLEANING)


@pytest.fixture(scope="module")
def libguestfs(capsul, images):
    """From here on it is there."""
    install_libguestfs(capsul.host)
    capsul.run("systemctl --user stop mirror.socket mirror.service")


@pytest.fixture(scope="module")
def source(capsul, debian_12):
    """What the source was; it is off."""
    capsul.ctl("vm", "list")
    before = capsul.traces()
    create(capsul, SOURCE, debian_12)
    wait_for(capsul, SOURCE)
    capsul.ctl("exec", SOURCE, "--", "sh", "-c", "mkdir /var/log/app; echo kept >/srv/written; echo secret >>/var/log/app.log; "
               "echo secret >/var/log/app/trace; sync")
    guest = Guest(capsul, SOURCE)
    running = capsul.ctl("image", "publish", SOURCE, IMAGE, check=False)
    assert running.returncode == 4 and "stop it first" in running.stderr
    capsul.ctl("stop", SOURCE, timeout=200)
    yield guest
    capsul.ctl("rm", SOURCE, *COPIES, "--yes", "--ignore-missing", timeout=300)
    capsul.ctl("image", "rm", IMAGE, CLEANED, "--ignore-missing")
    assert capsul.traces() == before


@pytest.fixture(scope="module")
def images(capsul, source):
    """The first one, and a copy of the VM."""
    told = capsul.ctl("image", "publish", SOURCE, IMAGE, timeout=600)
    assert "cleaned at the first boot of each VM made from it" in told.stderr and "guestfs-tools" in told.stderr
    capsul.ctl("vm", "clone", SOURCE, COPY, timeout=300)


@pytest.fixture(scope="module")
def guests(capsul, cleaned):
    """The copies after their first boot, by name."""
    create(capsul, PUBLISHED, IMAGE)
    create(capsul, FRESH, CLEANED)
    capsul.ctl("start", COPY)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda vm: wait_for(capsul, vm), COPIES))
    return {vm: Guest(capsul, vm) for vm in COPIES}


def test_where_libguestfs_does_not_work_first_boots_do_it(capsul, libguestfs):
    before = capsul.traces()
    capsul.host.run(f"chmod 0600 {KERNELS}")  # as some distributions have it
    try:
        told = capsul.ctl("image", "publish", SOURCE, CLEANED, timeout=CLEANING)
    finally:
        capsul.host.run(f"chmod 0644 {KERNELS}")
    assert "virt-sysprep could not clean it: libguestfs's own system cannot be made: cp: cannot open '/boot/vmlinuz" in told.stderr
    assert "cleaned at the first boot of each VM made from it" in told.stderr
    published = capsul.json("image", "show", CLEANED)["published"]
    assert published["reset"] and not published["cleaned"]
    capsul.ctl("image", "rm", CLEANED)
    assert capsul.traces() == before


def is_cleaning(capsul):
    return capsul.run("pgrep --uid $(id -u) --exact virt-sysprep", check=False).stdout != ""


def test_a_killed_daemon_leaves_nothing_of_a_cleaning(capsul, libguestfs):
    before = capsul.traces()
    with ThreadPoolExecutor() as pool:
        told = pool.submit(capsul.ctl, "image", "publish", SOURCE, CLEANED, check=False, timeout=CLEANING)
        wait_until(lambda: is_cleaning(capsul), CLEANING)
        capsul.run("systemctl --user kill --signal KILL capsuld.service")
        assert told.result().returncode != 0
    wait_until(lambda: capsul.ctl("image", "list", check=False).returncode == 0)
    assert not is_cleaning(capsul)
    assert capsul.ctl("image", "show", CLEANED, check=False).returncode == 3
    assert capsul.traces() == before


@pytest.fixture(scope="module")
def cleaned(capsul, libguestfs):
    """What was said about the second image."""
    return capsul.ctl("image", "publish", SOURCE, CLEANED, timeout=CLEANING).stderr


def test_with_libguestfs_the_image_itself_is_clean(capsul, cleaned):
    assert "cleaned by virt-sysprep" in cleaned and "by the guest's cloud-init" not in cleaned
    assert capsul.json("image", "show", CLEANED)["published"] == {
        "vm": SOURCE, "image": "debian-12", "reset": True, "cleaned": True}
    told = capsul.ctl("image", "export", CLEANED, "clean.qcow2", timeout=CLEANING)
    assert "identity" not in told.stderr
    listed = capsul.run("virt-ls --format=qcow2 -a clean.qcow2 --long --recursive /etc /srv /var/lib/cloud /var/lib/dhcp /var/log && "
                        "rm clean.qcow2", timeout=CLEANING).stdout
    sizes = {line.split(maxsplit=3)[3]: int(line.split(maxsplit=3)[2]) for line in listed.splitlines() if line[0] in "-l"}
    assert sizes["/srv/written"] and sizes["/etc/passwd"]
    assert sizes["/etc/machine-id"] == 0
    assert [path for path in sizes if path.startswith(("/etc/ssh/ssh_host", "/var/lib/cloud/", "/var/lib/dhcp/"))] == []
    assert [path for path, size in sizes.items() if path.startswith("/var/log/") and size and "README" not in path] == []


def test_the_image_says_whose_disk_it_was(capsul, guests):
    image = capsul.json("image", "show", IMAGE)
    assert image["published"] == {"vm": SOURCE, "image": "debian-12", "reset": True, "cleaned": False}
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
        logs = "cat /var/log/app.log /var/log/app/trace 2>/dev/null || true"
        assert capsul.ctl("exec", vm, "--", "sh", "-c", logs).stdout == ""
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
