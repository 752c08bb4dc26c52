"""The confines of a network's DHCP server, and where there is none."""

import json
import os
import re
import socket
from pathlib import Path

import pytest
from cable import network_of
from conftest import wait_until
from dhcp_client import offer
from dhcp_lab import GATEWAY, UNIT, capsul, lan, web  # noqa: F401  (fixtures)

PROBE = Path(__file__).with_name("dhcp_probe.py")
NOBODY = 65534


def test_has_no_power_over_the_host(lan, web):
    """dnsmasq's capabilities are those of a namespace in which there is nothing of the host's."""
    pid = lan.run("pgrep --exact dnsmasq").stdout.strip()
    status = lan.host.run(f"cat /proc/{pid}/status").stdout
    assert re.search(r"CapBnd:\s*0000000000003400\n", status) and re.search(r"NoNewPrivs:\s*1\n", status)
    for kind in ("user", "net", "pid", "mnt"):
        assert len(set(lan.host.run(f"readlink /proc/{pid}/ns/{kind} /proc/1/ns/{kind}").stdout.split())) == 2, kind
    tried = lan.host.run(["nsenter", f"--user=/proc/{pid}/ns/user", "--preserve-credentials",
                          "ip", "link", "set", "cap-lan", "down"], check=False)
    assert tried.returncode != 0 and "not permitted" in tried.stderr


def test_the_server_can_do_nothing_but_serve(lan, web):
    unit = f".config/systemd/user/{UNIT}"
    command = re.search(r"^ExecStart=(.*?) -- ", lan.run(f"cat {unit}").stdout, re.MULTILINE)[1]
    home = lan.run("pwd").stdout.strip()
    lan.host.run("cat >/usr/local/lib/probe.py", input=PROBE.read_text())
    lan.run(f"mkdir -p -m 700 .ssh {unit}.d && echo secret >.ssh/secret")
    lan.run(["systemd-run", "--user", "--quiet", "--unit=listener", "/usr/bin/python3", "-c",
             r"import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\0dhcp-probe'); s.listen(); time.sleep(1e6)"])
    words = f"{home} {lan.uid} {lan.daemon_pid()} {lan.host.address()}"
    lan.run(f"cat >{unit}.d/probe.conf", input=f"[Service]\nType=exec\nRestart=no\nExecStart=\nExecStart={command} -- "
                                               f"/usr/bin/python3 /usr/local/lib/probe.py {words}\n")
    lan.run(f"systemctl --user daemon-reload; systemctl --user restart {UNIT}")
    said = "journalctl --user --identifier=dhcp-lan --output=cat | grep ^PROBED"
    try:
        wait_until(lambda: lan.run(said, check=False).stdout)
        assert json.loads(lan.run(said).stdout.split(maxsplit=1)[1]) == ["read what it is told"]
    finally:
        lan.run(f"rm -r {unit}.d; systemctl --user stop listener; systemctl --user daemon-reload; "
                f"systemctl --user reset-failed {UNIT}; systemctl --user restart {UNIT}", check=False)
    assert offer(web)


def test_no_process_has_a_capability_on_the_host(lan, web):
    everyone = lan.host.run("for pid in $(pgrep --uid alice); do "
                            "echo $(readlink /proc/$pid/ns/user) $(awk '/^Name|^CapEff/ {print $2}' /proc/$pid/status); done")
    host = lan.host.run("readlink /proc/1/ns/user").stdout.strip()
    lines = [line.split() for line in everyone.stdout.splitlines()]
    assert {"capsul-dhcp", "dnsmasq", "capsuld"} <= {name for _, name, _ in lines}
    assert {effective for namespace, _, effective in lines if namespace == host} == {"0" * 16}
    assert {effective for _, name, effective in lines if name == "capsul-dhcp"} == {"0" * 16}


