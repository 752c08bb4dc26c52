"""The hosts that the other tests stand on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import wait_until

import host as hosts

SANDBOX = """\
[Service]
Type=exec
RuntimeDirectory=sandboxed
RuntimeDirectoryMode=0700
ExecStart=/usr/bin/qemu-system-x86_64 -nodefaults -no-user-config -display none -m 64 -machine q35,accel=tcg \
  -qmp unix:%t/sandboxed/qmp.sock,server=on,wait=off
PrivateUsers=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
KeyringMode=private
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
ProtectSystem=strict
ProtectHome=tmpfs
TemporaryFileSystem=/var:ro /run:ro
BindPaths=%h/disks %t/sandboxed
PrivateTmp=yes
PrivateIPC=yes
PrivateDevices=yes
BindPaths=/dev/net/tun
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectClock=yes
NoExecPaths=/
ExecPaths=/usr
"""


def out(host, command, user=None):
    return host.run(command, user=user).stdout.strip()


def test_boots_without_a_failed_unit(host):
    assert out(host, "systemctl is-system-running") == "running"
    assert out(host, "systemctl --user is-system-running", "alice") == "running"


def test_shows_nothing_of_this_machines_data(host):
    assert out(host, "ls /home") == "alice"
    assert out(host, "ls -A /var/tmp | grep -v ^systemd-private- || true") == ""
    assert out(host, "ls -A /root /mnt /media /boot --ignore=.*") == "/boot:\n\n/media:\n\n/mnt:\n\n/root:"


def test_runs_a_command_as_after_a_login(host):
    uid = out(host, "id -u", "alice")
    assert out(host, "pwd", "alice") == "/home/alice"
    assert out(host, ["printenv", "XDG_RUNTIME_DIR"], "alice") == f"/run/user/{uid}"
    assert out(host, "grep ^0:: /proc/self/cgroup", "alice").startswith(f"0::/user.slice/user-{uid}.slice/")
    assert out(host, "cat") == "" and host.run("cat", input="hello").stdout == "hello"
    assert out(host, "systemctl status --no-pager | head -1").endswith("host")


def test_fails_as_the_command_fails(host):
    with pytest.raises(hosts.CommandFailed, match="exited with 3: sorry"):
        host.run("echo sorry >&2; exit 3")
    assert host.run("exit 3", check=False).returncode == 3


def test_kills_what_a_command_started_at_its_timeout(host):
    with pytest.raises(subprocess.TimeoutExpired):
        host.run("sleep 4711 & setsid sleep 4711 & wait", user="alice", timeout=1)
    assert host.run("pgrep -f 'sleep 4711$'", check=False).stdout == ""


def test_user_units_and_their_journal_work(host):
    host.run("systemd-run --user --wait --unit=greeting echo hello there", user="alice")
    host.run("journalctl --sync")
    assert "hello there" in out(host, "journalctl --user --identifier=echo --output=cat", "alice")


def test_a_hardened_user_unit_runs_qemu(host):
    host.run("mkdir -p ~/disks ~/.config/systemd/user; cat >~/.config/systemd/user/sandboxed.service",
             user="alice", input=SANDBOX)
    host.run("systemctl --user start sandboxed", user="alice")
    pid = out(host, "systemctl --user show --value --property=MainPID sandboxed", "alice")
    uid = out(host, "id -u", "alice")
    assert out(host, f"cat /proc/{pid}/uid_map").split() == [uid, uid, "1"]
    assert "Seccomp:\t2" in out(host, f"cat /proc/{pid}/status")
    socket = f"/run/user/{uid}/sandboxed/qmp.sock"
    host.run(f"timeout 60 sh -c 'until test -S {socket}; do sleep 0.05; done'", user="alice")
    greeting = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({socket!r}); print(s.recv(99))"
    assert "QMP" in out(host, ["python3", "-c", greeting], "alice")
    host.run("systemctl --user stop sandboxed", user="alice")


def test_a_user_without_linger_gets_a_manager_by_enabling_it(make_host):
    one = make_host("nolinger", users=("bob",), linger=False)
    assert one.run("systemctl --user is-system-running", user="bob", check=False).returncode != 0
    one.enable_linger("bob")
    assert out(one, "systemctl --user is-system-running", "bob") == "running"


def test_a_bind_shows_a_folder(make_host, tmp_path):
    (tmp_path / "file").write_text("seen")
    one = make_host("bound", binds=[f"{tmp_path}:/opt/bound:ro"])
    assert out(one, "cat /opt/bound/file") == "seen"
    assert one.run("touch /opt/bound/new", check=False).returncode != 0


def test_a_reboot_keeps_files_and_restarts_enabled_user_units(make_host):
    one = make_host("rebooted")
    unit = "[Service]\nExecStart=sleep infinity\n[Install]\nWantedBy=default.target\n"
    one.run("mkdir -p ~/.config/systemd/user; cat >~/.config/systemd/user/stay.service", user="alice", input=unit)
    one.run("systemctl --user enable stay", user="alice")
    before = out(one, "cat /proc/sys/kernel/random/boot_id")
    one.reboot()
    assert out(one, "cat /proc/sys/kernel/random/boot_id") != before
    assert out(one, "systemctl --user is-active stay", "alice") == "active"
    assert out(one, "systemctl is-system-running") == "running"


def test_shutdown_then_start_keeps_files_and_lets_services_end(make_host):
    one = make_host("stopped")
    one.run("systemd-run --unit=last --property=ExecStop='/bin/touch /root/ended' sleep infinity")
    one.run("echo unsynced >/root/file")
    one.shutdown()
    assert not one.is_running()
    one.start()
    assert out(one, "cat /root/file; ls /root/ended") == "unsynced\n/root/ended"


def test_a_power_cut_keeps_what_was_synced_and_only_that(make_host):
    one = make_host("cut")
    one.run("echo kept >synced; sync synced; sync .; echo lost >unsynced", user="alice")
    one.power_cut()
    assert not one.is_running()
    one.start()
    assert out(one, "cat synced", "alice") == "kept"
    assert one.run("cat unsynced", user="alice", check=False).stdout == ""


def test_hosts_reach_each_other_until_the_link_is_cut(host, make_host):
    two = make_host("two")

    def pings(address):
        return two.run(["ping", "-c1", "-W10", address], check=False).returncode == 0

    for address in (host.address(), host.address6(), "127.0.0.1"):
        wait_until(lambda address=address: pings(address))
    host.cut_link()
    assert not pings(host.address())
    wait_until(lambda: "NO-CARRIER" in out(host, "ip link show eth0"))
    host.restore_link()
    wait_until(lambda: pings(host.address()))


def test_a_host_may_have_several_cards(host, make_host):
    two = make_host("two", links=2)
    assert out(two, "ip -brief address show eth1").split()[2] == f"{two.address(1)}/24"


def test_a_tap_works_for_its_owner(host):
    host.run("ip tuntap add dev tap-test mode tap user alice")
    assert "tap-test" in out(host, "ip link show tap-test")
    assert out(host, "test -w /dev/net/tun && echo yes", "alice") == "yes"
    host.run("ip link del tap-test")


def namespaces_of(pid):
    return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "net", "pid", "cgroup", "uts", "ipc")}


def clock_ticks():
    """Now, as a process's start is told."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")


