"""A host of one's own with capsul in it, as tests/e2e has them, for as long as a measurement lasts."""

import contextlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/host"))

import host as hosts  # noqa: E402  (found by the line above)

STAGE = Path(os.environ.get("CAPSUL_TEST_STAGE", REPOSITORY / "build/stage"))
IMAGES = Path(os.environ.get("CAPSUL_TEST_IMAGES", "/var/tmp/capsul-test-images"))


class BenchHost:
    """capsul in a host, for alice, who may make networks."""

    def __init__(self, host, *setup):
        """`setup`: more options of host-setup.sh."""
        self.host = host
        self.root(["cp", "--remove-destination", "-rT", "/srv/capsul-stage", "/"])
        self.root(["/srv/capsul-examples/host-setup.sh", "--user", "alice", *setup])
        self.root("systemctl restart user@$(id -u alice).service")  # alice is in the group from now on
        self.alice("systemctl --user daemon-reload && systemctl --user enable --now capsuld.socket")

    def root(self, command, **options):
        return self.host.run(command, **options).stdout

    def alice(self, command, **options):
        return self.host.run(command, user="alice", **options).stdout

    def ctl(self, *words, **options):
        return self.alice(["capsulctl", *words], **options)

    def json(self, *words):
        return json.loads(self.ctl(*words, "--json"))

    def accelerator(self):
        """What guests run with, as capsul has found out."""
        checks = json.loads(self.ctl("doctor", "--json", check=False))
        return next(check["message"] for check in checks if check["check"] == "kvm")


@contextlib.contextmanager
def bench_host():
    if not (STAGE / "usr/bin/capsulctl").exists():
        raise SystemExit(f"{STAGE} holds no capsul: tests/run.sh --only release")
    binds = [f"{STAGE}:/srv/capsul-stage:ro", f"{REPOSITORY / 'examples'}:/srv/capsul-examples:ro",
             f"{REPOSITORY / 'tests/bench'}:/srv/capsul-bench:ro", f"{IMAGES}:/srv/capsul-images:ro",
             f"{REPOSITORY / 'tests/e2e/image_server.py'}:/srv/capsul-bench-server.py:ro"]
    lab = hosts.Lab(f"/var/tmp/capsul-bench-{os.getpid()}")
    try:
        with hosts.Host.boot("bench", binds=binds, lab=lab, tied=True) as booted:
            yield BenchHost(booted)
    finally:
        lab.clean()


def machine():
    """A line about what the figures are from."""
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], check=True, capture_output=True, text=True).stdout
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return (f"Linux {platform.release()}, {os.cpu_count()} CPUs ({model}), {qemu.splitlines()[0]}, "
            f"load {os.getloadavg()[0]:.1f} at the beginning")
