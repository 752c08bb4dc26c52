"""capsuld and what works for it, killed in the middle of all that makes, changes and removes images and disks: it is done, or it never began."""

import difflib
import random
import time
from dataclasses import dataclass

import conftest
import pytest
from conftest import install_capsul, wait_until
from image_publisher import Publisher

import host as hosts

KILLS = 3  # of each
WORKERS = "'capsul-tool-*' 'capsul-fetch-*'"


@dataclass(frozen=True)
class Case:
    """Shell commands of the user."""

    doing: str
    before: str = "true"
    undo: str = "true"
    code: int = 0  # how `doing` ends when nothing comes in between
    lasting: bool = True  # what it makes is in the picture, so that it is seen whether it was done


def pull(file, code=2):
    """Of a file that is refused, so there is nothing of it to undo."""
    return Case(f'capsulctl image pull "$LAB/{file}" --insecure-no-checksum --as lab', code=code)


CASES = {
    "pull": Case("capsulctl image pull lab", undo="capsulctl image rm lab $(capsulctl image list -q | grep ^lab)"),
    "pull of a compressed one": Case("capsulctl image pull $LAB/lab.qcow2.xz --insecure-no-checksum --as squeezed",
                                     undo="capsulctl image rm squeezed"),
    "pull of a bomb": pull("bomb.raw.xz"),
    "pull without an end": pull("lab-1.qcow2?endless=1"),
    "pull that is cut and goes on": Case('capsulctl image pull "$LAB/lab-1.qcow2?cut=5000000&cuts=3" --sha256 $SUM --as cut',
                                         undo="capsulctl image rm cut"),
    "pull of a web page": pull("page.qcow2", 10),
    "pull of a disk over another": pull("backed.qcow2"),
    "pull of an absurd disk": pull("absurd.qcow2"),
    "pull of extents": pull("extents.vmdk"),
    "pull of an OVA that leads out": pull("up.ova"),
    "import of a qcow2": Case("capsulctl image import new disk.qcow2", undo="capsulctl image rm new"),
    "import of an OVA": Case("capsulctl image import new disk.ova", undo="capsulctl image rm new"),
    "import of a VMDK": Case("capsulctl image import new disk.vmdk", undo="capsulctl image rm new"),
    "import of a raw disk": Case("capsulctl image import new disk.raw.zst", undo="capsulctl image rm new"),
    "export": Case("capsulctl image export base out.qcow2 --compress", undo="rm out.qcow2"),
    "export of an OVA": Case("capsulctl image export base out.ova", undo="rm out.ova"),
    "publish": Case("capsulctl image publish spare new", undo="capsulctl image rm new"),
    "rm": Case("capsulctl image rm new", before="capsulctl image import new disk.qcow2"),
    "prune": Case("capsulctl image prune --yes", before="capsulctl image import new disk.qcow2"),
    "tag": Case("capsulctl image tag base other", undo="capsulctl image untag other"),
    "clone": Case("capsulctl vm clone spare copy", undo="capsulctl vm delete copy --yes"),
    "backup": Case("capsulctl vm backup spare out.tar.zst", undo="rm out.tar.zst"),
    "restore": Case("capsulctl vm restore spare.tar.zst --as back", undo="capsulctl vm delete back --yes"),
    "snapshot": Case("capsulctl vm snapshot create spare now", undo="capsulctl vm snapshot delete spare now --yes"),
    "snapshot that goes": Case("capsulctl vm snapshot delete spare now --yes", before="capsulctl vm snapshot create spare now"),
    "snapshot that is restored": Case("capsulctl vm snapshot restore spare now --yes", lasting=False,
                                      before="capsulctl vm snapshot create spare now",
                                      undo="capsulctl vm snapshot delete spare now --yes"),
    "disk": Case("capsulctl vm disk add spare 100M --name more", undo="capsulctl vm disk rm spare more --yes"),
    "disk that goes": Case("capsulctl vm disk rm spare more --yes", before="capsulctl vm disk add spare 100M --name more"),
    "resize": Case("capsulctl vm resize grown --disk 200M", before="capsulctl vm create grown --image base --no-ssh-key --no-start",
                   undo="capsulctl vm delete grown --yes"),
}

SETUP = r"""
set -e
cd published
printf '<!DOCTYPE html><html>log in</html>' >page.qcow2
qemu-img create -q -f qcow2 -F raw -b /etc/passwd -u backed.qcow2 1M
qemu-img create -q -f qcow2 absurd.qcow2 1M
printf '\177\377\377\377' | dd of=absurd.qcow2 bs=1 seek=60 conv=notrunc status=none
qemu-img create -q -f vmdk -o subformat=monolithicFlat extents.vmdk 1M
head -c 1G /dev/zero | xz -1 >bomb.raw.xz
qemu-img create -q -f vmdk d.vmdk 1M
echo '<Envelope/>' >d.ovf
tar -cPf up.ova --transform='s,^d.vmdk$,../d.vmdk,' d.ovf d.vmdk
xz -0 --keep --stdout lab-1.qcow2 >lab.qcow2.xz
cd
head -c 24M /dev/urandom >disk.raw
qemu-img convert -O qcow2 disk.raw disk.qcow2
qemu-img convert -O vmdk -o subformat=streamOptimized disk.raw disk.vmdk
zstd -q --rm disk.raw
head -c 24M /dev/urandom >base.raw
capsulctl image import base base.raw
rm base.raw
capsulctl image export base disk.ova
capsulctl vm create spare --image base --no-ssh-key --no-start
capsulctl vm disk add spare 100M
capsulctl vm backup spare spare.tar.zst
"""


