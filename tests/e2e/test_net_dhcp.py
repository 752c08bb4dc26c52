"""DHCP and router advertisements of a nat network: the real unit, with this process in the place of the guests."""

import ipaddress
import re
import socket

import dhcp_client
import frames
import pytest
from cable import Cable, network_of
from conftest import wait_until
from dhcp_client import (ACK, ADVERTISE, REQUEST, SOLICIT, address_in, answer, answer6, get_address6, is_advertisement, is_answer4,
                         offer, options4, options_of_advertisement, request4, request6, router_solicitation,
                         udp_checksum_is_right)
from dhcp_lab import GATEWAY, UNIT, capsul, guest_of, lan, main_pid, web  # noqa: F401  (fixtures)
from frames import ICMP6
from net_helper import HELPER


def ack(guest):
    return dhcp_client.ack(guest, GATEWAY)


def test_a_guest_gets_its_address(lan, web):
    offered = offer(web)
    assert offered and offered[58:62] == socket.inet_aton(web.ip4)
    taken = ack(web)
    assert taken and taken[58:62] == socket.inet_aton(web.ip4)
    assert taken[6:12] == frames.mac_bytes(lan.run("cat /sys/class/net/cap-lan/address").stdout.strip())
    options = options4(taken)
    assert options[1] == socket.inet_aton("255.255.255.0") and options[3] == socket.inet_aton(GATEWAY)
    assert options[6] == socket.inet_aton("192.0.2.53") and options[12] == b"web"
    assert options[51] == b"\xff\xff\xff\xff"
    assert udp_checksum_is_right(offered) and udp_checksum_is_right(taken)


def test_a_guest_that_asks_everybody_keeps_its_address(web):
    """And is answered under it: the server knows the guest's MAC without asking."""
    again = answer(web, request4(web, REQUEST, source=web.ip4), is_answer4(ACK))
    assert again and again[30:34] == socket.inet_aton(web.ip4) and again[:6] == frames.mac_bytes(web.mac)
    assert udp_checksum_is_right(again)


def test_whom_capsul_does_not_know_gets_nothing(lan, web):
    stranger = Cable("cap-x", "02:00:00:00:00:77", "10.80.7.200")
    lan.run([HELPER, "tap-add", "cap-x", "cap-lan", stranger.mac, "--ip", stranger.ip4])
    with network_of(lan.host):
        stranger.plug_in()
    try:
        assert offer(stranger, 1) is None
    finally:
        stranger.unplug()
        lan.run([HELPER, "tap-del", "cap-x"])
    assert offer(web)


def test_a_guest_finds_its_router(lan, web):
    got = answer(web, router_solicitation(web), is_advertisement)
    assert got
    mac = lan.run("cat /sys/class/net/cap-lan/address").stdout.strip()
    own = next(line.split() for line in lan.run("cat /proc/net/if_inet6").stdout.splitlines()
               if line.startswith("fe80") and line.endswith(" cap-lan"))
    assert got[6:12] == frames.mac_bytes(mac) and got[22:38] == bytes.fromhex(own[0])
    assert frames.checksum(frames.pseudo_header(*(str(ipaddress.IPv6Address(got[place:place + 16])) for place in (22, 38)),
                                                ICMP6, len(got) - 54) + got[54:]) == 0
    assert got[59] & 0x80, "it does not say that there is DHCPv6"
    assert int.from_bytes(got[60:62], "big") > 0, "it is no default router"
    options = options_of_advertisement(got)
    assert options[1][2:8] == frames.mac_bytes(mac)
    assert options[3][2] == 64 and options[3][16:] == ipaddress.IPv6Address("fd80:ca95:0:7::").packed
    assert not options[3][3] & 0x40, "guests would make up addresses that they may not send from"
    assert options[25][8:24] == ipaddress.IPv6Address("2001:db8::53").packed


def test_a_guest_gets_its_ipv6_address(web):
    advertised = answer6(web, request6(web, SOLICIT), ADVERTISE)
    assert advertised and address_in(advertised) == web.ip6
    assert advertised[23] == ipaddress.IPv6Address("2001:db8::53").packed
    assert get_address6(web) == web.ip6


