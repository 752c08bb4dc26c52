"""Images from elsewhere: a server in the host publishes some, and alice finds, pulls, verifies and updates them."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import Capsul, wait_until

SERVER = Path(__file__).parent / "image_server.py"
BUILT_IN = ("debian", "ubuntu", "fedora", "alpine", "rocky", "opensuse", "arch")
DISK = 24 << 20  # bytes


@dataclass
class Publisher:
    """A server of images on alice's host, whose capsuld has it for its only source."""

    capsul: Capsul
    port: int = 0
    entries: list = field(default_factory=list)

    def start(self):
        run = self.capsul.run
        run("mkdir -p published && cat >image_server.py", input=SERVER.read_text())
        run("systemd-run --user --quiet --unit=publisher --property=StandardOutput=file:%h/port python3 image_server.py "
            "--root published --log log")
        wait_until(lambda: run("cat port 2>/dev/null", check=False).stdout.strip())
        self.port = int(run("cat port").stdout)
        self.configure()

    def stop(self):
        self.capsul.run("systemctl --user stop publisher; rm -rf published image_server.py port log")

    def configure(self, more=""):
        sources = "".join(f'[[image.source]]\nname = "{name}"\nenabled = false\n' for name in BUILT_IN)
        sources += f'[[image.source]]\nname = "lab"\nkind = "index"\nurl = "{self.url("index.json")}"\n{more}'
        self.capsul.run("mkdir -p .config/capsul && cat >.config/capsul/capsuld.toml && systemctl --user restart capsuld.service",
                        input=sources)

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def publish(self, name, version, query="", **options):
        """A qcow2 of random content; its SHA-256."""
        file = f"{name}-{version}.qcow2"
        self.capsul.run(f"cd published && head -c {DISK} /dev/urandom >raw && qemu-img convert -f raw -O qcow2 raw {file} && rm raw")
        digest = self.capsul.run(f"sha256sum published/{file}").stdout.split()[0]
        self.entries = [entry for entry in self.entries if entry["name"] != name]
        self.entries.append({"name": name, "version": version, "architecture": "x86_64", "url": file + query,
                             "sha256": digest, **options})
        self.write_index()
        return digest

    def write_index(self):
        self.capsul.run("cat >published/index.json", input=json.dumps({"format": 1, "images": self.entries}))

    def answers(self, file):
        """What the server has answered to those who asked for it."""
        lines = self.capsul.run("cat log 2>/dev/null", check=False).stdout.splitlines()
        return [line for line in map(json.loads, lines) if line["path"] == f"/{file}"]


@pytest.fixture(scope="module")
def publisher(capsul):
    publisher = Publisher(capsul)
    publisher.start()
    yield publisher
    publisher.stop()
    capsul.run("rm -f .config/capsul/capsuld.toml && systemctl --user restart capsuld.service")


@pytest.fixture(autouse=True)
def nothing_stays(capsul, publisher):
    yield
    for image in capsul.json("image", "list"):
        if image["name"] != "debian-12":
            capsul.ctl("image", "rm", *image.get("aliases", []), image["name"])
    publisher.entries = []


def test_what_can_be_had_is_found(capsul, publisher):
    publisher.publish("lab-one", "1", title="The first of the lab")
    publisher.publish("other", "7")
    found = capsul.json("image", "search", "--refresh", "FIRST of")
    assert [(entry["name"], entry["version"], entry["verification"], entry["source"]) for entry in found["entries"]] == \
        [("lab-one", "1", "checksum", "lab")]
    assert "lab-one" in capsul.ctl("image", "search").stdout and "other" in capsul.ctl("image", "search").stdout
    done = capsul.ctl("image", "search", "nothing-like-it", check=False)
    assert done.returncode == 4 and done.stdout.count("\n") <= 1


def test_an_image_is_pulled_by_name(capsul, publisher):
    digest = publisher.publish("lab", "20261101")
    done = capsul.ctl("image", "pull", "lab")
    assert "verified by checksum" in done.stderr
    image = capsul.json("image", "show", "lab")
    assert image["name"] == "lab-20261101" and image["aliases"] == ["lab"] and image["digest"] == f"sha256:{digest}"
    assert image["origin"]["verified"] == "checksum" and image["origin"]["source"] == "lab"
    vm = capsul.json("vm", "create", "pulled", "--image", "lab", "--no-start", "--no-ssh-key")
    assert vm["spec"]["image"] == "lab" and vm["spec"]["image_digest"] == f"sha256:{digest}"
    capsul.ctl("vm", "delete", "pulled", "--yes")


def test_it_is_pulled_once_only(capsul, publisher):
    publisher.publish("lab", "1")
    capsul.ctl("image", "pull", "lab")
    capsul.ctl("image", "pull", "lab", "--as", "base")
    assert len(publisher.answers("lab-1.qcow2")) == 1
    assert sorted(capsul.json("image", "show", "base")["aliases"]) == ["base", "lab"]


def test_two_at_once_share_a_download(capsul, publisher):
    publisher.publish("lab", "1", query=f"?rate={8 << 20}")
    capsul.run("capsulctl image pull lab --as a & capsulctl image pull lab/lab --as b & wait")
    assert len(publisher.answers("lab-1.qcow2")) == 1
    assert sorted(capsul.json("image", "show", "a")["aliases"]) == ["a", "b"]