# What is half fetched and what the catalogue said are kept on purpose.
PICTURE = r"""
set -e
capsulctl image list --output csv --columns name,digest,alias,pinned
capsulctl vm list --output csv --columns name,state
cd ~/.local/share/capsul/vms
for vm in *; do capsulctl vm disk list $vm --quiet; capsulctl vm snapshot list $vm --quiet; done
for disk in */*.qcow2; do qemu-img info -U $disk | grep 'virtual size'; done
cd
ls -A | grep -vxF log
set +e
"""
TRACES = "(" + conftest.TRACES + ") | grep -vE '/fetches/|/catalogue.json|publisher'"


@dataclass
class Scene:
    """A host of its own, since prune looks at all images; with a publisher, and a VM that does not run."""

    capsul: object
    publisher: Publisher
    digest: str

    def sh(self, script, **options):
        return self.capsul.run(f"export LAB={self.publisher.url('')[:-1]} SUM={self.digest}; {script}", timeout=300, **options)

    def picture(self):
        """All that is there, line by line."""
        return self.capsul.run(PICTURE + TRACES, timeout=300).stdout.splitlines()

    def do(self, case, what=""):
        done = self.sh(case.doing, check=False)
        assert done.returncode == case.code, f"{what}: {done.stderr}"

    def kill_amid(self, case, after, whom):
        self.sh(f"({case.doing} >/dev/null 2>&1; true) & sleep {after:.3f}; systemctl --user kill --signal=KILL {whom} 2>/dev/null; wait; "
                "systemctl --user reset-failed")


@pytest.fixture(scope="module")
def scene(lab, host_binds):
    with hosts.Host.boot("kills", binds=host_binds, lab=lab, tied=True) as booted:
        capsul = install_capsul(booted)
        with Publisher(capsul) as publisher:
            publisher.configure(limits='max_size = "512M"')
            digest = publisher.publish("lab", "1", query=f"?rate={40 << 20}")
            capsul.run(SETUP, timeout=300)
            yield Scene(capsul, publisher, digest)


def difference(one, other):
    return "\n".join(difflib.unified_diff(one, other, "expected", "found", lineterm="", n=0))


@pytest.mark.parametrize("name", CASES)
def test_it_is_done_or_it_never_began(scene, name):
    case = CASES[name]
    empty = scene.picture()
    scene.sh(case.before)
    before = scene.picture()
    begin = time.monotonic()
    scene.do(case)
    took = time.monotonic() - begin
    after = scene.picture()
    assert (before != after) == (case.lasting and case.code == 0), difference(before, after)
    scene.sh(case.undo)
    assert scene.picture() == empty, difference(empty, scene.picture())
    for number in range(KILLS):
        moment = random.uniform(0, took)
        whom = ("capsuld.service", f"capsuld.service {WORKERS}", WORKERS)[number % 3]
        scene.sh(case.before)
        scene.kill_amid(case, moment, whom)
        what = f"{whom} killed after {moment:.3f} s of {took:.3f}"
        # capsuld ends what was left of the last one when it is up again.
        wait_until(lambda: scene.picture() in (before, after), what=lambda: f"{what}: {difference(before, scene.picture())}")
        if scene.picture() == before:
            scene.do(case, what)
        assert scene.picture() == after, f"{what}: {difference(after, scene.picture())}"
        scene.sh(case.undo)
        assert scene.picture() == empty, f"{what}: {difference(empty, scene.picture())}"


def test_half_written_files_are_gone_after_the_next_start(scene):
    """What a kill leaves between the making of a file and its renaming; which is too short to be met by chance."""
    before = scene.picture()
    scene.sh("""
        set -e
        for unit in vm-spare.service tool-0168be17-2832-44b8-ab96-9bcac5104b47.service fetch-disk-0a.service publish-spare.socket; do
            echo half >~/.config/systemd/user/.capsul-$unit.a1B2c3
        done
        echo half >~/.local/share/capsul/vms/spare/.vm.toml.a1B2c3
        echo half >~/.local/share/capsul/images/.base.toml.a1B2c3
    """)
    assert len(set(scene.picture()) - set(before)) == 6
    scene.sh("systemctl --user restart capsuld.service")
    assert scene.picture() == before, difference(before, scene.picture())
