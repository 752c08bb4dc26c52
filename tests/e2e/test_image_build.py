"""Images built from Debian's own packages, by an account without privilege."""

import json

import pytest

from conftest import BOOT, wait_until
from debian_mirror import Mirror, host_with_mirror
from image_publisher import Publisher

BUILD = 900  # seconds, on a busy machine


@pytest.fixture(scope="module")
def builder(lab, host_binds, tmp_path_factory):
    """A host of its own, which sees Debian's mirror; alice's ids are as adduser gives them."""
    with host_with_mirror("builder", lab, host_binds, tmp_path_factory.mktemp("mirror")) as capsul:
        capsul.run("mkdir -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519")
        yield capsul


@pytest.fixture
def mirrors():
    return ["--mirror", Mirror.url, "--security-mirror", Mirror.security_url]


def traces(capsul):
    """What a build could leave, beside an image."""
    return capsul.run("ls -d /var/tmp/capsul-build-* .config/systemd/user/capsul-build-* .local/share/capsul/builds/* 2>/dev/null",
                      check=False).stdout


def has_ids(capsul):
    return "alice" in capsul.host.run("cat /etc/subuid /etc/subgid", check=False).stdout


def test_without_subordinate_ids_it_says_how_to_get_them(builder, mirrors):
    builder.host.run("cp /etc/subuid /etc/subuid.kept; cp /etc/subgid /etc/subgid.kept; sed -i /alice/d /etc/subuid /etc/subgid",
                     check=False)
    done = builder.ctl("image", "build", "base", *mirrors, check=False)
    assert done.returncode == 8 and "sudo usermod --add-subuids" in done.stderr, done.stderr
    command = next(line for line in done.stderr.splitlines() if "sudo usermod" in line).split("sudo ", 1)[1]
    assert "usermod" in json.dumps([f for f in builder.json("doctor", check=False) if f["check"] == "build"])
    builder.host.run(command)
    assert has_ids(builder)
    assert [f["severity"] for f in builder.json("doctor", check=False) if f["check"] == "build"] == ["ok"]


@pytest.mark.parametrize("options, code, said", [
    (["--release", "slink"], 2, "--release"),
    (["--distro", "arch"], 2, "--distro"),
    (["--include", "nginx;id"], 2, "--include"),
    (["--include", "-y"], 2, "--include"),
    (["--include", "tree,,file"], 2, "--include"),
    (["--arch", "s390x"], 8, "s390x"),
    (["--arch", "pdp11"], 2, "--arch"),
    (["--size", "100M"], 2, "size"),
    (["--size", "99P"], 2, "size"),
    (["--boot", "floppy"], 2, "--boot"),
    (["--mirror", "file:///etc"], 2, "mirror"),
    (["--mirror", "http://a b/"], 2, "--mirror"),
])
def test_bad_input_is_refused_at_once(builder, options, code, said):
    done = builder.ctl("image", "build", "bad", *options, check=False, timeout=20)
    assert done.returncode == code and said in done.stderr, done.stderr
    assert traces(builder) == ""


def test_what_debian_does_not_have_is_told(builder, mirrors):
    done = builder.ctl("image", "build", "bad", "--include", "no-such-package-at-all", *mirrors, check=False, timeout=BUILD)
    assert done.returncode != 0 and "no-such-package-at-all" in done.stderr, done.stderr
    assert traces(builder) == "" and builder.run("cat .local/state/capsul/builds/bad.log").stdout


def test_a_mirror_that_is_none_is_told(builder):
    done = builder.ctl("image", "build", "bad", "--mirror", "http://127.0.0.1:9/debian", check=False, timeout=BUILD)
    assert done.returncode != 0 and "127.0.0.1" in done.stderr, done.stderr
    assert traces(builder) == ""


def test_it_ends_with_capsuld_and_a_killed_one_leaves_nothing(builder, mirrors):
    start = f"(capsulctl image build cut {' '.join(mirrors)} || true) >/dev/null 2>&1 &"
    deep = "ls -d /var/tmp/capsul-build-*/*/mmdebstrap*/usr/bin 2>/dev/null"  # files of the subordinate ids
    for signal in ("TERM", "KILL"):
        builder.run(f"{start} sleep 0.1")
        wait_until(lambda: builder.host.run(deep, check=False).stdout, 300)
        builder.run(f"systemctl --user kill --kill-whom=main --signal={signal} capsuld.service")
        wait_until(lambda: builder.ctl("image", "list", check=False).returncode == 0)
        wait_until(lambda: traces(builder) == "")
        assert not builder.run("systemctl --user list-units --plain --no-legend 'capsul-build-*'").stdout


def test_two_vms_boot_from_a_built_image_that_was_pulled(builder, mirrors):
    """Built here, exported, published by a server, pulled: it boots by itself, and its root fills the disk."""
    done = builder.ctl("image", "build", "web", "--include", "tree", *mirrors, timeout=BUILD)
    assert "verified by signature" in done.stderr and traces(builder) == ""
    image = builder.json("image", "show", "web")
    assert image["origin"]["built_from"] == "debian bookworm" and not image.get("boot")
    assert "built here from debian bookworm" in builder.ctl("image", "show", "web").stdout
    with Publisher(builder) as publisher:
        builder.ctl("image", "export", "web", "published/web.qcow2", "--compress", timeout=BUILD)
        publisher.offer("lab", "1", "web.qcow2")
        assert "verified by checksum" in builder.ctl("image", "pull", "lab", timeout=BUILD).stderr
        builder.ctl("image", "rm", "web")
    for vm in ("one", "two"):
        builder.ctl("launch", vm, "--image", "lab", "--disk", "6G", "--memory", "512M")
    for vm in ("one", "two"):
        builder.ctl("vm", "wait", vm, "--for", "ssh", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
        assert builder.ctl("ssh", vm, "--", "tree", "--version", timeout=120).stdout.startswith("tree v")
        left = "ls /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/00mmdebstrap /sbin/start-stop-daemon.REAL 2>/dev/null || true"
        assert builder.ctl("ssh", vm, "--", left, timeout=120).stdout == "", "what mmdebstrap needs for itself"
        root = int(builder.ctl("ssh", vm, "--", "df", "--output=size", "-B1M", "/", timeout=120).stdout.split()[-1])
        assert root > 5000, f"the root has {root} MiB of 6 GiB"
    builder.ctl("delete", "one", "two", "--yes")
    builder.ctl("image", "rm", "lab", "lab-1")
