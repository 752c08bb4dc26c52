"""A client of DHCP, DHCPv6 and router advertisements at the guest's end of a TAP: what it asks, and what it is told."""

import ipaddress
import socket
import struct
import time

import frames
from frames import ICMP6, IP4, IP6, UDP

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
SOLICIT, ADVERTISE, REQUEST6, REPLY6 = 1, 2, 3, 7

PATIENCE = 20  # seconds: an answer takes milliseconds where nothing else runs


def answer(guest, frame, test, seconds=PATIENCE):
    """Asks again every second, as clients do: a bridge or a server that is being set up loses frames."""
    guest.forget()
    end, got = time.monotonic() + seconds, None
    while not got and (left := end - time.monotonic()) > 0:
        guest.send(frame)
        got = guest.gets(test, min(left, 1))
    return got


# ------------------------------------------------------------------------------------------------------------------ IPv4


def request4(guest, kind, options=b"", source="0.0.0.0"):
    message = frames.dhcp(guest.mac, kind, options, client_ip=source)
    everybody = "255.255.255.255"
    return frames.ethernet(guest.mac, frames.BROADCAST, IP4,
                           frames.ip4(source, everybody, UDP, frames.udp(source, everybody, 68, 67, message)))


def is_answer4(kind):
    """From the server's port to the client's, of this kind; what an honest client looks at."""
    return lambda frame: (frame[12:14] == b"\x08\0" and frame[23] == UDP and frame[34:38] == b"\0\x43\0\x44" and
                          bytes([53, 1, kind]) in frame[282:])


def offer(guest, seconds=PATIENCE):
    return answer(guest, request4(guest, DISCOVER, b"\x37\4\1\3\6\x0c"), is_answer4(OFFER), seconds)


def ack(guest, server):
    wanted = b"\x32\4" + socket.inet_aton(guest.ip4) + b"\x36\4" + socket.inet_aton(server) + b"\x37\4\1\3\6\x0c"
    return answer(guest, request4(guest, REQUEST, wanted), is_answer4(ACK))


def options4(frame):
    found, place = {}, 282
    while frame[place] != 255:
        length = frame[place + 1]
        found[frame[place]] = frame[place + 2:place + 2 + length]
        place += 2 + length
    return found


def udp_checksum_is_right(frame):
    source, to, datagram = frame[26:30], frame[30:34], frame[34:34 + int.from_bytes(frame[38:40], "big")]
    text = [socket.inet_ntoa(address) for address in (source, to)]
    return frames.checksum(frames.pseudo_header(*text, UDP, len(datagram)) + datagram) == 0


# ------------------------------------------------------------------------------------------------------------------ IPv6


def ask6(guest, to_mac, to, protocol, payload):
    source = frames.link_local(guest.mac)
    return frames.ethernet(guest.mac, to_mac, IP6, frames.ip6(source, to, protocol, payload(source, to)))


def router_solicitation(guest):
    return ask6(guest, "33:33:00:00:00:02", "ff02::2", ICMP6,
                lambda source, to: frames.icmp6(source, to, 133, bytes(4) + frames.lladdr(1, guest.mac)))


def is_advertisement(frame):
    return frame[12:14] == b"\x86\xdd" and frame[20] == ICMP6 and frame[54] == 134


def options_of_advertisement(frame):
    found, place, end = {}, 70, 54 + int.from_bytes(frame[18:20], "big")
    while place < end:
        length = frame[place + 1] * 8
        found[frame[place]] = frame[place:place + length]
        place += length
    return found


def option6(number, value):
    return struct.pack("!HH", number, len(value)) + value


def options6(data):
    found = {}
    while len(data) >= 4:
        number, length = struct.unpack("!HH", data[:4])
        found[number], data = data[4:4 + length], data[4 + length:]
    return found


def request6(guest, kind, *more):
    """A client with an identifier made of its MAC; option 3 asks for an address, 6 for the servers of DNS."""
    options = (option6(1, b"\0\3\0\1" + frames.mac_bytes(guest.mac)) + option6(3, b"\0\0\0\1" + bytes(8)) + option6(6, b"\0\x17") +
               option6(8, b"\0\0") + b"".join(more))
    message = bytes([kind]) + b"abc" + options
    return ask6(guest, "33:33:00:01:00:02", "ff02::1:2", UDP, lambda source, to: frames.udp(source, to, 546, 547, message))


def answer6(guest, frame, kind, seconds=PATIENCE):
    got = answer(guest, frame, lambda one: (one[12:14] == b"\x86\xdd" and one[20] == UDP and
                                            one[54:58] == b"\x02\x23\x02\x22" and one[62] == kind), seconds)
    return got and options6(got[66:54 + int.from_bytes(got[58:60], "big")])


def address_in(options):
    inner = options6(options[3][12:])
    return str(ipaddress.IPv6Address(inner[5][:16])) if 5 in inner else None


def get_address6(guest):
    advertised = answer6(guest, request6(guest, SOLICIT), ADVERTISE)
    if not advertised or address_in(advertised) is None:
        return None
    reply = answer6(guest, request6(guest, REQUEST6, option6(2, advertised[2])), REPLY6)
    return reply and address_in(reply)