def test_does_not_start_without_its_sandbox(lan, web):
    folder = f".config/systemd/user/{UNIT}.d"
    lan.run(f"mkdir -p {folder} && printf '[Service]\\nPrivateTmp=no\\n' >{folder}/weak.conf && systemctl --user daemon-reload")
    try:
        assert lan.run(f"systemctl --user restart {UNIT}", check=False).returncode != 0
        said = "journalctl --user --identifier=dhcp-lan --output=cat --lines=20"
        wait_until(lambda: "not in force: PrivateTmp=yes" in lan.run(said).stdout)
    finally:
        lan.run(f"rm -r {folder}; systemctl --user daemon-reload; systemctl --user reset-failed {UNIT}; "
                f"systemctl --user restart {UNIT}")
    assert offer(web)


def test_unit_is_judged_well_by_systemd(lan, web):
    judged = lan.run(f"systemd-analyze --user security --no-pager {UNIT}").stdout
    assert float(re.search(r"exposure level for \S+: ([0-9.]+)", judged)[1]) <= 2.2, judged


@pytest.mark.parametrize("uid, sport, arrives", [
    pytest.param(NOBODY, 1067, False, id="another account"),
    pytest.param(None, 1067, False, id="the account that serves"),
    pytest.param(0, 67, True, id="root"),
])
def test_who_may_send_to_the_port_of_dhcp_clients(lan, web, uid, sport, arrives):
    message = b"I am your DHCP server" + bytes(40)
    web.forget()
    with network_of(lan.host), socket_of(int(lan.uid) if uid is None else uid) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.bind((GATEWAY, sport))
        try:
            server.sendto(message, ("10.80.7.255", 68))
        except PermissionError:  # a dropped packet's sender is told so
            assert not arrives
    assert (web.gets(lambda frame: message in frame, 1) is not None) == arrives


def socket_of(uid):
    os.seteuid(uid)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("words, told", [
    (["bad", "--bridge", "br0", "--dhcp"], "dhcp: is of nat and vpn networks only"),
    (["bad", "--subnet6", "fd80:ca95:0:100::/56", "--dhcp"], "dhcp: needs an IPv6 subnet of /64 or smaller"),
])
def test_refused_where_it_cannot_be(capsul, words, told):
    refused = capsul.ctl("network", "create", *words, check=False)
    assert refused.returncode == 2 and told in refused.stderr
    assert "bad" not in capsul.ctl("network", "list").stdout


def test_a_server_that_does_not_start_is_told_and_leaves_nothing(capsul):
    capsul.host.run("mv /usr/sbin/dnsmasq /usr/sbin/dnsmasq.away && printf '#!/bin/sh\\necho broken >&2; exit 5\\n' >/usr/sbin/dnsmasq"
                    " && chmod 755 /usr/sbin/dnsmasq")
    try:
        refused = capsul.ctl("network", "create", "bad", "--dhcp", check=False)
        assert refused.returncode != 0 and "its DHCP server does not start: " in refused.stderr
    finally:
        capsul.host.run("mv /usr/sbin/dnsmasq.away /usr/sbin/dnsmasq")
    assert not [line for line in capsul.traces() if "bad" in line]
    assert "cap-bad" not in capsul.run("ip -o link").stdout


def test_a_host_without_dnsmasq_is_told_what_to_install(lan, web):
    lan.host.run("mv /usr/sbin/dnsmasq /usr/sbin/dnsmasq.away")
    try:
        refused = lan.ctl("network", "create", "bad", "--dhcp", check=False)
        assert refused.returncode != 0
        assert "dnsmasq is not installed" in refused.stderr and "apt install dnsmasq-base" in refused.stderr
        findings = lan.json("doctor", check=False)
        assert [found["hint"] for found in findings if found["check"] == "net-dhcp"] == ["sudo apt install dnsmasq-base"]
    finally:
        lan.host.run("mv /usr/sbin/dnsmasq.away /usr/sbin/dnsmasq")
