"""A TAP in a host's network namespace, with this process at the guest's end of it."""

import contextlib
import ctypes
import fcntl
import os
import select
import struct
import time
from dataclasses import dataclass, field

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def network_of(host):
    """The body runs in the host's network namespace; what it opens stays there."""
    own, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/proc/{host.leader()}/ns/net", os.O_RDONLY)
    try:
        enter(there)
        yield
    finally:
        enter(own)
        os.close(own)
        os.close(there)


def enter(namespace):
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def await_forwarding(host, *cables):
    """A bridge drops what comes from a port of which it does not know yet that a cable is in it."""
    names = " ".join(cable.name for cable in cables)
    host.run(f"for name in {names}; do until grep -q 3 /sys/class/net/$name/brport/state; do sleep 0.1; done; done")


@dataclass
class Cable:
    """The guest's end of a TAP."""

    name: str
    mac: str
    ip4: str = ""
    ip6: str = ""
    seen: list = field(default_factory=list, repr=False)

    def plug_in(self):
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH", self.name.encode(), IFF_TAP | IFF_NO_PI))

    def unplug(self):
        os.close(self.fd)

    def send(self, frame):
        os.write(self.fd, frame)

    def forget(self):
        self._read()
        self.seen.clear()

    def _read(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.seen.append(os.read(self.fd, 65536))

    def gets(self, wanted, seconds=2):
        """The first frame from now on that `wanted` (a frame, or a test of one) is true for; None when there is none."""
        test = wanted if callable(wanted) else lambda frame: frame == wanted
        deadline = time.monotonic() + seconds
        while True:
            self._read()
            found = next((frame for frame in self.seen if test(frame)), None)
            left = deadline - time.monotonic()
            if found is not None or left <= 0:
                return found
            select.select([self.fd], [], [], left)
