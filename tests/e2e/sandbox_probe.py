#!/usr/bin/python3
"""Tries what a QEMU that has been taken over would try, and tells what got through.

    sandbox_probe.py TARGETS RESULT [ATTEMPT]...

TARGETS is a file with a JSON object of what there is to attack (Targets, below). RESULT gets a JSON object: the name of each
attempt, and either "got through" or the error. test_sandbox.py runs this inside the unit of a VM, where nothing may get
through, and outside of it, where everything must: so every attempt is known to work.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import termios
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)

SYSCALLS = {
    "ptrace": 101, "keyctl": 250, "add_key": 248, "unshare": 272, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297, "process_vm_readv": 310, "mount": 165, "bpf": 321, "userfaultfd": 323,
    "perf_event_open": 298, "io_uring_setup": 425, "pidfd_send_signal": 424, "pidfd_open": 434, "pidfd_getfd": 438,
    "clone": 56, "prlimit64": 302, "sched_setaffinity": 203, "personality": 135, "shmget": 29, "msgget": 68, "semget": 64,
    "mq_open": 240, "kcmp": 312, "chroot": 161, "ioprio_set": 251, "setpriority": 141,
}


def call(name, *args):
    """A system call by its number: no library stands in between."""
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = LIBC.syscall(ctypes.c_long(SYSCALLS[name]), *arguments)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


class Targets:
    """What there is to attack."""

    def __init__(self, given):
        self.runtime = f"/run/user/{given['uid']}"
        self.home = given["home"]
        self.manager = given["manager"]  # the pid of `systemd --user`
        self.victim = given["victim"]  # the pid of a process of the same user
        self.other = given["other"]  # the name of another VM,
        self.other_pid = given["other_pid"]  # and the pid of its QEMU
        self.own = given["own"]  # the folder of the own VM
        self.base = given["base"]  # the disk of its image
        self.writable = given["writable"]  # a folder in which we may write,
        self.file = given["file"]  # and a file
        self.abstract = given["abstract"]  # an abstract socket somebody listens on
        self.data = given["data"]  # a folder of the user's that is not in a home
        self.tap = given["tap"]  # a TAP of the user's that is not the VM's


ATTEMPTS = {}


def attempt(function):
    """An attempt got through if it returns; any OSError means that it was refused."""
    ATTEMPTS[function.__name__] = function
    return function


def for_all(targets, function):
    """Gets through if it does for any of them."""
    refused = None
    for target in targets:
        try:
            return function(target)
        except OSError as error:
            refused = error
    raise refused


def connect(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.settimeout(5)
        one.connect(path)


def write_new(path):
    """Makes a file, and takes it away again."""
    with open(path, "x"):
        pass
    os.unlink(path)


def open_for_writing(path):
    os.close(os.open(path, os.O_WRONLY))


# ------------------------------------------------------------------------------------------------- who could do it for us


@attempt
def user_bus(t):
    connect(f"{t.runtime}/bus")


@attempt
def systemd_private_socket(t):
    connect(f"{t.runtime}/systemd/private")


@attempt
def capsuld_socket(t):
    connect(f"{t.runtime}/capsul/capsuld.sock")


@attempt
def system_bus(t):
    connect("/run/dbus/system_bus_socket")


@attempt
def journal_socket(t):
    connect("/run/systemd/journal/socket", socket.SOCK_DGRAM)


@attempt
def abstract_socket(t):
    connect("\0" + t.abstract)


@attempt
def other_vms_monitor(t):
    connect(f"{t.runtime}/capsul/vms/{t.other}/qmp.sock")


# ------------------------------------------------------------------------------------------------------------------ files


@attempt
def read_other_vms_disk(t):
    os.close(os.open(f"{t.home}/.local/share/capsul/vms/{t.other}/disk.qcow2", os.O_RDONLY))


@attempt
def write_other_vms_disk(t):
    open_for_writing(f"{t.home}/.local/share/capsul/vms/{t.other}/disk.qcow2")


@attempt
def list_vms(t):
    assert_more_than(os.listdir(f"{t.home}/.local/share/capsul/vms"), os.path.basename(t.own))


@attempt
def list_images(t):
    assert_more_than(os.listdir(os.path.dirname(t.base)), os.path.basename(t.base))


def assert_more_than(names, own):
    """The sandbox makes empty folders on the way to what it shows: those tell nothing."""
    if set(names) <= {own}:
        raise OSError(2, "nothing but our own")


@attempt
def change_own_configuration(t):
    open_for_writing(f"{t.own}/qemu.conf")


@attempt
def change_own_record(t):
    write_new(f"{t.own}/vm.toml.new")


@attempt
def change_the_image(t):
    os.chmod(t.base, 0o444)
    with open(t.base, "rb") as base:
        os.utime(base.fileno())


@attempt
def write_a_unit(t):
    write_new(f"{t.home}/.config/systemd/user/probe-evil.service")


@attempt
def write_an_ssh_key(t):
    write_new(f"{t.home}/.ssh/probe-authorized_keys")


@attempt
def write_a_login_script(t):
    open_for_writing(f"{t.home}/.profile")


@attempt
def read_the_home(t):
    os.close(os.open(f"{t.home}/.ssh/id_probe", os.O_RDONLY))


@attempt
def read_data_outside_of_the_home(t):
    os.close(os.open(f"{t.data}/secret", os.O_RDONLY))


@attempt
def write_data_outside_of_the_home(t):
    write_new(f"{t.data}/probe-new")


@attempt
def read_shared_memory(t):
    os.close(os.open("/dev/shm/probe-secret", os.O_RDONLY))


@attempt
def read_the_hosts_tmp(t):
    os.close(os.open("/tmp/probe-secret", os.O_RDONLY))


@attempt
def read_the_journal(t):
    os.listdir("/var/log/journal")


@attempt
def control_group_of_another(t):
    groups = Path(f"/proc/{t.other_pid}/cgroup").read_text().splitlines()
    group = next(line.removeprefix("0::") for line in groups if line.startswith("0::"))
    open_for_writing(f"/sys/fs/cgroup{group}/cgroup.freeze")


@attempt
def make_a_setuid_file(t):
    path = f"{t.writable}/probe-setuid"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    try:
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


@attempt
def run_a_program_of_our_own(t):
    for_all([t.writable, "/tmp", "/var/tmp", "/dev/shm", t.home, os.path.dirname(t.home), t.runtime], run_a_copy_in)


def run_a_copy_in(folder):
    path = f"{folder}/probe-program"
    Path(path).write_bytes(Path("/usr/bin/true").read_bytes())
    os.chmod(path, 0o700)
    try:
        run(path)
    finally:
        os.unlink(path)


@attempt
def run_a_file_of_our_own(t):
    """A program in a file that we may write, but not make or remove."""
    Path(t.file).write_bytes(Path("/usr/bin/true").read_bytes())
    os.chmod(t.file, 0o700)
    run(t.file)


def run(path):
    """Raises the error of exec."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.execv(path, [path])
        except OSError as error:
            os.write(writer, bytes([error.errno]))
        os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as end:
        said = end.read()
    os.waitpid(child, 0)
    if said:
        raise OSError(said[0], os.strerror(said[0]))


