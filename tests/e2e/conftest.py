"""Fixtures for tests against real booted hosts (tests/host/host.py) and a real guest image.

    host          one host for the whole run, with a user alice; tests share it, so they clean up after themselves
    make_host     make_host("two", users=("bob",), links=2): more hosts, gone at the end of the test
    debian_image  the base image of examples/build-debian-image.sh, as paths inside every host
    capsul        capsul installed in `host` for alice: capsul.ctl("vm", "list"), capsul.json("vm", "list")
    debian_12     the name under which `capsul` has that image

capsul is what build/stage holds (`tests/run.sh --only release` fills it). A later folder can show more of this machine
in the hosts by its own `host_binds` fixture.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/host"))

import host as hosts  # noqa: E402  (found by the line above)

# Every run has a lab of its own, so that two may run on one machine.
LAB = hosts.Lab(f"/var/tmp/capsul-e2e-{os.getpid()}")
# The image outlives the run: it takes a minute to make, and the script knows when it is out of date.
IMAGES = Path(os.environ.get("CAPSUL_TEST_IMAGES", "/var/tmp/capsul-test-images"))
IMAGES_IN_HOST = Path("/srv/capsul-images")
STAGE = Path(os.environ.get("CAPSUL_TEST_STAGE", REPOSITORY / "build/stage"))
STAGE_IN_HOST = Path("/srv/capsul-stage")
EXAMPLES_IN_HOST = Path("/srv/capsul-examples")

# These go first, the longest before the others: begun last, the other workers would have nothing to do beside them.
LONGEST = ("main_job", "networks", "image_build", "publish", "image_publish", "vpn", "image_kills", "backup")

BOOT = 900  # seconds, of several emulated guests at once on a busy machine


def pytest_collection_modifyitems(items):
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@dataclass(frozen=True)
class DebianImage:
    """The files of a base image, as paths inside a host; `cmdline` is the text itself."""

    folder: Path
    qcow2: Path
    vmlinuz: Path
    initrd: Path
    cmdline: str


@pytest.fixture(scope="session", autouse=True)
def lab():
    yield LAB
    LAB.clean()


@pytest.fixture(scope="session")
def host_binds():
    IMAGES.mkdir(parents=True, exist_ok=True)
    if not (STAGE / "usr/bin/capsulctl").exists():
        pytest.exit(f"{STAGE} holds no capsul: tests/run.sh --only release", returncode=2)
    return [f"{IMAGES}:{IMAGES_IN_HOST}:ro", f"{STAGE}:{STAGE_IN_HOST}:ro",
            f"{REPOSITORY / 'examples'}:{EXAMPLES_IN_HOST}:ro"]


@pytest.fixture(scope="session")
def host(lab, host_binds):
    with hosts.Host.boot("host", users=("alice",), binds=host_binds, lab=lab, tied=True) as booted:
        yield booted


@pytest.fixture
def make_host(lab, host_binds):
    made = []

    def make(name, users=("alice",), binds=(), **options):
        booted = hosts.Host.boot(name, users=users, binds=[*host_binds, *binds], lab=lab, tied=True, **options)
        made.append(booted)
        return booted

    yield make
    for one in made:
        one.destroy()


@pytest.fixture(scope="session")
def debian_image():
    subprocess.run([REPOSITORY / "examples/build-debian-image.sh", IMAGES], check=True)
    inside = IMAGES_IN_HOST / "debian-12"
    return DebianImage(
        folder=IMAGES_IN_HOST,
        qcow2=inside.with_suffix(".qcow2"),
        vmlinuz=inside.with_suffix(".vmlinuz"),
        initrd=inside.with_suffix(".initrd"),
        cmdline=(IMAGES / "debian-12.cmdline").read_text().strip())


class Capsul:
    """capsul as one user of a host has it."""

    def __init__(self, host, user):
        self.host = host
        self.user = user
        self.uid = host.run("id -u", user).stdout.strip()
        self.socket = f"/run/user/{self.uid}/capsul/capsuld.sock"

    def run(self, command, **options):
        return self.host.run(command, user=self.user, **options)

    def ctl(self, *args, **options):
        """Runs capsulctl; see Host.run."""
        return self.run(["capsulctl", *args], **options)

    def json(self, *args, **options):
        return json.loads(self.ctl(*args, "--json", **options).stdout)

    def state(self, vm):
        return self.json("vm", "show", vm)["state"]

    def daemon_pid(self):
        return int(self.run("systemctl --user show --value --property=MainPID capsuld.service").stdout)

    def traces(self):
        """All that a VM could leave behind: files, links and sockets, units, processes."""
        return self.run(TRACES).stdout.splitlines()


# Not counted: the daemon's own process and log of events, what systemd and D-Bus keep of themselves under /run (it differs from
# one boot to the next), the host keys that ssh was told of guests, and folders that VMs share.
TRACES = r"""
find ~/.local/share ~/.config "$XDG_RUNTIME_DIR" \( -path "$XDG_RUNTIME_DIR/systemd" -o -path "$XDG_RUNTIME_DIR/dbus-1" \) -prune -o \
    -printf '%y %p\n' 2>/dev/null |
    grep -vE '/capsul-ssh|/capsul/kvm|^d .*/(vms|images|aliases|networks|peers|uploads|downloads|fetches|builds|tools|user|default.target.wants)$' |
    sort
