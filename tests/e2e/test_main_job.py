"""The main job from end to end: one Debian guest, made by two commands, through all that happens to a VM in its life.

The tests are one story and run in this order: a boot of an emulated guest takes too long for a VM each.
"""

import re
import signal

import pytest
from conftest import BOOT, wait_until

VM = "web"
UNIT = f"capsul-vm-{VM}.service"
PORT = 18080

# What is installed runs again after every boot; the script itself must not.
INIT_SCRIPT = """\
#!/bin/sh
echo ran >>/var/lib/init-script-runs
echo "the init script speaks"
mkdir /srv/hello
echo "hello from the guest" >/srv/hello/index.html
cat >/etc/systemd/system/hello.service <<UNIT
[Service]
ExecStart=/usr/bin/python3 -m http.server 80 --directory /srv/hello
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable --now hello.service
"""


class Guest:
    """The VM that the story is about, as its owner sees it."""

    def __init__(self, capsul):
        self.capsul = capsul

    def exec(self, *command, **options):
        return self.capsul.ctl("exec", VM, "--", *command, **options)

    def ssh(self, *command, **options):
        return self.capsul.ctl("ssh", VM, "-i", ".ssh/guest", "--", *command, **options)

    def wait(self, stage="cloud-init"):
        self.capsul.ctl("vm", "wait", VM, "--for", stage, "--timeout", f"{BOOT}s", timeout=BOOT + 30)

    def pid(self):
        return self.capsul.json("vm", "show", VM)["pid"]

    def page(self):
        """What its web server says; it may take a moment to start."""
        return self.capsul.run(["curl", "--silent", "--show-error", "--retry", "20", "--retry-delay", "2",
                                "--retry-all-errors", f"http://127.0.0.1:{PORT}/"]).stdout

    def ended_gracefully(self, boot):
        """Whether the journal of an earlier boot of the guest (-1: the last) tells of a power button."""
        said = self.exec("journalctl", f"--boot={boot}", "--output=cat", "--identifier=systemd-logind").stdout
        return bool(re.search("Power key pressed|System is powering down", said))


@pytest.fixture(scope="module")
def before(capsul, debian_12):
    """Traces on the host before there was a VM."""
    capsul.ctl("vm", "list")
    return capsul.traces()


@pytest.fixture(scope="module")
def guest(capsul, debian_12, before):
    capsul.run("mkdir -p -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/guest && cat >init.sh",
               input=INIT_SCRIPT)
    done = capsul.ctl(
        "vm", "create", VM, "--image", debian_12, "--cpus", "2", "--memory", "1G", "--disk", "5G",
        "--ssh-key", ".ssh/guest.pub", "--init-script", "init.sh", "--publish", f"{PORT}:80/tcp",
        "--label", "tier=test", "--wait", "cloud-init", "--timeout", f"{BOOT}s", timeout=BOOT + 60)
    assert "waiting for cloud-init" in done.stderr
    yield Guest(capsul)


def test_the_vm_runs_as_an_enabled_user_unit(capsul, guest):
    shown = capsul.json("vm", "show", VM)
    assert (shown["state"], shown["enabled"], shown["unit"]) == ("running", True, UNIT)
    assert shown["spec"]["labels"] == {"tier": "test"} and shown["spec"]["cpus"] == 2
    assert capsul.run(f"systemctl --user is-enabled {UNIT}").stdout.strip() == "enabled"
    main_pid = capsul.run(f"systemctl --user show --value --property=MainPID {UNIT}").stdout.strip()
    assert main_pid == str(shown["pid"])
    assert capsul.ctl("vm", "list", "-q").stdout.split() == [VM]
    assert UNIT in capsul.ctl("vm", "unit", VM).stdout
    assert "qemu-system-x86_64" in capsul.ctl("vm", "command", VM).stdout


def test_ssh_lets_the_injected_key_in(capsul, guest):
    assert guest.ssh("id -un; hostname").stdout.split() == ["debian", VM]
    assert guest.ssh("exit 3", check=False).returncode == 3
    endpoint = capsul.json("vm", "ip", VM)["ssh"]
    plain = capsul.run(["ssh", "-i", ".ssh/guest", "-p", str(endpoint["port"]), "-o", "StrictHostKeyChecking=no",
                        "-o", "UserKnownHostsFile=/dev/null", f"debian@{endpoint['address']}", "sudo id -u"])
    assert plain.stdout.strip() == "0"


