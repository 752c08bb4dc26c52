"""Ethernet frames, byte by byte: honest ones and, since every field can be given, lying ones.

MACs and addresses are text, payloads are bytes. Checksums are right, so that what drops a frame is a rule.
"""

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP, IP4, IP6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
ICMP, IGMP, TCP, UDP, ICMP6 = 1, 2, 6, 17, 58
HOP_BY_HOP, FRAGMENT, DESTINATION_OPTIONS = 0, 44, 60
MORE_FRAGMENTS = 1


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def address_bytes(address):
    return ipaddress.ip_address(address).packed


def link_local(mac):
    """The address that a guest with this MAC gives itself (EUI-64)."""
    raw = mac_bytes(mac)
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]))


def ethernet(source, to, kind, payload, tag=None):
    """`tag` is a VLAN tag (0 is one too); a `kind` below 1536 is a length, of an 802.3 frame."""
    tagged = b"" if tag is None else struct.pack("!HH", VLAN, tag)
    return (mac_bytes(to) + mac_bytes(source) + tagged + struct.pack("!H", kind) + payload).ljust(60, b"\0")


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def with_checksum(data, offset, pseudo=b""):
    return data[:offset] + struct.pack("!H", checksum(pseudo + data)) + data[offset + 2:]


# ------------------------------------------------------------------------------------------------------------------ ARP


def arp(sender_mac, sender_ip, target_ip, operation=1, target_mac="00:00:00:00:00:00", lengths=(6, 4)):
    return (struct.pack("!HHBBH", 1, IP4, *lengths, operation) + mac_bytes(sender_mac) + address_bytes(sender_ip) +
            mac_bytes(target_mac) + address_bytes(target_ip))


# ----------------------------------------------------------------------------------------------------------------- IPv4


def ip4(source, to, protocol, payload, fragment=0, options=b"", more=0, length=None):
    """`fragment` is the offset in bytes."""
    words = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH", 0x40 | words, 0, length or words * 4 + len(payload), 7,
                         more << 13 | fragment // 8, 64, protocol, 0)
    return with_checksum(header + address_bytes(source) + address_bytes(to) + options, 10) + payload


def pseudo_header(source, to, protocol, length):
    """The same words, in another order, sum to the same."""
    return address_bytes(source) + address_bytes(to) + struct.pack("!IHBB", length, 0, 0, protocol)


def udp(source, to, sport, dport, payload):
    length = 8 + len(payload)
    return with_checksum(struct.pack("!HHHH", sport, dport, length, 0) + payload, 6,
                         pseudo_header(source, to, UDP, length))


def tcp_syn(source, to, sport, dport):
    return with_checksum(struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, 2, 1024, 0, 0), 16,
                         pseudo_header(source, to, TCP, 20))


def icmp(kind, payload):
    return with_checksum(bytes([kind, 0, 0, 0]) + payload, 2)


def dhcp(client_mac, kind, options=b"", client_ip="0.0.0.0"):
    """What a client sends: 1 discover, 3 request, 4 decline. The broadcast flag is set."""
    return (struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x11223344, 0, 0x8000) + address_bytes(client_ip) + bytes(12) +
            mac_bytes(client_mac) + bytes(10 + 192) + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff")


# ----------------------------------------------------------------------------------------------------------------- IPv6


def ip6(source, to, protocol, payload, extensions=(), hops=255):
    """`extensions` are (header number, header after its first byte), outermost first."""
    numbers = [number for number, _ in extensions] + [protocol]
    chain = b"".join(bytes([following]) + body for (_, body), following in zip(extensions, numbers[1:]))
    return (struct.pack("!IHBB", 6 << 28, len(chain) + len(payload), numbers[0], hops) + address_bytes(source) +
            address_bytes(to) + chain + payload)


def padding(words=1):
    """The rest of a hop-by-hop or destination options header that says nothing, of so many times 8 bytes."""
    return bytes([words - 1, 1, words * 8 - 4]) + bytes(words * 8 - 4)


def fragment_of(offset, more):
    """The rest of a fragment header; the offset is in bytes."""
    return struct.pack("!BHI", 0, offset | more, 0x5555)


def icmp6(source, to, kind, body):
    data = bytes([kind, 0, 0, 0]) + body
    return with_checksum(data, 2, pseudo_header(source, to, ICMP6, len(data)))


def lladdr(kind, mac):
    """The option of neighbour discovery that tells a MAC: 1 the sender's, 2 the target's."""
    return bytes([kind, 1]) + mac_bytes(mac)


def solicitation(target, option=b""):
    return bytes(4) + address_bytes(target) + option


def advertisement(target, option=b""):
    return b"\x60\0\0\0" + address_bytes(target) + option


def router_advertisement(mac):
    return struct.pack("!BBHII", 64, 0, 1800, 0, 0) + lladdr(1, mac)
