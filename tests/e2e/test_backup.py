"""A guest that writes is backed up while it runs, and goes on from that moment on another host. In the real sandbox.

The tests are one story and run in this order: emulated guests take too long to boot for one each.
"""

import pytest
from conftest import BOOT, install_capsul

import host as hosts

VM = "backed-up"
ARCHIVE = "web.tar.zst"
LOG = "/root/log"
# Each line is on the disk before the next one is written.
WRITER = f"i=0; while :; do i=$((i+1)); echo $i >>{LOG}; sync {LOG}; done"


def guest(capsul, command, name=VM):
    return capsul.ctl("exec", name, "-n", "--", "sh", "-c", command, timeout=BOOT).stdout.strip()


@pytest.fixture(scope="module")
def elsewhere(lab, host_binds):
    """A host that knows nothing of the image."""
    with hosts.Host.boot("elsewhere", binds=host_binds, lab=lab, tied=True) as booted:
        yield install_capsul(booted)


@pytest.fixture(scope="module")
def backup(capsul, debian_12, elsewhere):
    """Taken while the guest writes; with the number of lines that there were before and after."""
    capsul.ctl("vm", "create", VM, "--image", debian_12, "--memory", "512M", "--wait", "cloud-init", "--timeout", "15m",
               "--no-ssh-key", "--label", "tier=test", timeout=BOOT)
    guest(capsul, f"systemd-run --unit=writer sh -c '{WRITER}'")
    before = int(guest(capsul, f"sleep 2; wc -l <{LOG}"))
    made = capsul.json("vm", "backup", VM, ARCHIVE, timeout=BOOT)
    after = int(guest(capsul, f"systemctl stop writer; wc -l <{LOG}"))
    yield made, before, after
    capsul.ctl("vm", "delete", VM, "--yes", "--ignore-missing")
    capsul.run(f"rm -f {ARCHIVE}")


def carry(capsul, elsewhere):
    """As a person would copy it; the archive is bytes, and what a host says is text."""
    text = capsul.run(f"base64 {ARCHIVE}", timeout=BOOT).stdout
    elsewhere.run(f"umask 077; base64 -d >{ARCHIVE}", input=text, timeout=BOOT)


def test_a_backup_is_taken_while_the_guest_holds_still(capsul, backup):
    made, before, after = backup
    assert made["consistency"] == "frozen" and made["has_image"]
    assert 0 < before < after
    assert capsul.run(f"stat -c %a {ARCHIVE}").stdout.strip() == "600"
    assert not capsul.run("ls -A .local/share/capsul/downloads").stdout
    assert not capsul.run(f"find .local/share/capsul/vms/{VM} -name .backup").stdout


def test_the_archive_can_be_taken_apart_by_hand(capsul, backup):
    listed = capsul.run(f"tar --zstd -tf {ARCHIVE}").stdout.split()
    assert listed == ["manifest.json", "disk.qcow2", "image.qcow2", "image.kernel", "image.initrd"]


def test_a_host_without_the_image_goes_on_from_that_moment(capsul, elsewhere, backup):
    _, before, after = backup
    carry(capsul, elsewhere)
    assert elsewhere.json("image", "list") == []
    restored = elsewhere.json("vm", "restore", ARCHIVE, "--start", timeout=BOOT)
    here, there = capsul.json("vm", "show", VM)["spec"], restored["vm"]["spec"]
    assert [there[key] for key in ("name", "uuid", "labels", "nics")] == [here[key] for key in ("name", "uuid", "labels", "nics")]
    elsewhere.ctl("vm", "wait", VM, "--for", "agent", "--timeout", "15m", timeout=BOOT)
    lines = guest(elsewhere, f"cat {LOG}").split()
    assert lines == [str(number) for number in range(1, len(lines) + 1)]
    assert before <= len(lines) <= after
    assert guest(elsewhere, "journalctl -b -k --no-pager | grep -c 'EXT4-fs error' || true") == "0"


def test_a_damaged_archive_leaves_nothing(elsewhere, backup):
    before = elsewhere.traces()
    middle = int(elsewhere.run(f"stat -c %s {ARCHIVE}").stdout) // 2
    elsewhere.run(f"cp {ARCHIVE} bad.tar.zst && tail -c +{middle + 1} {ARCHIVE} | head -c 1 | tr '\\0-\\377' '\\1-\\377\\0' |"
                  f" dd of=bad.tar.zst bs=1 seek={middle} conv=notrunc status=none && ! cmp -s {ARCHIVE} bad.tar.zst")
    refused = elsewhere.ctl("vm", "restore", "bad.tar.zst", "--as", "bad", check=False, timeout=BOOT)
    assert refused.returncode == 10, refused.stderr
    assert elsewhere.traces() == before