def test_vms_that_come_and_go(lan, web):
    with guest_of(lan, "first") as first:
        assert offer(first) and ack(first) and get_address6(first) == first.ip6
        before = first
    with guest_of(lan, "second") as second:
        assert (second.ip4, second.ip6) == (before.ip4, before.ip6) and second.mac != before.mac
        taken = offer(second) and ack(second)
        assert taken and taken[58:62] == socket.inet_aton(second.ip4)
        assert get_address6(second) == second.ip6
    assert offer(web)


def test_dnsmasq_is_not_started_anew_for_a_vm_that_comes(lan, web):
    before = main_pid(lan)
    with guest_of(lan, "guest") as guest:
        assert offer(guest)
        assert main_pid(lan) == before


def test_a_vm_whose_name_dnsmasq_takes_for_a_word(lan):
    with guest_of(lan, "ignore") as guest:
        assert offer(guest)


def set_bridged(capsul, value):
    with network_of(capsul.host):
        for name in ("iptables", "ip6tables"):
            with open(f"/proc/sys/net/bridge/bridge-nf-call-{name}", "w", encoding="ascii") as file:
                file.write(f"{value}\n")


@pytest.mark.parametrize("bridged", [0, 1], ids=["", "where bridged frames are filtered"])
@pytest.mark.parametrize("isolate", [[], ["--isolate"]], ids=["", "isolated"])
@pytest.mark.parametrize("egress", ["full", "none", "dns-icmp", "192.0.2.0/24"])
def test_every_kind_of_network_has_it(capsul, egress, isolate, bridged):
    set_bridged(capsul, bridged)
    capsul.ctl("network", "create", "other", "--subnet", "10.80.9.0/24", "--subnet6", "fd80:ca95:0:9::/64", "--dhcp",
               "--egress", egress, *isolate)
    try:
        with guest_of(capsul, "kind", "other") as guest:
            assert offer(guest)
            assert answer(guest, router_solicitation(guest), is_advertisement)
            assert get_address6(guest) == guest.ip6
    finally:
        capsul.ctl("network", "delete", "other", "--yes")
        set_bridged(capsul, 1)


def test_switched_off_and_on(lan, web):
    lan.ctl("network", "set", "lan", "--dhcp", "off")
    assert offer(web, 1) is None
    assert lan.json("network", "show", "lan")["dhcp"] is None
    assert lan.run(f"systemctl --user is-active {UNIT}", check=False).stdout.strip() == "inactive"
    assert lan.run(f"ls .config/systemd/user/{UNIT}", check=False).returncode != 0
    assert lan.run("ip link show cap-lan-dhcp", check=False).returncode != 0
    lan.ctl("network", "set", "lan", "--dhcp", "on")
    assert offer(web)
    assert lan.json("network", "show", "lan")["dhcp"] == "running"
    assert re.search(r"DHCP: +on \(running\)", lan.ctl("network", "show", "lan").stdout)


def test_a_change_of_dns_servers_holds_at_once(lan, web):
    lan.ctl("network", "set", "lan", "--dns", "192.0.2.99")
    try:
        assert offer(web) and options4(ack(web))[6] == socket.inet_aton("192.0.2.99")
    finally:
        lan.ctl("network", "set", "lan", "--dns", "192.0.2.53", "--dns", "2001:db8::53")


def test_starts_and_stops_with_its_network(capsul):
    capsul.ctl("network", "create", "brief", "--subnet", "10.80.11.0/24", "--dhcp")
    state = "systemctl --user is-active capsul-dhcp-brief.service"
    capsul.ctl("network", "stop", "brief")
    assert capsul.run(state, check=False).stdout.strip() == "inactive"
    capsul.run("systemctl --user start capsul-net-brief.service")  # as at boot: capsuld has no part in it
    wait_until(lambda: capsul.run(state, check=False).stdout.strip() == "active")
    before = capsul.run("ip -o link show type tun").stdout
    assert "cap-brief-dhcp" in before
    capsul.ctl("network", "delete", "brief", "--yes")
    assert "brief" not in capsul.run("ip -o link").stdout
    assert not [line for line in capsul.traces() if "brief" in line]


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
@pytest.mark.parametrize("victim", ["capsul-dhcp", "dnsmasq"])
def test_comes_back_whichever_of_the_two_ends(lan, web, victim, signal):
    before = main_pid(lan)
    lan.run(f"pkill --signal {signal} --exact {victim}; systemctl --user reset-failed {UNIT}")
    wait_until(lambda: main_pid(lan) not in (before, "0") and offer(web, 0.5))
    assert lan.run("pgrep --count --exact dnsmasq").stdout.strip() == "1"
