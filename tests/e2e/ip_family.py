"""The same tests for IPv4 and IPv6: what differs between them, and probes of either kind."""

import contextlib
import socket
from dataclasses import dataclass

import frames
import pytest
from frames import ICMP, ICMP6, IP4, IP6, TCP, UDP

PROBE = b"probe" * 8  # long enough for a frame without padding, which not every path keeps


@dataclass(frozen=True)
class Family:
    """What differs between IPv4 and IPv6."""

    version: int
    socket: int
    host: str  # the host's address on cap-n
    host_outside: str
    outside: str
    everywhere: str

    def address(self, cable):
        return cable.ip4 if self.version == 4 else cable.ip6

    def packet(self, source, to, protocol, payload):
        return frames.ip4(source, to, protocol, payload) if self.version == 4 else frames.ip6(source, to, protocol, payload)

    def frame(self, cable, to_mac, packet):
        return frames.ethernet(cable.mac, to_mac, IP4 if self.version == 4 else IP6, packet)

    def udp(self, source, to, dport, sport=5000):
        return self.packet(source, to, UDP, frames.udp(source, to, sport, dport, PROBE))

    def tcp(self, source, to, dport):
        return self.packet(source, to, TCP, frames.tcp_syn(source, to, 5000, dport))

    def ping(self, source, to):
        if self.version == 4:
            return self.packet(source, to, ICMP, frames.icmp(8, b"\0\7\0\1" + PROBE))
        return self.packet(source, to, ICMP6, frames.icmp6(source, to, 128, b"\0\7\0\1" + PROBE))

    def probes(self, source, to):
        return {"dns": self.udp(source, to, 53), "dns/tcp": self.tcp(source, to, 53), "ping": self.ping(source, to),
                "https": self.tcp(source, to, 443), "udp": self.udp(source, to, 9999)}


V4 = Family(4, socket.AF_INET, "10.80.0.1", "192.0.2.1", "192.0.2.2", "192.0.2.0/24")
V6 = Family(6, socket.AF_INET6, "fd80::1", "2001:db8::1", "2001:db8::2", "2001:db8::/64")

both = pytest.mark.parametrize("ip", [V4, V6], ids=["IPv4", "IPv6"])


def has(server, text):
    """Whether the server has got something with this text in it."""
    with contextlib.suppress(BlockingIOError):
        while True:
            if text in server.recv(1000):
                return True
    return False