def test_ssh_refuses_a_guest_with_another_host_key(capsul, guest):
    guest.exec("sh", "-c", "cd /etc/ssh && for k in ssh_host_*_key.pub; do cp -p $k /root/; ssh-keygen -q -t ed25519 "
               "-N '' -f /tmp/$k.other -C x; cp /tmp/$k.other.pub $k; done")
    refused = guest.ssh("true", check=False)
    guest.exec("sh", "-c", "cp -p /root/ssh_host_*_key.pub /etc/ssh/")
    assert refused.returncode == 255 and "verification failed" in refused.stderr
    guest.ssh("true")


def test_exec_gives_the_guest_commands_output_and_exit_code(guest):
    done = guest.exec("sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert guest.exec("tr", "a-z", "A-Z", input="shout").stdout == "SHOUT"
    assert guest.exec("no-such-program", check=False).returncode == 127
    assert guest.exec("id", "-u").stdout == "0\n"


def test_the_disk_has_the_size_asked_for(guest):
    assert int(guest.exec("df", "--output=size", "-k", "/").stdout.split()[1]) > 4 << 20


def test_the_init_script_ran_and_its_output_is_in_the_guests_journal(guest):
    assert guest.exec("cat", "/var/lib/init-script-runs").stdout == "ran\n"
    said = guest.exec("journalctl", "--boot", "--output=cat", "--identifier=capsul-init").stdout
    assert "the init script speaks" in said


def test_the_published_port_leads_to_the_guest(guest):
    assert guest.page() == "hello from the guest\n"


# Types Enter until there is a prompt, then leaves by Ctrl-].
ATTACH = """
import os, pty, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("capsulctl", ["capsulctl", "console", sys.argv[1]])
seen, deadline = b"", time.monotonic() + 60
while b"login:" not in seen and time.monotonic() < deadline:
    if select.select([terminal], [], [], 3)[0]:
        seen += os.read(terminal, 4096)
    else:
        os.write(terminal, b"\\r")
os.write(terminal, b"\\x1d")
_, status = os.waitpid(pid, 0)
sys.stdout.write(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_the_console_shows_a_login_and_ctrl_bracket_leaves_it(capsul, guest):
    for _ in range(2):  # a second time: leaving has let it go
        assert f"{VM} login:" in capsul.run(["/usr/bin/python3", "-c", ATTACH, VM], timeout=90).stdout


def test_logs_tell_what_the_guest_and_its_unit_said(capsul, guest):
    everything = capsul.ctl("logs", VM).stdout
    assert "login:" in everything
    followed = capsul.run(f"capsulctl logs -f {VM} >followed & until [ $(wc -c <followed) -ge 1000 ]; do sleep 0.1; done; "
                          "kill $!; cat followed; rm followed").stdout
    assert followed.startswith(everything[:200])

    def all_show_the_same():
        before, end = capsul.ctl("logs", VM).stdout, capsul.ctl("logs", VM, "-n", "3").stdout
        console, after = capsul.ctl("console", VM, "--log").stdout, capsul.ctl("logs", VM).stdout
        if before != after:  # the guest says more just now
            return False
        assert console == before and before.endswith(end) and len(end) < len(before)
        return True

    wait_until(all_show_the_same)
    assert f"Started {UNIT}" in capsul.ctl("logs", VM, "--source", "unit").stdout


def test_a_paused_vm_is_shown_as_paused_until_resumed(capsul, guest):
    capsul.ctl("vm", "pause", VM)
    assert capsul.state(VM) == "paused"
    capsul.ctl("vm", "pause", VM)
    capsul.ctl("vm", "resume", VM)
    assert capsul.state(VM) == "running"
    guest.wait("agent")


def test_a_wait_in_vain_exits_5_and_shows_the_serial_console(capsul, guest):
    done = capsul.ctl("vm", "wait", VM, "--for", "stopped", "--timeout", "1s", check=False)
    assert done.returncode == 5
    assert "login:" in done.stderr


def test_the_image_of_a_vm_is_not_removed(capsul, guest):
    done = capsul.ctl("image", "rm", "debian-12", check=False)
    assert done.returncode == 4 and VM in done.stderr
    assert capsul.json("image", "show", "debian-12")["vms"] == [VM]


def test_a_killed_daemon_is_not_missed(capsul, guest):
    qemu, daemon = guest.pid(), capsul.daemon_pid()
    capsul.run(["kill", f"-{signal.SIGKILL.value}", str(daemon)])
    assert capsul.state(VM) == "running"
    assert guest.pid() == qemu and capsul.daemon_pid() not in (0, daemon)
    guest.exec("true")


def test_the_next_call_starts_a_stopped_daemon(capsul, guest):
    qemu = guest.pid()
    capsul.run("systemctl --user stop capsuld.service")
    assert capsul.daemon_pid() == 0
    assert capsul.state(VM) == "running" and guest.pid() == qemu


def test_stop_is_graceful_and_start_finds_the_data_again(capsul, guest):
    guest.exec("sh", "-c", "echo kept >/root/data")
    assert "stopped gracefully" in capsul.ctl("stop", VM, timeout=200).stderr
    shown = capsul.json("vm", "show", VM)
    assert (shown["state"], shown["enabled"]) == ("stopped", False)
    assert "already stopped" in capsul.ctl("stop", VM).stderr
    capsul.ctl("start", VM)
    guest.wait()
    assert capsul.json("vm", "show", VM)["enabled"] is True
    assert guest.ended_gracefully(-1)
    assert guest.exec("cat", "/root/data", "/var/lib/init-script-runs").stdout == "kept\nran\n"
    assert guest.page() == "hello from the guest\n"


def test_systemctl_stop_is_graceful_without_the_daemon(capsul, guest):
    capsul.run("systemctl --user stop capsuld.socket capsuld.service")
    capsul.run(f"systemctl --user stop {UNIT}", timeout=200)
    assert capsul.run(f"systemctl --user is-failed {UNIT}", check=False).stdout.strip() == "inactive"
    capsul.run(f"systemctl --user start {UNIT}")
    capsul.run("systemctl --user start capsuld.socket")
    guest.wait("agent")
    assert guest.ended_gracefully(-1)


def test_a_reboot_of_the_host_brings_back_what_ran_and_only_that(capsul, guest, debian_12):
    capsul.ctl("vm", "create", "idle", "--image", debian_12, "--memory", "256M", "--no-ssh-key")
    assert "forced" in capsul.ctl("stop", "idle", "--force").stderr
    capsul.host.reboot()
    # Asked of systemd: capsuld has not been called yet.
    active = capsul.run(f"systemctl --user is-active {UNIT} capsul-vm-idle.service", check=False).stdout.split()
    assert active == ["active", "inactive"]
    states = {vm["name"]: vm["state"] for vm in capsul.json("vm", "list")}
    assert states == {VM: "running", "idle": "stopped"}
    guest.wait("agent")
    assert guest.ended_gracefully(-1)
    capsul.ctl("vm", "delete", "idle", "--yes")


def test_a_power_cut_of_the_host_keeps_every_vm(capsul, guest, debian_12):
    guest.exec("sync")
    capsul.ctl("vm", "create", "late", "--image", debian_12, "--no-start", "--label", "made=late")
    capsul.host.power_cut()
    capsul.host.start()
    vms = {vm["name"]: vm for vm in capsul.json("vm", "list")}
    assert {name: vm["state"] for name, vm in vms.items()} == {VM: "running", "late": "stopped"}
    assert vms["late"]["spec"]["labels"] == {"made": "late"}
    guest.wait("agent")
    assert guest.exec("cat", "/root/data", "/var/lib/init-script-runs").stdout == "kept\nran\n"
    capsul.ctl("vm", "delete", "late", "--yes")


def test_delete_asks_a_person_and_without_one_wants_yes(capsul, guest):
    done = capsul.ctl("vm", "delete", VM, check=False)
    assert done.returncode == 2 and "--yes" in done.stderr
    assert capsul.state(VM) == "running"


def test_delete_leaves_nothing(capsul, guest, before):
    capsul.ctl("vm", "delete", VM, "--yes")
    assert capsul.traces() == before
    assert capsul.ctl("vm", "show", VM, check=False).returncode == 3
    assert capsul.ctl("vm", "delete", VM, "--yes", "--ignore-missing").returncode == 0


def test_the_api_example_runs(capsul, debian_12, debian_image, before):
    done = capsul.run(["/srv/capsul-examples/api.sh", debian_image.vmlinuz], timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert capsul.traces() == before
