#!/usr/bin/python3
"""Disposable Debian hosts with a real systemd, on one machine, in a second or two.

A host is a systemd-nspawn container whose root is an overlay of this machine's own root, so it has
the same packages and none of the data. Everything that runs for a host is in one cgroup (killing it
is one write), and everything it mounts is in one mount namespace (which goes with its processes).

    lab folder (/var/tmp/capsul-hosts)
      NAME/host.json     what the host was booted with
      NAME/disk.img      its disk: an ext4 holding the overlay's upper half
      NAME/console.log   what its console and its keeper said
    cgroup capsul-hosts…/
      router             one process holding the network namespace of the switches
      NAME/keeper        mounts the disk, plugs in the network, starts nspawn, again when the host reboots
      NAME/machine       nspawn and the host itself
"""

import argparse
import contextlib
import ctypes
import fcntl
import functools
import ipaddress
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

DEFAULT_LAB = "/var/tmp/capsul-hosts"
DISK_SIZE = 40 << 30  # sparse: it takes what the host writes
BOOT_TIMEOUT = 180  # seconds; these are for a busy machine
STOP_TIMEOUT = 180  # more than an emulated guest takes to shut down
KILL_TIMEOUT = 120
REBOOT_STATUS = 133  # what nspawn --keep-unit exits with when the container asked to reboot
ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")

TOOLS = {
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "script": "bsdutils",
    "mkfs.ext4": "e2fsprogs",
    "useradd": "passwd",
    "dbus-daemon": "dbus-user-session libpam-systemd",
}

KMSG_UNIT = """\
# nspawn mounts a deleted file over /proc/kmsg. Nothing can be mounted over that in turn, so every unit
# with ProtectKernelLogs=yes would fail in its sandbox (226/NAMESPACE). And it makes all of /proc/sys read-only,
# also the part that is of the host's own network namespace.
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/umount /proc/kmsg
ExecStart=/bin/mount --bind /proc/sys/net /proc/sys/net
ExecStart=/bin/mount -o remount,bind,rw /proc/sys/net
"""

# The top-level folders a host sees of this machine. Any other is absent or empty in it.
SHARED_FOLDERS = {"bin", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr", "var"}
EMPTY_FOLDERS = {
    "boot": 0o755, "dev": 0o755, "home": 0o755, "media": 0o755, "mnt": 0o755, "proc": 0o755,
    "root": 0o700, "run": 0o755, "srv": 0o755, "sys": 0o755, "tmp": 0o1777,
    # No service that this machine has enabled starts in a host, and none of its logs are there.
    "etc/cron.d": 0o755, "etc/init.d": 0o755, "etc/network": 0o755, "etc/systemd/network": 0o755,
    "etc/systemd/system": 0o755, "etc/systemd/user": 0o755, "var/lib/systemd": 0o755,
    "var/log": 0o755, "var/tmp": 0o1777,
    **{f"etc/rc{level}.d": 0o755 for level in "0123456S"},
}


class HostError(Exception):
    """Something a person can act on: one sentence, and a hint."""

    def __init__(self, message, hint=""):
        super().__init__(f"{message} ({hint})" if hint else message)


class CommandFailed(subprocess.CalledProcessError):
    """A command in a host that did not exit with 0; shows what it said."""

    def __str__(self):
        said = (self.stderr or "").strip() or (self.stdout or "").strip()
        return f"{shlex.join(map(str, self.cmd))} exited with {self.returncode}: {said}"


def require_tools():
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)})
    if missing:
        raise HostError("tools are missing", f"apt-get install {' '.join(missing)}")


def require_root():
    if os.geteuid() != 0:
        raise HostError("test hosts need root", "run it with sudo, or: sudo -i")


