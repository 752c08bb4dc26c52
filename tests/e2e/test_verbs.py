"""What has no need of a guest: verbs on VMs with an empty disk, which run and hear no power button; their output and exit codes."""

import contextlib
import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import allow_networks, install_capsul, wait_until

import host as hosts

CREATE = ["--image", "empty", "--memory", "64M", "--disk", "2M", "--no-ssh-key", "--stop-timeout", "2s"]


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    with hosts.Host.boot("verbs", lab=lab, binds=host_binds, tied=True) as booted:
        one = install_capsul(booted)
        one.run("truncate --size 1M empty.raw")
        one.ctl("image", "import", "empty", "empty.raw")
        yield one


@pytest.fixture(autouse=True)
def leaves_nothing(capsul):
    capsul.ctl("vm", "list")
    before = capsul.traces()
    yield
    assert capsul.traces() == before


@pytest.fixture
def vms(capsul):
    """Two that run."""
    for name in ("a", "b"):
        capsul.ctl("vm", "create", name, *CREATE, "--label", f"name={name}")
    yield ("a", "b")
    capsul.ctl("vm", "delete", "a", "b", "--yes", "--ignore-missing")


def test_launch_makes_up_a_name_and_says_it(capsul):
    name = capsul.ctl("launch", *CREATE, "-q").stdout.strip()
    try:
        assert name and capsul.state(name) == "running"
        again = capsul.ctl("vm", "create", name, *CREATE, "--if-not-exists")
        assert again.returncode == 0
        assert capsul.ctl("vm", "create", name, *CREATE, check=False).returncode == 4
    finally:
        capsul.ctl("rm", name, "--yes")