# --------------------------------------------------------------------------------------------------------- other processes


@attempt
def memory_of_others(t):
    for_all([t.victim, t.other_pid, t.manager], lambda pid: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)))


@attempt
def environment_of_others(t):
    for_all([t.victim, t.other_pid, t.manager], lambda pid: Path(f"/proc/{pid}/environ").read_bytes())


@attempt
def files_of_others(t):
    for_all([t.victim, t.other_pid, t.manager], lambda pid: os.listdir(f"/proc/{pid}/root/"))


@attempt
def descriptors_of_others(t):
    for_all([t.victim, t.other_pid, t.manager], lambda pid: os.readlink(f"/proc/{pid}/fd/0"))


@attempt
def oom_score_of_others(t):
    for_all([t.victim, t.other_pid, t.manager], lambda pid: open_for_writing(f"/proc/{pid}/oom_score_adj"))


@attempt
def limits_of_others(t):
    core = 4
    call("prlimit64", t.victim, core, struct.pack("QQ", 0, 0), None)


@attempt
def processors_of_others(t):
    call("sched_setaffinity", t.victim, 8, struct.pack("Q", 1))


@attempt
def priority_of_others(t):
    call("setpriority", 0, t.victim, 19)


@attempt
def disk_priority_of_others(t):
    call("ioprio_set", 1, t.victim, 3 << 13)


@attempt
def trace_others(t):
    seize = 0x4206
    in_child(lambda: call("ptrace", seize, t.victim, 0, 0))


@attempt
def read_memory_of_others(t):
    buffer = ctypes.create_string_buffer(1)
    start = int(Path(f"/proc/{t.victim}/maps").read_text().split("-")[0], 16)
    local = struct.pack("QQ", ctypes.addressof(buffer), 1)
    call("process_vm_readv", t.victim, local, 1, struct.pack("QQ", start, 1), 1, 0)


@attempt
def take_a_descriptor_of_others(t):
    call("pidfd_getfd", call("pidfd_open", t.victim, 0), 0, 0)


@attempt
def compare_with_others(t):
    call("kcmp", os.getpid(), t.victim, 1, 0, 0)


@attempt
def kill_others(t):
    os.kill(t.victim, 0)


@attempt
def kill_threads_of_others(t):
    call("tkill", t.victim, 0)


@attempt
def kill_threads_of_groups(t):
    call("tgkill", t.victim, t.victim, 0)


def signal_information():
    queued = -1
    return struct.pack("iiiiii", 0, 0, queued, 0, 0, 0).ljust(128, b"\0")


@attempt
def queue_signals_to_others(t):
    call("rt_sigqueueinfo", t.victim, 0, signal_information())


@attempt
def queue_signals_to_threads(t):
    call("rt_tgsigqueueinfo", t.victim, t.victim, 0, signal_information())


@attempt
def signal_others_by_pidfd(t):
    call("pidfd_send_signal", call("pidfd_open", t.victim, 0), 0, None, 0)


