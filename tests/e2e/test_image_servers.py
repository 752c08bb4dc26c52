"""Servers of images that break off, lie, or are somebody else's: what is pulled is whole and the right one, or nothing is left of it."""

import random
import struct

import pytest
from image_publisher import Publisher

LIMIT = "64M"
TOO_LARGE = "64.0 MiB allowed"
GPG = "gpg --homedir keys --batch --quiet --yes --pinentry-mode loopback --passphrase ''"
LOOSE = "--insecure-no-checksum"


@pytest.fixture(scope="module")
def publisher(capsul):
    with Publisher(capsul) as publisher:
        publisher.configure(limits=f'max_size = "{LIMIT}"')
        yield publisher


@pytest.fixture(autouse=True)
def nothing_stays(publisher):
    yield
    publisher.forget()


def is_whole(capsul, digest):
    return capsul.json("image", "show", "lab")["digest"] == f"sha256:{digest}"


def refused(capsul, *words):
    done = capsul.ctl("image", "pull", *words, check=False, timeout=180)
    assert done.returncode != 0
    return done


@pytest.mark.parametrize("how", [
    "cut=5000000&reset=1&cuts=3", "cut=5000000&cuts=3&chunked=1", "cut=9000000&cuts=2&etag=weak", "cut=9000000&cuts=1&etag=none",
    "cut=9000000&cuts=1&etag=none&modified=no", "cut=9000000&cuts=2&ranges=no", "cut=9000000&cuts=1&ranges=ignore_if&etag=new",
    "cut=9000000&cuts=1&range_shift=7", "stall=9000000&cuts=1", "status=503&statuses=2&retry_after=1", "redirect=/lab-1.qcow2",
    "extra=100", "type=text/plain"])
def test_what_servers_do_wrong_is_made_up_for(capsul, publisher, how):
    digest = publisher.publish("lab", "1", query=f"?{how}")
    capsul.ctl("image", "pull", "lab", timeout=300)
    assert is_whole(capsul, digest) and publisher.leftovers() == []


def test_cut_twenty_times_it_is_whole_and_fetched_once(capsul, publisher):
    digest = publisher.publish("lab", "1", query=f"?rate={3 << 20}")
    lives = " ".join(f"{random.uniform(0.3, 0.7):.2f}" for _ in range(20))
    capsul.run(f"for life in {lives}; do (capsulctl --quiet image pull lab 2>>pulls || true) & sleep $life; "
               "systemctl --user kill --signal=KILL 'capsul-fetch-*.service'; wait; done", timeout=180)
    capsul.ctl("image", "pull", "lab")
    answers = publisher.answers("lab-1.qcow2")
    assert is_whole(capsul, digest)
    assert len(answers) > 10, capsul.run("cat pulls").stdout
    assert sum(answer["sent"] for answer in answers) <= 1.1 * publisher.size("lab-1.qcow2")


@pytest.mark.parametrize("how, code, words", [
    ("loop=1", 6, "leads on and on"), ("redirect=file:///etc/passwd", 6, "leads to a file of this host"),
    ("redirect=ftp://127.0.0.1/x", 6, "https://"), ("status=403", 7, "403"), ("status=404", 3, "404"),
    ("endless=1", 2, TOO_LARGE), ("length=4611686018427387904", 2, TOO_LARGE)])
def test_what_leads_nowhere_is_said(capsul, publisher, how, code, words):
    publisher.publish("lab", "1")
    done = refused(capsul, publisher.url(f"lab-1.qcow2?{how}"), LOOSE, "--as", "lab")
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert publisher.pulled() == []


@pytest.mark.parametrize("how", ["length=1000000", "cut=1000000&length=1000000", "redirect=/other-1.qcow2"])
def test_another_file_is_not_taken_for_it(capsul, publisher, how):
    publisher.publish("other", "1")
    publisher.publish("lab", "1", query=f"?{how}")
    assert refused(capsul, "lab").returncode == 10
    assert publisher.pulled() == [] and publisher.leftovers() == []


HOSTILE = {
    "page.qcow2": "printf '<!DOCTYPE html><html>log in</html>' >{}",
    "backed.qcow2": "qemu-img create -q -f qcow2 -F raw -b /etc/passwd -u {} 1M",
    "outside.qcow2": "qemu-img create -q -f qcow2 -o data_file=published/data.raw {} 1M",
    "extents.vmdk": "qemu-img create -q -f vmdk -o subformat=monolithicFlat {} 1M",
    "bomb.raw.xz": "head -c 200M /dev/zero | xz -1 >{}",
    "cut.raw.zst": "head -c 1M /dev/urandom | zstd -q | head -c 900000 >{}",
    "up.ova": "cd $(dirname {}); qemu-img create -q -f vmdk d.vmdk 1M; echo '<Envelope/>' >d.ovf; "
              "tar -cPf up.ova --transform='s,^d.vmdk$,../d.vmdk,' d.ovf d.vmdk",
}


@pytest.mark.parametrize("file, code, words", [
    ("page.qcow2", 10, "web page"), ("backed.qcow2", 2, "backing"), ("outside.qcow2", 2, "in another file"),
    ("extents.vmdk", 2, "extents"), ("bomb.raw.xz", 2, TOO_LARGE), ("cut.raw.zst", 10, "damaged"), ("up.ova", 2, "plain files")])
def test_a_hostile_disk_is_refused(capsul, publisher, file, code, words):
    capsul.run(HOSTILE[file].replace("{}", f"published/{file}") + " || true")
    done = refused(capsul, publisher.url(file), LOOSE, "--as", "lab")
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert publisher.pulled() == [] and publisher.leftovers() == []