def test_restart_kill_pause_and_resume(capsul, vms):
    before = capsul.json("vm", "show", "a")["pid"]
    capsul.ctl("vm", "restart", "a")
    assert capsul.json("vm", "show", "a")["pid"] != before
    for verb, state in (("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("resume", "running"),
                        ("kill", "stopped"), ("kill", "stopped"), ("start", "running")):
        capsul.ctl("vm", verb, "a")
        assert capsul.state("a") == state


def test_several_targets_are_all_tried(capsul, vms):
    done = capsul.ctl("vm", "kill", "a", "nope", "b", check=False)
    assert done.returncode == 9 and "nope" in done.stderr
    assert [capsul.state(name) for name in vms] == ["stopped", "stopped"]
    assert capsul.ctl("rm", "nope", "--yes", check=False).returncode == 3
    assert capsul.ctl("rm", "nope", "--yes", "--ignore-missing").returncode == 0


def test_list_in_every_format(capsul, vms):
    rows = list(csv.DictReader(io.StringIO(capsul.ctl("vm", "list", "-o", "csv").stdout)))
    assert [row["name"] for row in rows] == ["a", "b"] and {row["state"] for row in rows} == {"running"}
    lines = capsul.ctl("vm", "list", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["a", "b"]
    assert capsul.ctl("vm", "list", "-o", "name", "--label", "name=b").stdout == "b\n"
    assert capsul.ctl("vm", "list", "--filter", "state=stopped", "-q").stdout == ""
    wide = capsul.ctl("vm", "list", "-o", "wide").stdout.splitlines()
    assert "UPTIME" in wide[0] and len(wide) == 3
    assert capsul.ctl("vm", "list", "--no-headers", "--columns", "name,state").stdout.split() == \
        ["a", "running", "b", "running"]


def test_events_and_operations_tell_what_happened(capsul, vms):
    capsul.ctl("vm", "pause", "a")
    happened = [json.loads(line) for line in capsul.ctl("events", "-o", "jsonl").stdout.splitlines()]
    mine = [event["type"] for event in happened if event["target"] == "a"]
    assert mine[-1] == "vm.paused" and {"vm.created", "vm.started"} <= set(mine)
    kinds = {operation["kind"] for operation in capsul.json("operation", "list")}
    assert {"vm.create", "vm.pause"} <= kinds
    wait_until(lambda: "vm.paused a" in capsul.run("journalctl --user --output=cat CAPSUL_VM=a").stdout)


def test_logs_of_the_unit(capsul, vms):
    wait_until(lambda: "Started" in capsul.ctl("logs", "a", "--source", "unit").stdout)


@contextlib.contextmanager
def starts_with(capsul, unit, command):
    folder = f".config/systemd/user/{unit}.d"
    capsul.run(f"mkdir -p {folder}; cat >{folder}/start.conf; systemctl --user daemon-reload",
               input=f"[Service]\nExecStart=\nExecStart={command}\n")
    try:
        yield
    finally:
        capsul.run(f"rm -r {folder}; systemctl --user daemon-reload; systemctl --user reset-failed {unit}")


# sh -c: a unit that will have failed, and its user. All in one command: capsuld waits for the journal while this goes on.
LET_IT_HEAR = """
timeout 60 setpriv --reuid="$2" --clear-groups env XDG_RUNTIME_DIR="/run/user/$2" \
    sh -c 'until systemctl --user --quiet is-failed "$1"; do sleep 0.1; done' sh "$1"
systemctl kill --signal=CONT systemd-journald
"""


def test_what_a_process_said_is_told_though_the_journal_learns_it_after_its_end(capsul):
    """Of which unit it was, nothing in /proc tells any more."""
    allow_networks(capsul)
    capsul.ctl("network", "create", "lan", "--subnet", "10.80.6.0/24", "--no-start")
    capsul.ctl("vm", "create", "late", *CREATE, "--no-start")
    host = capsul.host
    for noun, name, unit, said in (("network", "lan", "capsul-net-lan", "no bridge today"),
                                   ("vm", "late", "capsul-vm-late", "no QEMU today")):
        with starts_with(capsul, f"{unit}.service", f"/bin/sh -c \"/bin/echo '{said}' >&2; exit 1\""), ThreadPoolExecutor() as pool:
            host.run("systemctl kill --signal=STOP systemd-journald")
            starting = pool.submit(capsul.ctl, noun, "start", name, check=False)
            host.run(["sh", "-c", LET_IT_HEAR, "sh", unit, capsul.uid])
            assert said in starting.result().stderr
    assert "no QEMU today" in capsul.ctl("logs", "late", "--source", "qemu").stdout
    assert "no QEMU today" in capsul.ctl("logs", "late", "--source", "unit").stdout
    capsul.ctl("network", "delete", "lan", "--yes")
    capsul.ctl("vm", "delete", "late", "--yes")


def test_the_daemon_stops_at_once_while_work_waits(capsul, vms):
    """What only waits is told so; nothing crashes; the VMs run on."""
    pids = [capsul.json("vm", "show", name)["pid"] for name in vms]
    waiting = ("(capsulctl vm wait a --for stopped --timeout 1h; echo $? >stopped.code) & "
               "(capsulctl vm wait a --for ssh --timeout 1h; echo $? >ssh.code) & "
               "until [ $(capsulctl operation list --no-headers --columns kind,state | grep -c '^vm.wait *running') = 2 ]; do "
               "sleep 0.1; done; "
               "systemctl --user restart capsuld && wait; cat stopped.code ssh.code; rm stopped.code ssh.code")
    assert capsul.run(waiting, timeout=60).stdout.split() == ["6", "6"]
    assert capsul.run("systemctl --user show --property=NRestarts --value capsuld").stdout.strip() == "0"
    assert "code=killed" not in capsul.run("journalctl --user --unit=capsuld --output=cat").stdout
    assert [capsul.json("vm", "show", name)["pid"] for name in vms] == pids


def test_a_second_daemon_touches_nothing(capsul, vms):
    second = capsul.run(["/usr/libexec/capsul/capsuld"], check=False, timeout=30)
    assert second.returncode == 4 and "another capsuld" in second.stderr
    assert [capsul.state(name) for name in vms] == ["running", "running"]


COMPLETE = """
source /usr/share/bash-completion/completions/capsulctl
COMP_WORDS=(capsulctl "$@"); COMP_CWORD=$#
_capsulctl; printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_bash_completes_verbs_and_names(capsul, vms):
    def complete(*words):
        return capsul.run(["bash", "-c", COMPLETE, "bash", *words]).stdout.split()

    assert complete("vm", "sto") == ["stop"]
    assert complete("vm", "stop", "") == ["a", "b"]
    assert "--memory" in complete("vm", "create", "--mem")