def tool(*argv, **options):
    """Runs a tool on this machine; its complaint becomes the error."""
    done = subprocess.run([str(a) for a in argv], text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise HostError(f"{shlex.join(map(str, argv))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise HostError(f"{what} took more than {seconds} s")
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------- cgroups


@functools.cache
def cgroup_root():
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    raise HostError("no cgroup2 file system is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")


def join_cgroup(folder):
    """For a child process, before it execs."""
    (folder / "cgroup.procs").write_text("0")


def pass_controllers_on(folder):
    """The children of a cgroup get every controller that it has itself."""
    for controller in (folder / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):  # some cannot be had, such as cpu beside realtime processes
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def is_populated(folder):
    try:
        return "populated 1" in (folder / "cgroup.events").read_text()
    except FileNotFoundError:
        return False


def kill_cgroup(folder):
    """Kills every process in it at once and returns when they are gone."""
    with contextlib.suppress(FileNotFoundError):
        (folder / "cgroup.kill").write_text("1")
    wait_until(lambda: not is_populated(folder), KILL_TIMEOUT, f"killing the processes of {folder.name}")


def remove_cgroup(folder):
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # still busy, or gone: the caller does not depend on it
            os.rmdir(path)


# ----------------------------------------------------------------------------------------- the lab


class Lab:
    """A folder of hosts, and the switches between them. Labs know nothing of each other."""

    def __init__(self, folder=None):
        self.folder = Path(folder or os.environ.get("CAPSUL_HOSTS_DIR") or DEFAULT_LAB).absolute()
        self.cgroup = cgroup_root() / ("capsul-hosts" + str(self.folder).replace("/", "-"))

    def names(self):
        return sorted(p.parent.name for p in self.folder.glob("*/host.json"))

    @contextlib.contextmanager
    def lock(self):
        """Held while numbers are given out and while the router comes and goes."""
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                # The one who held it before may have removed the folder.
                if self.folder.exists() and os.path.samestat(os.fstat(fd), os.stat(self.folder)):
                    yield
                    return
            finally:
                os.close(fd)

    def free_number(self):
        taken = {Host(name, self).config()["number"] for name in self.names()}
        return next(n for n in itertools.count(1) if n not in taken)

    def router(self):
        """The pid of the process that holds the switches' network namespace; starts it if need be."""
        folder = self.cgroup / "router"
        folder.mkdir(parents=True, exist_ok=True)
        if not is_populated(folder):
            subprocess.run(
                ["setsid", "--fork", "unshare", "--net", "sleep", "infinity"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                check=True, preexec_fn=functools.partial(join_cgroup, folder))
        wait_until(lambda: self._router_pid(folder), 60, "starting the switches")
        return self._router_pid(folder)

    @staticmethod
    def _router_pid(folder):
        own = os.stat("/proc/self/ns/net").st_ino
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(FileNotFoundError):
                comm = Path(f"/proc/{pid}/comm").read_text().strip()
                if comm == "sleep" and os.stat(f"/proc/{pid}/ns/net").st_ino != own:
                    return int(pid)
        return None

    def release(self):
        """Removes what the last host leaves. The caller holds the lock."""
        if not self.names():
            kill_cgroup(self.cgroup)
            remove_cgroup(self.cgroup)
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def clean(self):
        """Destroys every host, also those of which only half is left."""
        left = {p.name for p in self.folder.glob("*/")}
        left |= {p.name for p in self.cgroup.glob("*/")} - {"router"}
        for name in sorted(left):
            Host(name, self).destroy()
        if self.folder.exists():
            with self.lock():
                self.release()
        return sorted(left)


# ---------------------------------------------------------------------------------------- the host


class Host:
    def __init__(self, name, lab=None):
        if not NAME_PATTERN.match(name):
            raise HostError(f"{name!r} is no host name", "a-z, 0-9 and -, at most 31, beginning with a letter")
        self.name = name
        self.lab = lab if isinstance(lab, Lab) else Lab(lab)
        self.folder = self.lab.folder / name
        self.cgroup = self.lab.cgroup / name
        self._serial = itertools.count(1)

    # ---- life

    @classmethod
    def boot(cls, name, users=("alice",), binds=(), links=1, lab=None, linger=True, tied=False):
        """Makes a new host, replacing one of the same name, and returns when it is up.

        users   accounts to make; each may log in and, with `linger`, has a user manager from boot on
        binds   "SRC:DST" or "SRC:DST:ro" folders of this machine to show in the host
        links   how many network cards: ethI is 10.77.I.NUMBER/24 on switch I
        tied    destroy the host when this Python process dies, however it dies
        """
        require_root()
        require_tools()
        host = cls(name, lab)
        host.destroy()
        config = {"users": list(users), "binds": [absolute_bind(b) for b in binds], "links": links,
                  "linger": linger, "machine_id": uuid.uuid4().hex}
        with host.lab.lock():
            host.folder.mkdir()
            config["number"] = host.lab.free_number()
            (host.folder / "host.json").write_text(json.dumps(config, indent=1) + "\n")
        if tied:
            reaper().add(host)
        host._make_disk()
        host.start()
        return host

    def start(self):
        """Boots it on the disk it has: after boot, shutdown or power_cut."""
        self.config()
        if self.is_running():
            raise HostError(f"host {self.name} is running already")
        kill_cgroup(self.cgroup)
        remove_cgroup(self.cgroup)
        self._wait_disk_released()
        with self.lab.lock():
            self.lab.router()
        self._spawn_keeper()
        self._wait_up()

    def reboot(self):
        """A clean reboot; returns when it is up again."""
        before = self.leader()
        self.run("systemctl reboot", check=False)
        wait_until(lambda: self.find_leader() not in (before, None) or not self.is_running(),
                   STOP_TIMEOUT, f"rebooting {self.name}")
        self._wait_up()

    def shutdown(self):
        """A clean shutdown; the disk stays."""
        if not self.is_running():
            return
        self.run("systemctl poweroff", check=False)
        wait_until(lambda: not is_populated(self.cgroup), STOP_TIMEOUT, f"shutting down {self.name}")
        self._wait_disk_released()

    def power_cut(self):
        """Pulls the plug. What had not reached the disk is lost, as on a real machine: the file system
        is shut down as it is, with neither its journal nor its dirty pages written."""
        keeper = self._keeper()
        with contextlib.suppress(FileNotFoundError):
            (self.cgroup / "cgroup.freeze").write_text("1")
            wait_until(lambda: "frozen 1" in (self.cgroup / "cgroup.events").read_text(), 60, "freezing")
        shut_down_ext4(f"/proc/{keeper}/root{self.folder}/disk")
        kill_cgroup(self.cgroup)
        self._wait_disk_released()

    def destroy(self):
        """Removes everything of it: processes, mounts, namespaces, cgroups, folder."""
        with contextlib.suppress(FileNotFoundError):
            (self.cgroup / "cgroup.freeze").write_text("0")
        kill_cgroup(self.cgroup)
        remove_cgroup(self.cgroup)
        if not self.folder.exists():
            return
        self._wait_disk_released()
        with self.lab.lock():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.lab.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()

    # ---- state

    def config(self):
        try:
            return json.loads((self.folder / "host.json").read_text())
        except FileNotFoundError:
            raise HostError(f"there is no host {self.name}", f"host.py boot {self.name}") from None

    def exists(self):
        return (self.folder / "host.json").exists()

    def is_running(self):
        return self.find_leader() is not None

    def failed_units(self):
        out = self.run("systemctl list-units --failed --plain --no-legend", check=False).stdout
        return [line.split()[0] for line in out.splitlines() if line.strip()]

    def find_leader(self):
        """The pid, out here, of the host's PID 1; None when it does not run."""
        try:
            pids = (self.cgroup / "machine/payload/init.scope/cgroup.procs").read_text().split()
        except OSError:
            return None
        return next((int(p) for p in pids if is_init(p)), None)

    def leader(self):
        pid = self.find_leader()
        if pid is None:
            self.config()
            raise HostError(f"host {self.name} is not running", f"host.py start {self.name}")
        return pid

    def address(self, link=0):
        return ipv4(link, self.config()["number"])

    def address6(self, link=0):
        return ipv6(link, self.config()["number"])

    def console(self):
        return (self.folder / "console.log").read_text(errors="replace")

    # ---- commands

    def run(self, command, user=None, check=True, timeout=120, input=None, env=None):
        """Runs an argv list, or a string by /bin/sh, as root or as a user who has just logged in.

        Standard input is `input` or empty. At the timeout everything that the command started is killed
        and subprocess.TimeoutExpired raised.
        """
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else [str(a) for a in command]
        with self._session(user) as session:
            process = self._popen(
                session, user, argv, env, text=True, errors="replace", start_new_session=True,
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                kill_cgroup(session)
                process.communicate()
                raise
        if check and process.returncode != 0:
            raise CommandFailed(process.returncode, argv, out, err)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def attach(self, argv, user=None):
        """Runs a command on this process's own terminal or pipes; returns its exit code."""
        if sys.stdin.isatty() and sys.stdout.isatty():
            # A terminal of this machine has no name in the host: give it one of its own.
            argv = ["script", "--quiet", "--return", "--command", shlex.join(argv), "/dev/null"]
        with self._session(user) as session:
            process = self._popen(session, user, argv, {"TERM": os.environ.get("TERM", "dumb")})
            while True:
                try:
                    code = process.wait()
                    return code if code >= 0 else 128 - code
                except KeyboardInterrupt:  # the command has had it too, and decides
                    continue

    def enable_linger(self, user):
        """From now on the user's manager runs from boot to shutdown; returns when it is up."""
        self.run(["loginctl", "enable-linger", user])
        self._wait_user_manager(user)

    def _session(self, user):
        return session_cgroup(self.cgroup / "machine/payload", self._account(user), next(self._serial))

    def _account(self, user):
        """(uid, gid, home, shell) as the host's own passwd has it."""
        passwd = Path(f"/proc/{self.leader()}/root/etc/passwd")
        for line in passwd.read_text().splitlines():
            name, _, uid, gid, _, home, shell = line.split(":")
            if name == (user or "root"):
                return int(uid), int(gid), home, shell
        raise HostError(f"host {self.name} has no user {user}")

    def _popen(self, session, user, argv, env, **options):
        """Into the namespaces, into the session's cgroup, down to the user, with a clean environment.
        It asks nothing of the host's systemd, so it works in a host that is ill, too."""
        uid, gid, home, shell = self._account(user)
        procs = os.open(session / "cgroup.procs", os.O_WRONLY)
        # Only what nsenter forks may enter the cgroup: of nsenter itself the host could see no pid, and
        # its systemd takes that for an I/O error. The limits are those of a login on Debian.
        script = (f'echo 0 >&{procs}; exec {procs}>&-; umask 022; ulimit -c 0; '
                  'ulimit -Hn 524288 2>&-; ulimit -Sn 1024; exec "$@"')
        command = [
            "nsenter", f"--target={self.leader()}",
            "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "bash", "-c", script, "bash",
            "setpriv", f"--reuid={uid}", f"--regid={gid}", "--init-groups",
            "env", "--ignore-environment", f"--chdir={home}",
            *(f"{key}={value}" for key, value in {**login_environment(user or "root", uid, home, shell),
                                                  **(env or {})}.items()),
            *argv]
        try:
            return subprocess.Popen(command, pass_fds=[procs], env={"PATH": ROOT_PATH}, **options)
        finally:
            os.close(procs)

    # ---- network

    def cut_link(self, link=0):
        """The cable is out: the host sees no carrier."""
        self._switch_port(link, "down")

    def restore_link(self, link=0):
        self._switch_port(link, "up")

    def _switch_port(self, link, state):
        port = port_name(self.config()["number"], link)
        in_netns(self.lab.router(), "ip", "link", "set", port, state)

    # ---- starting

    def _make_disk(self):
        image = self.folder / "disk.img"
        with image.open("wb") as file:
            file.truncate(DISK_SIZE)
        tool("mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", image)
        for sub in ("disk", "root"):
            (self.folder / sub).mkdir()

    def _wait_disk_released(self):
        # The mount goes with the last process of the namespace, a moment after it. The same disk
        # mounted twice would be destroyed.
        image = str(self.folder / "disk.img")
        wait_until(lambda: image not in loop_images(), KILL_TIMEOUT, f"releasing the disk of {self.name}")

    def _spawn_keeper(self):
        keeper = self.cgroup / "keeper"
        keeper.mkdir(parents=True)
        pass_controllers_on(self.lab.cgroup)
        pass_controllers_on(self.cgroup)
        with (self.folder / "console.log").open("ab") as log:
            # Forked by setsid: it must outlive this process and be nobody's zombie.
            subprocess.run(
                ["setsid", "--fork", "unshare", "--mount", "--net", "--propagation=private",
                 "/usr/bin/python3", os.path.realpath(__file__), "--dir", str(self.lab.folder), "keep", self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
                preexec_fn=functools.partial(join_cgroup, keeper))

    def _keeper(self):
        for pid in (self.cgroup / "keeper/cgroup.procs").read_text().split():
            return int(pid)
        raise HostError(f"host {self.name} is not running", f"host.py start {self.name}")

    def _wait_up(self):
        wait_until(lambda: self._manager_answers() or not is_populated(self.cgroup),
                   BOOT_TIMEOUT, f"booting {self.name}")
        if not self.is_running():
            tail = " | ".join(self.console().splitlines()[-3:])
            raise HostError(f"host {self.name} did not boot: {tail}", f"see {self.folder}/console.log")
        state = self.run("systemctl is-system-running --wait", check=False, timeout=BOOT_TIMEOUT).stdout.strip()
        if state != "running":
            print(f"host {self.name} is {state}: {' '.join(self.failed_units())}", file=sys.stderr)
        if self.config()["linger"]:
            for user in self.config()["users"]:
                self._wait_user_manager(user)

    def _manager_answers(self):
        return self._socket_exists("/run/systemd/private")

    def _wait_user_manager(self, user):
        uid = self._account(user)[0]
        wait_until(lambda: self._socket_exists(f"/run/user/{uid}/systemd/private"),
                   BOOT_TIMEOUT, f"starting the user manager of {user}")
        self.run("systemctl --user is-system-running --wait", user=user, check=False, timeout=BOOT_TIMEOUT)

    def _socket_exists(self, path):
        leader = self.find_leader()
        return leader is not None and os.path.exists(f"/proc/{leader}/root{path}")


def login_environment(name, uid, home, shell):
    values = {"HOME": home, "USER": name, "LOGNAME": name, "SHELL": shell, "LANG": "C.UTF-8",
              "PATH": "/usr/local/bin:/usr/bin:/bin" if uid else ROOT_PATH}
    if uid:
        values["XDG_RUNTIME_DIR"] = f"/run/user/{uid}"
        values["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path=/run/user/{uid}/bus"
    return values


def absolute_bind(bind):
    source, *rest = bind.split(":")
    if len(rest) not in (1, 2) or rest[1:] not in ([], ["ro"]) or not rest[0].startswith("/"):
        raise HostError(f"{bind!r} is no bind", "SRC:DST or SRC:DST:ro, DST absolute")
    if not os.path.exists(source):
        raise HostError(f"{source} does not exist", "a bind shows a file or folder of this machine")
    return ":".join([os.path.abspath(source), *rest])


def is_init(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    numbers = next(line for line in lines if line.startswith("NSpid:")).split()
    return len(numbers) > 2 and numbers[-1] == "1"


def loop_images():
    images = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # released while we looked
            images.append(path.read_text().strip().removesuffix(" (deleted)"))
    return images


def shut_down_ext4(folder):
    """EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: from now on not a byte is written."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, 0x8004587D, ctypes.c_uint32(2))
    finally:
        os.close(fd)


@contextlib.contextmanager
def session_cgroup(payload, account, serial):
    """A cgroup of its own for one command, where the host's systemd would have put a login."""
    uid = account[0]
    where = f"user.slice/user-{uid}.slice" if uid else "system.slice"
    kind = "scope" if uid else "service"
    folder = payload / where / f"entered-{os.getpid()}-{threading.get_ident()}-{serial}.{kind}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # busy: the command left something running, as a login may
            folder.rmdir()


# ------------------------------------------------------------------------------------- the network


def ipv4(link, number):
    return f"10.77.{link}.{number}"


def ipv6(link, number):
    return str(ipaddress.ip_address(f"fd77:0:0:{link:x}::{number:x}"))


def port_name(number, link):
    return f"h{number}-{link}"


def in_netns(pid, *argv):
    return tool("nsenter", f"--net=/proc/{pid}/ns/net", *argv)


def plug_in(router, number, link):
    """A cable from ethI in this network namespace to switch I in the router's."""
    switch, port, card = f"switch{link}", port_name(number, link), f"eth{link}"
    with contextlib.suppress(HostError):  # it is there already
        in_netns(router, "ip", "link", "add", switch, "type", "bridge", "mcast_snooping", "0")
    with contextlib.suppress(HostError):  # of a host that died a moment ago
        in_netns(router, "ip", "link", "del", port)
    tool("ip", "link", "add", card, "type", "veth", "peer", "name", port, "netns", router)
    in_netns(router, "ip", "link", "set", port, "master", switch, "up")
    in_netns(router, "ip", "link", "set", switch, "up")
    tool("ip", "address", "add", f"{ipv4(link, number)}/24", "dev", card)
    tool("ip", "address", "add", f"{ipv6(link, number)}/64", "dev", card, "nodad")
    tool("ip", "link", "set", card, "up")


# -------------------------------------------------------------------------------------- the keeper
# The rest of a host's life, in a process of its own: `host.py keep NAME`, in new mount and network
# namespaces. When it is killed, the kernel takes mounts, namespaces and cables away.


def keep(host):
    config = host.config()
    disk, root = host.folder / "disk", host.folder / "root"
    tool("mount", "-o", "loop,noatime", host.folder / "disk.img", disk)
    upper, work = disk / "upper", disk / "work"
    fresh = not (disk / "prepared").exists()
    if fresh:
        upper.mkdir()
        work.mkdir()
        prepare_upper(upper, host.name, config)
    # metacopy and index would tie the upper half to this very lower half, which may get upgraded.
    tool("mount", "-t", "overlay", "overlay", "-o",
         f"lowerdir=/,upperdir={upper},workdir={work},index=off,metacopy=off", root)
    if fresh:
        make_users(root, config)
        make_device(disk / "kvm", "/dev/kvm")
        (disk / "prepared").touch()
        os.sync()
    tool("ip", "link", "set", "lo", "up")
    for link in range(config["links"]):
        plug_in(host.lab.router(), config["number"], link)
    while run_nspawn(host, nspawn_command(host.name, root, disk, config)) == REBOOT_STATUS:
        pass


def run_nspawn(host, command):
    machine = host.cgroup / "machine"
    remove_cgroup(machine)
    machine.mkdir()
    # A cgroup2 mounted in a new cgroup namespace shows this cgroup as its root, and nothing else: on a
    # machine with the old hierarchy too, nspawn then finds what it would find on a modern one. It asks
    # for the cgroup of PID 1, which must be inside: hence the pid namespace. And no other process may
    # be in that cgroup, or it could pass no controllers on: hence the process enters it by itself.
    enter = 'echo 0 >"$1/cgroup.procs"; shift; exec unshare --cgroup "$@"'
    mount = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
    process = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private",
         "sh", "-c", enter, "sh", str(machine), "sh", "-c", mount, "sh", *command],
        env={**os.environ,
             "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
             "SYSTEMD_NSPAWN_LOCK": "0",
             "SYSTEMD_SECCOMP": "0"})  # nspawn's filter would refuse what units of a real host may do
    # A terminal's ^C is for the command in it; the keeper only ends with its host.
    return process.wait()


def nspawn_command(name, root, disk, config):
    command = [
        "systemd-nspawn", "--quiet", "--boot", f"--directory={root}", f"--machine={name}",
        "--register=no", "--keep-unit", "--network-namespace-path=/proc/self/ns/net",
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW", "--rlimit=RLIMIT_NOFILE=1024:524288",
        "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=read-only",
    ]
    if (disk / "kvm").exists():
        command.append(f"--bind={disk}/kvm:/dev/kvm")
    for bind in config["binds"]:
        source, target, *mode = bind.split(":")
        command.append(f"--bind{'-ro' if mode else ''}={source}:{target}")
    return command


def prepare_upper(upper, name, config):
    for entry in os.listdir("/"):
        if entry not in SHARED_FOLDERS and entry not in EMPTY_FOLDERS:
            os.mknod(upper / entry, stat.S_IFCHR, 0)  # overlayfs's sign for "deleted"
    for folder in SHARED_FOLDERS | {"etc/systemd", "etc/tmpfiles.d", "var/lib"}:
        copy_folder(upper, folder)
    for folder, mode in EMPTY_FOLDERS.items():
        empty_folder(upper / folder, mode)
    files = {
        "etc/fstab": "",
        "etc/resolv.conf": "",
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\n",
        "etc/machine-id": f"{config['machine_id']}\n",
        # nspawn makes the node with this machine's mode; udev, which sets it, does not run in a container.
        "etc/tmpfiles.d/capsul-host.conf": "z /dev/net/tun 0666\n",
        "etc/systemd/system/capsul-host.service": KMSG_UNIT,
    }
    (upper / "etc/systemd/system/sysinit.target.wants").mkdir()
    for path, text in files.items():
        (upper / path).write_text(text)
    for unit, target in {"default.target": "/lib/systemd/system/multi-user.target",
                         "console-getty.service": "/dev/null",
                         "sysinit.target.wants/capsul-host.service": "../capsul-host.service"}.items():
        (upper / "etc/systemd/system" / unit).symlink_to(target)
    # Persistent, so that users have journals of their own and those outlive a reboot.
    (upper / "var/log/journal").mkdir()
    if config["linger"]:
        linger = upper / "var/lib/systemd/linger"
        linger.mkdir()
        for user in config["users"]:
            (linger / user).touch()


def copy_folder(upper, folder):
    """A folder of this machine, with its mode, to put things into; a link (/bin) stays one."""
    source = Path("/") / folder
    if source.is_dir() and not source.is_symlink():
        (upper / folder).mkdir(parents=True, exist_ok=True)
        shutil.copystat(source, upper / folder)


def empty_folder(path, mode):
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    os.setxattr(path, "trusted.overlay.opaque", b"y")


def make_users(root, config):
    groups = {line.split(":")[0] for line in (root / "etc/group").read_text().splitlines()}
    for user in config["users"]:
        extra = ["--groups", "kvm"] if "kvm" in groups else []
        tool("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", *extra, user)


def make_device(path, like):
    """A node of our own: its mode is not this machine's business."""
    if os.path.exists(like):
        os.mknod(path, stat.S_IFCHR, os.stat(like).st_rdev)
        os.chmod(path, 0o666)


# -------------------------------------------------------------------------------------- the reaper


class Reaper:
    """A process that destroys the hosts of a Python process that died without doing so itself."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["/usr/bin/python3", os.path.realpath(__file__), "reap"],
            stdin=subprocess.PIPE, text=True, start_new_session=True)

    def add(self, host):
        self._process.stdin.write(f"{host.lab.folder} {host.name} {host.config()['machine_id']}\n")
        self._process.stdin.flush()


@functools.cache
def reaper():
    return Reaper()


def reap():
    """Reads "LAB NAME MACHINE_ID" lines until its parent is gone."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    for line in sys.stdin.readlines():
        folder, name, machine_id = line.split()
        host = Host(name, folder)
        # Not the host that somebody else has booted under this name since.
        if host.exists() and host.config()["machine_id"] == machine_id:
            host.destroy()


# ----------------------------------------------------------------------------------------- command


EXAMPLES = """
examples:
  host.py boot one                        a host with a user alice, up in about two seconds
  host.py boot two --user bob --bind ~/src/capsul/build:/opt/capsul:ro
  host.py enter one --user alice          a shell in it, as alice after a login
  host.py run one -- systemctl status     a command as root; its exit code is yours
  host.py run one --user alice -- systemctl --user list-units
  host.py run two -- ping -c1 10.77.0.1   hosts see each other: 10.77.0.N and fd77::N
  host.py power-cut one && host.py start one
  host.py clean                           nothing is left

A host lives on after this program ends. It has this machine's packages (its root is an overlay of /),
but none of its services, users' files or logs; what you change in it goes with `destroy`.
Hosts are kept in /var/tmp/capsul-hosts; another folder (--dir, CAPSUL_HOSTS_DIR) is another network.
"""


def build_parser():
    parser = argparse.ArgumentParser(
        prog="host.py", description="Boots disposable Debian hosts with a real systemd on this machine.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", help="the folder of the hosts")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, summary, *, named=True):
        sub = commands.add_parser(name, help=summary, description=summary)
        if named:
            sub.add_argument("name", metavar="NAME")
        return sub

    boot = command("boot", "make a host and wait until it is up")
    boot.add_argument("--user", action="append", metavar="NAME", help="an account to make (default: alice)")
    boot.add_argument("--bind", action="append", default=[], metavar="SRC:DST[:ro]",
                      help="a folder of this machine to show in the host")
    boot.add_argument("--links", type=int, default=1, metavar="N", help="network cards (default: 1)")
    boot.add_argument("--no-linger", action="store_true", help="no user managers until someone enables linger")
    boot.add_argument("--replace", action="store_true", help="destroy a host of this name first")
    run = command("run", "run a command in a host; exits with its exit code")
    run.add_argument("--user", default="root", metavar="NAME")
    run.add_argument("argv", nargs="+", metavar="-- CMD")
    enter = command("enter", "a shell in a host")
    enter.add_argument("--user", default="root", metavar="NAME")
    command("reboot", "reboot cleanly and wait until it is up")
    command("power-cut", "pull the plug: what was not on the disk is lost")
    command("start", "boot a host that is off, on the disk it has")
    command("shutdown", "shut down cleanly; the disk stays")
    command("cut-link", "pull the network cable")
    command("restore-link", "put the network cable back")
    command("destroy", "remove everything of a host")
    command("list", "the hosts, their addresses and whether they run", named=False)
    command("clean", "destroy all hosts, and what dead ones left", named=False)
    # For this program itself.
    commands.add_parser("keep").add_argument("name")
    commands.add_parser("reap")
    return parser


def boot_command(args, lab):
    host = Host(args.name, lab)
    if host.exists() and not args.replace:
        raise HostError(f"there is a host {args.name} already", "start, destroy, or boot --replace")
    Host.boot(args.name, users=args.user or ["alice"], binds=args.bind, links=args.links, lab=lab,
              linger=not args.no_linger)
    print(f"{args.name} is up: {host.address()} {host.address6()}")


def list_command(lab):
    for name in lab.names():
        host = Host(name, lab)
        state = "running" if host.is_running() else "off"
        print(f"{name:<16} {state:<8} {host.address():<12} {host.address6():<14} {','.join(host.config()['users'])}")


def existing(name, lab):
    host = Host(name, lab)
    host.config()
    return host


def dispatch(args):
    if args.command == "reap":
        return reap()
    lab = Lab(args.dir)
    if args.command == "boot":
        return boot_command(args, lab)
    if args.command == "list":
        return list_command(lab)
    if args.command == "clean":
        return print("\n".join(f"destroyed {name}" for name in lab.clean()) or "there were no hosts")
    host = existing(args.name, lab)
    if args.command == "run":
        return host.attach(args.argv, args.user)
    if args.command == "enter":
        return host.attach(["/bin/bash", "--login"], args.user)
    if args.command == "keep":
        return keep(host)
    return getattr(host, args.command.replace("-", "_"))()


def become_root():
    if os.geteuid() != 0 and shutil.which("sudo"):
        os.execvp("sudo", ["sudo", "--preserve-env=CAPSUL_HOSTS_DIR", "/usr/bin/python3",
                           os.path.realpath(__file__), *sys.argv[1:]])
    require_root()


def main():
    args = build_parser().parse_args()
    try:
        become_root()
        require_tools()
        return dispatch(args) or 0
    except (HostError, subprocess.SubprocessError, OSError) as error:
        print(f"host.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