# Where in a qcow2 header: the number of entries of the L1 table, of clusters of the refcount table, and of snapshots.
@pytest.mark.parametrize("offset, what", [(36, "L1"), (56, "refcount"), (60, "snapshots")])
def test_a_qcow2_with_an_absurd_table_is_refused(capsul, publisher, offset, what):
    capsul.run("qemu-img create -q -f qcow2 published/absurd.qcow2 1M && "
               f"printf '{''.join(f'{chr(92)}{byte:03o}' for byte in struct.pack('>I', 0x7fffffff))}' | "
               f"dd of=published/absurd.qcow2 bs=1 seek={offset} conv=notrunc status=none")
    done = refused(capsul, publisher.url("absurd.qcow2"), LOOSE, "--as", "lab")
    assert done.returncode in (2, 10), f"{what}: {done.stderr}"
    assert publisher.pulled() == [] and publisher.leftovers() == []


def test_a_disk_that_fills_up_is_told_and_leaves_nothing(capsul, publisher):
    publisher.publish("lab", "1")
    fetches = "/home/alice/.local/share/capsul/fetches"
    capsul.host.run(f"install -d -o alice -g alice {fetches} && mount -t tmpfs -o size=100m,uid=alice,mode=0700 tmpfs {fetches}")
    try:
        done = refused(capsul, "lab")
        assert done.returncode == 125 and "are kept for others" in done.stderr
        assert refused(capsul, publisher.url("lab-1.qcow2?endless=1"), LOOSE).returncode == 125
    finally:
        capsul.host.run(f"umount {fetches}")
    assert publisher.pulled() == []


# -------------------------------------------------------------------------------------------------------- what is published


@pytest.fixture(scope="module")
def keys(capsul):
    """lab is who publishes; old was until its key expired; mallory is somebody else."""
    capsul.run("mkdir -m 700 keys && "
               f"{GPG} --quick-generate-key lab ed25519 sign never && {GPG} --quick-generate-key mallory ed25519 sign never && "
               f"{GPG} --faked-system-time 20260101T000000 --quick-generate-key old ed25519 sign 2w && "
               f"{GPG} --export lab old >keyring")
    yield
    capsul.run("gpgconf --homedir keys --kill all; rm -rf keys keyring")


@pytest.fixture
def signed(publisher, keys):
    publisher.configure('keyring = "/home/alice/keyring"\nsignature = ".asc"')
    yield publisher
    publisher.configure(limits=f'max_size = "{LIMIT}"')


def sign(capsul, by, options=""):
    capsul.run(f"cd published && {GPG.replace('keys', '../keys')} {options} --local-user {by} --armor --output index.json.asc "
               "--detach-sign index.json")


def test_what_is_signed_is_verified_by_signature(capsul, signed):
    signed.publish("lab", "1")
    sign(capsul, "lab")
    assert "verified by signature" in capsul.ctl("image", "pull", "lab", "--verify", "signature").stderr
    assert capsul.json("image", "show", "lab")["origin"]["verified"] == "signature"


@pytest.mark.parametrize("by, options", [("mallory", ""), ("old", "--faked-system-time 20260102T000000"), (None, "")])
def test_what_somebody_else_or_nobody_signed_is_not_even_listed(capsul, signed, by, options):
    signed.publish("lab", "1")
    if by:
        sign(capsul, by, options)
    listed = capsul.ctl("image", "search", "--refresh", check=False)
    assert listed.returncode != 0 and listed.stdout == ""
    done = refused(capsul, "lab", "--verify", "none")
    assert (done.returncode == 10 and "signed by a key" in done.stderr) if by else "index.json.asc" in done.stderr
    assert signed.pulled() == []


def test_a_list_that_was_changed_after_it_was_signed_is_not_taken(capsul, signed):
    signed.publish("lab", "1")
    sign(capsul, "lab")
    signed.publish("lab", "2")
    assert refused(capsul, "lab").returncode == 10 and signed.pulled() == []


def test_an_index_with_tricks_in_it_gives_nothing_of_them(capsul, publisher):
    publisher.publish("good", "1")
    good = publisher.entries[0]
    publisher.entries += [{**good, "name": name} for name in ("../../etc", "-x", "a/b", "a\nb", "")]
    publisher.entries += [{**good, "name": "file", "url": "file:///etc/passwd"}, {**good, "name": "version", "version": "../1"}]
    publisher.write_index()
    assert [entry["name"] for entry in capsul.json("image", "search", "--refresh")] == ["good"]
    assert refused(capsul, "file").returncode == 3


def test_a_list_of_a_hundred_megabytes_is_not_read(capsul, publisher):
    publisher.configure(f'kind = "folder"\nurl = "{publisher.url("")}"\n[[image.source.image]]\nname = "lab"\n'
                        'file = "lab-{version}.qcow2"\nsums = "SHA256SUMS"', limits=f'max_size = "{LIMIT}"')
    try:
        digest = publisher.publish("lab", "1")
        capsul.run("yes \"$(printf %064d 0)  other.qcow2\" | head -c 100M >published/SHA256SUMS")
        listed = capsul.ctl("image", "search", "--refresh", check=False)
        assert listed.returncode != 0 and "SHA256SUMS: is longer than" in listed.stderr and publisher.answers("SHA256SUMS")[0]["sent"] < 32 << 20
        capsul.run(f"echo '{digest}  lab-1.qcow2' >published/SHA256SUMS")
        capsul.ctl("image", "search", "--refresh")
        capsul.ctl("image", "pull", "lab")
        assert is_whole(capsul, digest)
    finally:
        publisher.configure(limits=f'max_size = "{LIMIT}"')
