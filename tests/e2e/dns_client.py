"""A client of DNS: the bytes of a question, and what an answer says."""

import ipaddress
import socket
import struct
from dataclasses import dataclass

A, PTR, AAAA = 1, 12, 28
NO_ERROR, NXDOMAIN, REFUSED = 0, 3, 5


@dataclass(frozen=True)
class Answer:
    code: int
    values: list  # addresses and names as text
    ttls: set


def name_bytes(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def question(name, kind=A):
    return struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + name_bytes(name) + struct.pack("!HH", kind, 1)


def reverse(address):
    return ipaddress.ip_address(address).reverse_pointer


def text_of(kind, data):
    if kind in (A, AAAA):
        return str(ipaddress.ip_address(data))
    labels = []
    while data[0]:
        labels.append(data[1:1 + data[0]].decode())
        data = data[1 + data[0]:]
    return ".".join(labels)


def parse(message):
    """Of a server that compresses nothing but the name that was asked for."""
    flags, _, count = struct.unpack("!HHH", message[2:8])
    place = message.index(b"\0", 12) + 5
    values, ttls = [], set()
    for _ in range(count):
        kind, _, ttl, length = struct.unpack("!HHIH", message[place + 2:place + 12])
        values.append(text_of(kind, message[place + 12:place + 12 + length]))
        ttls.add(ttl)
        place += 12 + length
    return Answer(flags & 15, sorted(values), ttls)


def ask(server, name, kind=A, tcp=False, patience=20):
    """From here, over UDP or TCP."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as link:
        link.settimeout(patience)
        link.connect((server, 53))
        asked = question(name, kind)
        link.sendall(struct.pack("!H", len(asked)) + asked if tcp else asked)
        return parse(link.recv(4096)[2 if tcp else 0:])
