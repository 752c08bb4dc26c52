"""Images from elsewhere: a server in the host publishes some, and alice finds, pulls, verifies and updates them."""

import hashlib
import json

import pytest
from image_publisher import DISK, Publisher


@pytest.fixture(scope="module")
def publisher(capsul):
    with Publisher(capsul) as publisher:
        yield publisher


@pytest.fixture(autouse=True)
def nothing_stays(publisher):
    yield
    publisher.forget()


def test_what_can_be_had_is_found(capsul, publisher):
    publisher.publish("lab-one", "1", title="The first of the lab")
    publisher.publish("other", "7")
    found = capsul.json("image", "search", "--refresh", "FIRST of")
    assert [(entry["name"], entry["version"], entry["verification"], entry["source"]) for entry in found] == \
        [("lab-one", "1", "checksum", "lab")]
    assert "lab-one" in capsul.ctl("image", "search").stdout and "other" in capsul.ctl("image", "search").stdout
    done = capsul.ctl("image", "search", "nothing-like-it", check=False)
    assert done.returncode == 3 and done.stdout.count("\n") <= 1


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
    assert publisher.pulled() == [] and publisher.leftovers() == []


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
    assert publisher.answers("lab-1.qcow2") == [] or capsul.ctl("image", "show", "lab", check=False).returncode == 3


@pytest.fixture
def others_stay(capsul):
    """Images of other tests: prune takes what nobody uses or has pinned."""
    others = [image["name"] for image in capsul.json("image", "list")]
    for image in others:
        capsul.ctl("image", "pin", image)
    yield
    for image in others:
        capsul.ctl("image", "unpin", image)


def test_an_update_moves_the_alias_and_leaves_vms_alone(capsul, publisher, others_stay):
    old = publisher.publish("lab", "1")
    capsul.ctl("image", "pull", "lab")
    capsul.ctl("vm", "create", "stays", "--image", "lab", "--no-start", "--no-ssh-key")
    assert "is the newest" in capsul.ctl("image", "update").stderr
    new = publisher.publish("lab", "2")
    assert capsul.json("image", "show", "lab")["newer"] is None, "nobody has asked the source yet"
    capsul.ctl("image", "search", "--refresh")
    assert capsul.json("image", "show", "lab")["newer"] == "2" and "NEWER" in capsul.ctl("image", "list").stdout
    capsul.ctl("image", "pin", "lab")
    assert "not pinned" in capsul.ctl("image", "update").stderr
    capsul.ctl("image", "unpin", "lab")
    assert "is lab-2 now, and was lab-1" in capsul.ctl("image", "update", "lab").stderr
    image = capsul.json("image", "show", "lab")
    assert image["digest"] == f"sha256:{new}" and image["newer"] is None
    assert capsul.json("vm", "show", "stays")["spec"]["image_digest"] == f"sha256:{old}"
    assert capsul.json("image", "prune", "--yes")["images"] == []
    capsul.ctl("vm", "delete", "stays", "--yes")
    assert [image["name"] for image in capsul.json("image", "prune", "--yes")["images"]] == ["lab-1"]


def test_without_a_network_it_works_with_what_is_there(capsul, publisher):
    publisher.publish("lab", "1")
    capsul.ctl("image", "pull", "lab")
    capsul.run("systemctl --user stop publisher")
    try:
        found = capsul.ctl("image", "search", "--refresh", "--json", timeout=120)
        assert [entry["name"] for entry in json.loads(found.stdout)] == ["lab"] and "source lab: " in found.stderr
        capsul.ctl("image", "pull", "lab")
    finally:
        publisher.serve()


def test_a_wrong_name_is_told_what_was_meant(capsul, publisher):
    publisher.publish("lab-one", "1")
    capsul.ctl("image", "search", "--refresh")
    done = capsul.ctl("image", "pull", "lab-oen", check=False)
    assert done.returncode == 3 and "lab-one" in done.stderr