def test_a_download_goes_on_where_it_was_cut(capsul, publisher):
    publisher.publish("lab", "1", query=f"?cut={5 << 20}&cuts=4")
    capsul.ctl("image", "pull", "lab", timeout=120)
    answers = publisher.answers("lab-1.qcow2")
    size = int(capsul.run("stat -c %s published/lab-1.qcow2").stdout)
    assert len(answers) >= 5 and sum(answer["sent"] for answer in answers) <= 1.1 * size


def test_it_goes_on_after_capsuld_was_killed(capsul, publisher):
    publisher.publish("lab", "1", query=f"?rate={4 << 20}")
    capsul.run("(capsulctl image pull lab || true) >/dev/null 2>&1 & sleep 3; "
               "systemctl --user kill --signal=KILL capsuld.service 'capsul-fetch-*'; wait")
    capsul.ctl("image", "pull", "lab", timeout=120)
    size = int(capsul.run("stat -c %s published/lab-1.qcow2").stdout)
    assert sum(answer["sent"] for answer in publisher.answers("lab-1.qcow2")) <= 1.3 * size
    assert not capsul.run("ls .config/systemd/user | grep fetch", check=False).stdout


def test_what_is_not_what_its_publisher_says_is_refused(capsul, publisher):
    publisher.publish("lab", "1")
    publisher.entries[0]["sha256"] = hashlib.sha256(b"something else").hexdigest()
    publisher.write_index()
    capsul.ctl("image", "search", "--refresh")
    done = capsul.ctl("image", "pull", "lab", check=False)
    assert done.returncode == 10 and "image lab" in done.stderr
    assert [image["name"] for image in capsul.json("image", "list") if image["name"] != "debian-12"] == []
    assert not capsul.run("find .local/share/capsul -name '*.part' -o -name 'disk'", check=False).stdout


def test_without_a_checksum_it_has_to_be_said(capsul, publisher):
    digest = publisher.publish("lab", "1")
    url = publisher.url("lab-1.qcow2")
    done = capsul.ctl("image", "pull", url, check=False)
    assert done.returncode == 2 and "--insecure-no-checksum" in done.stderr
    capsul.ctl("image", "pull", url, "--insecure-no-checksum", "--as", "loose")
    assert capsul.json("image", "show", "loose")["origin"]["verified"] == "none"
    capsul.ctl("image", "pull", url, "--sha256", digest.upper())
    assert capsul.json("image", "show", "lab-1")["origin"]["verified"] == "checksum"
    wrong = capsul.ctl("image", "pull", url, "--sha256", "0" * 64, "--as", "wrong", check=False)
    assert wrong.returncode == 10


def test_what_is_compressed_is_unpacked(capsul, publisher):
    publisher.publish("lab", "1")
    capsul.run("xz -1 -k published/lab-1.qcow2")
    digest = capsul.run("sha512sum published/lab-1.qcow2.xz").stdout.split()[0]
    capsul.ctl("image", "pull", publisher.url("lab-1.qcow2.xz"), "--sha512", digest)
    assert capsul.json("image", "show", "lab-1")["size"] == f"{DISK >> 20}M"


def test_less_than_what_is_wanted_is_refused(capsul, publisher):
    publisher.publish("lab", "1")
    done = capsul.ctl("image", "pull", "lab", "--verify", "signature", check=False)
    assert done.returncode == 10 and "by checksum at best" in done.stderr
    assert publisher.answers("lab-1.qcow2") == [] or capsul.ctl("image", "show", "lab", check=False).returncode == 4


def test_an_update_moves_the_alias_and_leaves_vms_alone(capsul, publisher):
    old = publisher.publish("lab", "1")
    capsul.ctl("image", "pull", "lab")
    capsul.ctl("vm", "create", "stays", "--image", "lab", "--no-start", "--no-ssh-key")
    assert "is the newest" in capsul.ctl("image", "update").stderr
    new = publisher.publish("lab", "2")
    assert "newer" not in capsul.json("image", "show", "lab"), "nobody has asked the source yet"
    capsul.ctl("image", "search", "--refresh")
    assert capsul.json("image", "show", "lab")["newer"] == "2" and "NEWER" in capsul.ctl("image", "list").stdout
    assert "is lab-2 now, and was lab-1" in capsul.ctl("image", "update", "lab").stderr
    image = capsul.json("image", "show", "lab")
    assert image["digest"] == f"sha256:{new}" and "newer" not in image
    assert capsul.json("vm", "show", "stays")["spec"]["image_digest"] == f"sha256:{old}"
    assert capsul.json("image", "prune", "--yes")["images"] == []
    capsul.ctl("vm", "delete", "stays", "--yes")
    assert [image["name"] for image in capsul.json("image", "prune", "--yes")["images"]] == ["lab-1"]


def test_without_a_network_it_works_with_what_is_there(capsul, publisher):
    publisher.publish("lab", "1")
    capsul.ctl("image", "pull", "lab")
    publisher.capsul.run("systemctl --user stop publisher")
    try:
        found = capsul.json("image", "search", "--refresh", timeout=120)
        assert [entry["name"] for entry in found["entries"]] == ["lab"] and found["problems"]
        capsul.ctl("image", "pull", "lab")
    finally:
        publisher.start()


def test_a_wrong_name_is_told_what_was_meant(capsul, publisher):
    publisher.publish("lab-one", "1")
    capsul.ctl("image", "search", "--refresh")
    done = capsul.ctl("image", "pull", "lab-oen", check=False)
    assert done.returncode == 4 and "lab-one" in done.stderr
