"""What a machine lacks of Debian's packages is known, whatever dpkg has heard of."""

import subprocess
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "install-deps.sh"


def packages(*groups):
    return subprocess.run([SCRIPT, "--list", *groups], capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def install():
    """The script on a machine with these packages alone, by an account that may install none: so it can only say it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)

        def run(installed, *groups):
            (folder / "status").write_text("".join(
                f"Package: {package}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
                "Maintainer: nobody\nDescription: none\n\n" for package in installed))
            return subprocess.run(
                ["runuser", "-u", "nobody", "--", "env", f"DPKG_ADMINDIR={folder}", "bash", "-s", "--", *groups],
                stdin=SCRIPT.open(), capture_output=True, text=True, check=False)

        yield run


def named(run):
    return run.stderr.strip().partition("--no-install-recommends ")[2].split()


def test_a_new_machine_lacks_every_package(install):
    run = install([], "build", "run")
    assert run.returncode == 1
    assert named(run) == packages("build", "run")


def test_only_what_is_missing_is_named(install):
    wanted = packages("build")
    assert named(install(wanted[1:], "build")) == wanted[:1]


def test_nothing_is_asked_when_all_is_there(install):
    run = install(packages())
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
