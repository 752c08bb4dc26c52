"""Fixtures for tests against real booted hosts (tests/host/host.py) and a real guest image.

    host          one host for the whole run, with a user alice; tests share it, so they clean up after themselves
    make_host     make_host("two", users=("bob",), links=2): more hosts, gone at the end of the test
    debian_image  the base image of examples/build-debian-image.sh, as paths inside every host

A later folder can show more of this machine in the hosts by its own `host_binds` fixture.
"""

import os
import subprocess
import sys
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
    return [f"{IMAGES}:{IMAGES_IN_HOST}:ro"]


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