def start_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def namespaces_in_use(since):
    """By processes that were there at that time: others may have new namespaces with the numbers of those that are gone."""
    used = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if start_of(entry.name) <= since:
                used |= namespaces_of(entry.name)
        except OSError:  # it ended meanwhile
            continue
    return used


def assert_nothing_is_left(one, namespaces, since):
    assert not one.folder.exists()
    assert not one.cgroup.exists()
    assert str(one.folder) not in Path("/proc/self/mounts").read_text()
    assert str(one.folder / "disk.img") not in hosts.loop_images()
    assert not namespaces & namespaces_in_use(since)


def test_destroy_leaves_nothing(host, make_host):
    one = make_host("gone")
    own = namespaces_of(one.leader()) - namespaces_of(os.getpid())
    assert len(own) == 6
    before = clock_ticks()
    one.destroy()
    assert_nothing_is_left(one, own, before)


def test_a_new_host_replaces_a_stale_one_of_the_same_name(make_host):
    first = make_host("twice")
    first.run("touch /root/old")
    assert out(make_host("twice"), "ls /root") == ""


def test_a_tied_host_goes_when_its_python_is_killed(tmp_path):
    folder = f"{tmp_path}/lab"
    script = (f"import sys; sys.path.insert(0, {str(Path(hosts.__file__).parent)!r}); import host, time\n"
              f"host.Host.boot('orphan', lab={folder!r}, tied=True)\n"
              "print('up', flush=True); time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "up\n"
        orphan = hosts.Host("orphan", folder)
        own = namespaces_of(orphan.leader()) - namespaces_of(os.getpid())
        before = clock_ticks()
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not os.path.exists(folder))
    assert_nothing_is_left(orphan, own, before)


def run_cli(*argv, lab):
    return subprocess.run([sys.executable, hosts.__file__, "--dir", str(lab), *argv],
                          text=True, capture_output=True, stdin=subprocess.DEVNULL)


def test_the_command_boots_runs_and_cleans(tmp_path):
    lab = tmp_path / "lab"
    try:
        assert run_cli("boot", "cli", lab=lab).returncode == 0
        assert run_cli("run", "cli", "--user", "alice", "--", "sh", "-c", "echo hi; exit 7", lab=lab).returncode == 7
        assert "cli" in run_cli("list", lab=lab).stdout
        again = run_cli("boot", "cli", lab=lab)
        assert again.returncode == 1 and again.stderr.count("\n") == 1 and "--replace" in again.stderr
    finally:
        assert run_cli("clean", lab=lab).stdout == "destroyed cli\n"
    assert not lab.exists()
    nothing = run_cli("run", "cli", "--", "true", lab=lab)
    assert nothing.returncode == 1 and "host.py boot cli" in nothing.stderr


def test_the_debian_image_is_seen_whole_in_a_host(host, debian_image):
    host.run(["sh", "-c", 'cd "$1" && sha256sum --check --quiet SHA256SUMS', "sh", debian_image.folder], user="alice")
    assert "root=LABEL=root" in debian_image.cmdline
    assert out(host, ["qemu-img", "info", debian_image.qcow2], "alice").count("file format: qcow2") >= 1