@attempt
def signal_others_by_a_pipe(t):
    """The kernel sends the owner of a descriptor any signal we choose when data comes."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, t.victim)
    fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGCONT)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"x")


@attempt
def signal_others_by_a_socket(t):
    fiosetown = 0x8901
    one, _ = socket.socketpair()
    fcntl.ioctl(one, fiosetown, struct.pack("i", t.victim))


# -------------------------------------------------------------------------------------------------------------- the kernel


@attempt
def netlink(t):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()


@attempt
def raw_packets(t):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


@attempt
def internet(t):
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()


@attempt
def internet6(t):
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()


@attempt
def io_uring(t):
    call("io_uring_setup", 1, ctypes.create_string_buffer(120))


@attempt
def user_namespace(t):
    in_child(lambda: call("unshare", 0x10000000))


@attempt
def user_namespace_by_clone(t):
    child = call("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


@attempt
def mount(t):
    in_child(lambda: call("mount", b"none", t.writable.encode(), b"tmpfs", 0, None))
    LIBC.umount2(t.writable.encode(), 2)


def in_child(function):
    """In a process of its own, since there is no way back; raises its error."""
    child = os.fork()
    if child == 0:
        try:
            function()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise OSError(status, os.strerror(status))


@attempt
def keyring(t):
    call("keyctl", 0, -4, 1)


@attempt
def new_key(t):
    call("add_key", b"user", b"probe", b"x", 1, -3)


@attempt
def load_bpf(t):
    array_of_one = struct.pack("IIII", 2, 4, 4, 1).ljust(72, b"\0")
    os.close(call("bpf", 0, array_of_one, 72))


@attempt
def performance_counters(t):
    software_dummy = struct.pack("IIQQQQQ", 1, 112, 9, 0, 0, 0, 1 << 5 | 1 << 6).ljust(112, b"\0")
    os.close(call("perf_event_open", software_dummy, 0, -1, -1, 0))


@attempt
def page_faults(t):
    user_mode_only = 1
    os.close(call("userfaultfd", user_mode_only))


@attempt
def change_personality(t):
    no_randomization = 0x0040000
    call("personality", no_randomization)
    call("personality", 0)


@attempt
def system_v_memory(t):
    call("shmget", 0x70726f62, 4096, 0o1600)


@attempt
def system_v_messages(t):
    call("msgget", 0x70726f62, 0o1600)


@attempt
def system_v_semaphores(t):
    call("semget", 0x70726f62, 1, 0o1600)


@attempt
def posix_messages(t):
    os.close(call("mq_open", b"probe", os.O_RDWR | os.O_CREAT, 0o600, None))


@attempt
def change_the_root(t):
    in_child(lambda: call("chroot", b"/usr"))


@attempt
def realtime(t):
    in_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))


@attempt
def terminal_input(t):
    terminal, _ = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSTI, b"x")


# ------------------------------------------------------------------------------------------------------------------ a TAP


@contextlib.contextmanager
def new_attached(t):
    tunsetiff, tap_without_header = 0x400454CA, 0x1002
    tun = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(tun, tunsetiff, struct.pack("16sH22x", t.tap.encode(), tap_without_header))
        yield tun
    finally:
        os.close(tun)


@contextlib.contextmanager
def attached(t):
    """The descriptor that QEMU has of its TAP from capsul-run; where there is none, one of our own."""
    tungetiff, from_capsul_run = 0x800454D2, 10
    try:
        fcntl.ioctl(from_capsul_run, tungetiff, bytes(40))
    except OSError:
        with new_attached(t) as tun:
            yield tun
    else:
        yield from_capsul_run


def with_address(t, last_byte):
    ethernet = 1
    return struct.pack("16sH6s16x", t.tap.encode(), ethernet, bytes([2, 0, 0, 0, 0, last_byte]))


@attempt
def attach_a_tap(t):
    with new_attached(t):
        pass


@attempt
def tap_address(t):
    with attached(t) as tun:
        fcntl.ioctl(tun, 0x8924, with_address(t, 1))


@attempt
def tap_address_by_a_wider_command(t):
    """The kernel reads 32 bits of it."""
    with attached(t) as tun:
        if LIBC.ioctl(tun, ctypes.c_ulong(1 << 32 | 0x8924), with_address(t, 2)) == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt
def tap_owner(t):
    with attached(t) as tun:
        fcntl.ioctl(tun, 0x400454CC, os.getuid())


@attempt
def tap_group(t):
    with attached(t) as tun:
        fcntl.ioctl(tun, 0x400454CE, os.getgid())


@attempt
def tap_persistence(t):
    with attached(t) as tun:
        fcntl.ioctl(tun, 0x400454CB, 1)


@attempt
def tap_carrier(t):
    with attached(t) as tun:
        fcntl.ioctl(tun, 0x400454E2, struct.pack("i", 1))


# ----------------------------------------------------------------------------------------------------------------- to run


def outcome(function, targets):
    try:
        function(targets)
    except OSError as error:
        return str(error)
    return "got through"


def main():
    given, result, *names = sys.argv[1:]
    targets = Targets(json.loads(Path(given).read_text()))
    found = {name: outcome(ATTEMPTS[name], targets) for name in names or ATTEMPTS}
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