systemctl --user list-units --all --plain --no-legend 'capsul-*' | awk '{print "unit", $1, $3}'
systemctl --user list-unit-files --no-legend 'capsul-*' | awk '{print "unit file", $1, $2}'
ps -u "$(id -u)" -o comm= | grep -vxE 'systemd|\(sd-pam\)|dbus-daemon|capsuld|sh|ps|grep|sort|awk|sed' | sort | sed 's/^/process /'
"""


def wait_until(condition, seconds=60, what=lambda: "it does not come about"):
    """For what has to come about, however busy the machine is; `what` says what there was instead."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what()} in {seconds} seconds"
        time.sleep(0.1)


def has_its_addresses(capsul, vm):
    """Whether the guest's agent says that it has all that it was given; none are missing while the agent is silent."""
    told = capsul.json("vm", "ip", vm)
    return {address.split("/")[0] for address in told["guest"]} >= set(told["assigned"])


def install_stage(host):
    """Everything that `cmake --install` puts in place; also over programs that run."""
    host.run(f"cp --remove-destination -rT {STAGE_IN_HOST} / && systemctl daemon-reload")


def install_capsul(host, user="alice"):
    install_stage(host)
    host.run("systemctl --user daemon-reload && systemctl --user enable --now capsuld.socket", user=user)
    return Capsul(host, user)


def allow_networks(capsul, *options):
    """What the administrator does so that capsul's user may make networks; see examples/host-setup.sh for the options."""
    capsul.host.run([EXAMPLES_IN_HOST / "host-setup.sh", "--user", capsul.user, *options])
    capsul.host.run(f"systemctl restart user@{capsul.uid}.service")  # the user is in the group from now on


@pytest.fixture(scope="session")
def capsul(host):
    return install_capsul(host)


def import_debian(capsul, image):
    capsul.ctl("image", "import", "debian-12", image.qcow2, "--kernel", image.vmlinuz, "--initrd", image.initrd,
               "--cmdline", image.cmdline, "--if-not-exists", timeout=300)
    return "debian-12"


@pytest.fixture(scope="session")
def debian_12(capsul, debian_image):
    return import_debian(capsul, debian_image)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for name in LAB.names():
            report.sections.append((f"host {name}", diagnostics(hosts.Host(name, LAB))))


def diagnostics(one):
    if not one.is_running():
        return "not running\n" + "\n".join(one.console().splitlines()[-20:])
    script = "systemctl --failed --plain --no-legend; journalctl --boot --lines=60 --no-pager --output=short-precise"
    try:
        return one.run(script, check=False, timeout=20).stdout
    except (hosts.HostError, subprocess.SubprocessError, OSError) as error:
        return f"no diagnostics: {error}"
