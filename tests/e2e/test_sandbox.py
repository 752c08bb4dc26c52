"""The sandbox of a VM, tried from inside: what capsuld wrote for a real VM, with a probe in the place of its QEMU."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Capsul, install_capsul

import host as hosts

PROBE = Path(__file__).with_name("sandbox_probe.py")
CREATE = ["--image", "empty", "--memory", "64M", "--disk", "2M", "--no-ssh-key", "--stop-timeout", "2s"]
VM = "probe"
UNIT = f"capsul-vm-{VM}.service"

# What the unit alone cannot keep from a process: capsul-run does.
LEFT_TO_THE_LAUNCHER = {
    "kill_others", "kill_threads_of_others", "kill_threads_of_groups", "queue_signals_to_others", "queue_signals_to_threads",
    "signal_others_by_pidfd", "signal_others_by_a_pipe", "signal_others_by_a_socket", "limits_of_others", "abstract_socket",
    "attach_a_tap", "tap_address", "tap_address_by_a_wider_command", "tap_owner", "tap_group", "tap_persistence", "tap_carrier",
}
# What capsul-run closes by Landlock: from which version of it on (1 is Linux 5.13).
LEFT_TO_LANDLOCK = {"read_data_outside_of_the_home": 1}

LISTENER = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0capsul-probe'); s.listen(); time.sleep(1e6)"


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    with hosts.Host.boot("sandbox", users=("alice", "bob"), lab=lab, binds=host_binds, tied=True) as booted:
        one = install_capsul(booted)
        import_empty(one)
        one.ctl("vm", "create", VM, *CREATE, "--no-start")
        one.ctl("vm", "create", "other", *CREATE)
        yield one


def import_empty(capsul):
    capsul.run("truncate --size 1M empty.raw")
    capsul.ctl("image", "import", "empty", "empty.raw")


def start_process(capsul, name, *command):
    capsul.run(["systemd-run", "--user", "--quiet", f"--unit={name}", *command])
    return int(capsul.run(f"systemctl --user show --value --property=MainPID {name}").stdout)


@pytest.fixture(scope="module")
def targets(capsul):
    """What the probe is to attack, in the files and processes of alice: everything that it tries is there to be reached."""
    home = capsul.run("pwd").stdout.strip()
    own = f"{home}/.local/share/capsul/vms/{VM}"
    capsul.host.run("mkdir /data && chown alice /data && "
                     "ip tuntap add dev tap-probe mode tap user alice && ip tuntap add dev tap-own mode tap user alice")
    capsul.run("mkdir -m 700 .ssh control; umask 077; "
               "for f in /data/secret /dev/shm/probe-secret /tmp/probe-secret .ssh/id_probe; do echo secret >$f; done")
    capsul.run(f"cat >{own}/probe.py", input=PROBE.read_text())
    given = {
        "uid": int(capsul.uid), "home": home, "own": own, "other": "other", "data": "/data", "tap": "tap-probe",
        "manager": int(capsul.run("pgrep --uid $(id -u) --exact systemd").stdout),
        "other_pid": capsul.json("vm", "show", "other")["pid"],
        "victim": start_process(capsul, "victim", "sleep", "infinity"),
        "abstract": "capsul-probe",
        "base": capsul.run("ls .local/share/capsul/images/sha256-*.qcow2").stdout.strip().replace(".local", f"{home}/.local"),
    }
    start_process(capsul, "listener", "/usr/bin/python3", "-c", LISTENER)
    capsul.run("until grep -q @capsul-probe /proc/net/unix; do sleep 0.1; done")

    def write(name, writable, file):
        capsul.run(f"cat >{own}/{name}", input=json.dumps({**given, "writable": writable, "file": file}))
        return f"{own}/{name}"

    return SimpleNamespace(
        inside=write("inside.json", f"/run/user/{capsul.uid}/capsul/vms/{VM}", f"{own}/serial.log"),
        outside=write("outside.json", f"{home}/control", f"{home}/control/program"),
        probe=f"{own}/probe.py", result=f"{own}/serial.log")


def start_command(unit):
    return re.search(r"^ExecStart=(.*?) -- (.*)$", unit, re.MULTILINE)


def run_in(capsul, unit, command):
    """Runs `command` in a unit of this text; returns its exit status, and what this and earlier ones said."""
    text = unit.replace(start_command(unit)[0], f"ExecStart={command}")
    capsul.run("cat >.config/systemd/user/tried.service; systemctl --user daemon-reload", input=text)
    capsul.run("systemctl --user start --wait tried", check=False)
    status = capsul.run("systemctl --user show --value --property=ExecMainStatus tried").stdout
    capsul.host.run("journalctl --sync")
    return int(status), capsul.run("journalctl --user --output=cat --identifier=qemu-" + VM).stdout


def got_through(capsul, targets, unit, launcher):
    """The attempts that succeed in a unit of this text."""
    capsul.run(f"cat >{targets.result}", input="")
    status, said = run_in(capsul, unit, f"{launcher} /usr/bin/python3 {targets.probe} {targets.inside} {targets.result}")
    assert status == 0, said
    found = json.loads(capsul.run(f"cat {targets.result}").stdout)
    return {name for name, how in found.items() if how == "got through"}


@pytest.fixture(scope="module")
def user_unit(capsul):
    """The unit of a VM with user-mode networking."""
    return capsul.run(f"cat .config/systemd/user/{UNIT}").stdout


@pytest.fixture(scope="module")
def tap_unit(user_unit):
    """What capsuld writes when the VM's NICs are all TAPs (unit test VmUnit.GivesAVmOnlyWhatItsNicsNeed)."""
    return user_unit.replace("--net user", "--tap 10=tap-own").replace(
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictAddressFamilies=AF_UNIX\nBindPaths=/dev/net/tun")


@pytest.fixture(scope="module")
def nesting_unit(user_unit):
    """What a tool that runs other programs has of that (unit test ToolUnit.GivesOneWithChildrenNamespacesOfItsOwn)."""
    return user_unit.replace("capsul-run --net user", "capsul-run --children").replace(
        "RestrictNamespaces=yes\nReadOnlyPaths=/proc\n", "RestrictNamespaces=user net pid\nSystemCallFilter=capset\nPrivateNetwork=yes\n").replace(
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictAddressFamilies=AF_UNIX")


@pytest.fixture(scope="module")
def every_attempt_works(capsul, targets):
    """Outside of the sandbox, for alice or, where only root may, for root."""
    said = {}
    for user in ("alice", "root"):
        names = [name for name, how in said.items() if how != "got through"]
        capsul.host.run(f"/usr/bin/python3 {targets.probe} {targets.outside} /tmp/found-{user} {' '.join(names)}", user=user)
        said |= json.loads(capsul.host.run(f"cat /tmp/found-{user}").stdout)
    assert {name: how for name, how in said.items() if how != "got through"} == {}


@pytest.fixture(scope="module")
def left_open(capsul):
    """What this kernel's Landlock is too old for."""
    said = capsul.run("/usr/libexec/capsul/capsul-run --check", check=False).stdout
    found = re.search(r"landlock: version (\d+)", said)
    version = int(found[1]) if found else 0
    return {name for name, since in LEFT_TO_LANDLOCK.items() if version < since}


@pytest.mark.usefixtures("every_attempt_works")
def test_nothing_gets_out_of_the_unit_of_a_vm(capsul, targets, user_unit, left_open):
    through = got_through(capsul, targets, user_unit, f"{start_command(user_unit)[1]} --")
    assert through == {"internet", "internet6"} | left_open


@pytest.mark.usefixtures("every_attempt_works")
def test_nothing_gets_out_of_the_unit_of_a_vm_with_taps(capsul, targets, tap_unit, left_open):
    through = got_through(capsul, targets, tap_unit, f"{start_command(tap_unit)[1]} --")
    assert through == left_open


@pytest.mark.usefixtures("every_attempt_works")
def test_nothing_gets_out_of_the_unit_of_a_tool_with_children(capsul, targets, nesting_unit, left_open):
    assert "--children" in nesting_unit and "RestrictNamespaces=user net pid" in nesting_unit
    assert got_through(capsul, targets, nesting_unit, f"{start_command(nesting_unit)[1]} --") == left_open


@pytest.mark.usefixtures("every_attempt_works")
def test_little_gets_out_where_the_kernel_has_no_landlock(capsul, targets, user_unit, tap_unit, nesting_unit):
    for whole, left in ((user_unit, {"internet", "internet6", *LEFT_TO_LANDLOCK}), (tap_unit, set(LEFT_TO_LANDLOCK)),
                        (nesting_unit, {"oom_score_of_others", *LEFT_TO_LANDLOCK})):
        unit = whole.replace("SystemCallErrorNumber=", "SystemCallFilter=~landlock_create_ruleset:ENOSYS\nSystemCallErrorNumber=")
        assert got_through(capsul, targets, unit, f"{start_command(unit)[1]} --") == left


@pytest.mark.usefixtures("every_attempt_works")
def test_the_launcher_closes_what_the_unit_leaves_open(capsul, targets, tap_unit):
    through = got_through(capsul, targets, tap_unit, "")
    assert through == LEFT_TO_THE_LAUNCHER | set(LEFT_TO_LANDLOCK)


def test_the_launcher_finds_the_sandbox_complete(capsul, user_unit):
    status, said = run_in(capsul, user_unit, f"{start_command(user_unit)[1]} --check")
    assert status == 0 and "sandbox: complete" in said


def test_the_exposure_of_the_unit_is_low(capsul):
    said = capsul.run(f"systemd-analyze --user security --no-pager {UNIT}").stdout
    assert float(re.search(r"exposure level for \S+: ([0-9.]+)", said)[1]) <= 2.0, said


@pytest.fixture
def drop_in(capsul):
    folder = f".config/systemd/user/{UNIT}.d"

    def write(*lines):
        capsul.run(f"mkdir -p {folder} && cat >{folder}/own.conf && systemctl --user daemon-reload",
                   input="\n".join(("[Service]", *lines, "")))

    yield write
    capsul.ctl("vm", "kill", VM)
    capsul.run(f"rm -rf {folder} && systemctl --user daemon-reload")


@pytest.mark.parametrize("lines, missing", [
    # Where there are capabilities or mounts to be had, systemd itself gives up without it.
    (["PrivateUsers=no", "CapabilityBoundingSet=~", "TemporaryFileSystem=", "BindPaths=", "BindReadOnlyPaths=",
      "PrivateDevices=no", "ProtectKernelModules=no", "ProtectKernelLogs=no", "ProtectClock=no"], "PrivateUsers="),
    (["NoNewPrivileges=no"], "NoNewPrivileges="),
    (["CapabilityBoundingSet=~"], "CapabilityBoundingSet="),
    (["ProtectHome=no", "TemporaryFileSystem="], "ProtectHome="),
    (["ProtectHome=read-only", "TemporaryFileSystem="], "ProtectHome="),
    (["BindPaths=/run/user"], "ProtectHome="),
    (["TemporaryFileSystem="], "TemporaryFileSystem="),
    (["ProtectSystem=no"], "ProtectSystem="),
    (["PrivateTmp=no"], "PrivateTmp="),
    (["PrivateDevices=no"], "PrivateDevices="),
    (["RestrictAddressFamilies="], "RestrictAddressFamilies="),
    (["RestrictAddressFamilies=AF_NETLINK"], "RestrictAddressFamilies="),
    (["SystemCallFilter="], "SystemCallFilter="),
    (["SystemCallFilter=@known"], "SystemCallFilter="),
    (["RestrictNamespaces=no"], "RestrictNamespaces="),
])
def test_a_vm_does_not_start_without_its_sandbox(capsul, drop_in, lines, missing):
    drop_in(*lines)
    refused = capsul.ctl("start", VM, check=False)
    assert refused.returncode != 0 and "without its sandbox" in refused.stderr and missing in refused.stderr
    assert capsul.run(f"systemctl --user show --value --property=ExecMainStatus {UNIT}").stdout.strip() == "78"
    assert capsul.state(VM) == "failed"


def test_a_vm_never_starts_without_its_user_namespace(capsul, drop_in):
    drop_in("PrivateUsers=no")
    refused = capsul.ctl("start", VM, check=False)
    assert refused.returncode != 0 and "could not do what its unit says" in refused.stderr and "own.conf" in refused.stderr
    assert capsul.state(VM) == "failed"


def test_a_drop_in_may_set_limits(capsul, drop_in):
    drop_in("CPUQuota=50%", "MemoryHigh=1G", "Environment=LD_PRELOAD=/nowhere.so")
    capsul.ctl("start", VM)
    pid = capsul.json("vm", "show", VM)["pid"]
    assert capsul.run(["cat", f"/proc/{pid}/environ"]).stdout == ""
    capsul.ctl("stop", VM, "--force")


def test_vms_are_hidden_from_each_other_wherever_they_are(capsul):
    """bob keeps them on another disk."""
    capsul.host.run("mkdir /srv/bob && chown bob /srv/bob")
    bob = Capsul(capsul.host, "bob")
    bob.run("systemctl --user set-environment XDG_DATA_HOME=/srv/bob; systemctl --user enable --now capsuld.socket")
    import_empty(bob)
    for name in ("one", "two"):
        bob.ctl("vm", "create", name, *CREATE)
    pid = bob.json("vm", "show", "one")["pid"]
    assert bob.run("ls /srv/bob/capsul/vms").stdout.split() == ["one", "two"]
    assert bob.run(f"ls /proc/{pid}/root/srv/bob/capsul/vms").stdout.split() == ["one"]
    bob.ctl("vm", "kill", "one", "two")
