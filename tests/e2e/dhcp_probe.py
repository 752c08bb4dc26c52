"""In dnsmasq's place: tries to do more than serve, and prints what it could."""

import ctypes
import json
import os
import socket
import sys

home, uid, victim, address = sys.argv[1:]
data = f"{home}/.local/share/capsul"
runtime = f"/run/user/{uid}"
libc = ctypes.CDLL(None, use_errno=True)
CLONE, CLONE_NEWUSER, SIGCHLD = 56, 0x10000000, 17


def call(name, *words):
    if getattr(libc, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), name)


def connect(family, kind, place):
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        one.connect(place)


def connect_to_file(file):
    connect(socket.AF_UNIX, socket.SOCK_STREAM, file)


def send(place):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", place)


def read(file):
    with open(file, "rb") as opened:
        opened.read(1)


def write(file):
    with open(file, "a", encoding="ascii"):
        pass


def could(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True


tries = {
    "read what it is told": lambda: read(f"{data}/networks/lan/dhcp/hosts"),
    "write what it is told": lambda: write(f"{data}/networks/lan/dhcp/hosts"),
    "read the network's record": lambda: read(f"{data}/networks/lan/network.toml"),
    "read the home": lambda: read(f"{home}/.ssh/secret"),
    "write somewhere": lambda: write("/tmp/x"),
    "reach the bus": lambda: connect_to_file(f"{runtime}/bus"),
    "reach systemd": lambda: connect_to_file(f"{runtime}/systemd/private"),
    "reach capsuld": lambda: connect_to_file(f"{runtime}/capsul/capsuld.sock"),
    "reach an abstract socket": lambda: connect_to_file("\0dhcp-probe"),
    "reach the host": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, (address, 9)),
    "send to the host": lambda: send((address, 9)),
    "hear all frames": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "open a TAP": lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)),
    "make namespaces": lambda: call("unshare", CLONE_NEWUSER),
    "make namespaces by clone": lambda: call("syscall", CLONE, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
    "enter the host's network": lambda: call("setns", os.open(f"/proc/{victim}/ns/net", os.O_RDONLY), 0),
    "signal others": lambda: os.kill(int(victim), 0),
    "signal all": lambda: os.kill(-1, 0),
    "read the memory of others": lambda: read(f"/proc/{victim}/mem"),
    "read the environment of others": lambda: read(f"/proc/{victim}/environ"),
    "have others killed first": lambda: write(f"/proc/{victim}/oom_score_adj"),
}
print("PROBED", json.dumps([name for name, attempt in tries.items() if could(attempt)]), flush=True)
