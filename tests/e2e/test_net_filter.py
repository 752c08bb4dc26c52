"""The packet filter is flushed and loaded again while networks and VMs run: what is said of it, and that they come through.

This process is the guest of the VM `web`; `up` runs, for what `vm show` says of it.
"""

import json

import frames
import pytest
from conftest import wait_until
from dhcp_lab import capsul, guest_of  # noqa: F401  (a fixture)
from frames import ARP

GATEWAY = "10.80.8.1"


@pytest.fixture(scope="module")
def web(capsul):  # noqa: F811
    capsul.ctl("network", "create", "lan", "--subnet", "10.80.8.0/24")
    capsul.ctl("vm", "create", "up", "--image", "empty", "--disk", "2M", "--memory", "64M", "--no-ssh-key", "--network", "lan")
    with guest_of(capsul, "web") as guest:
        # As while the VM runs.
        capsul.run("systemd-run --user --unit=keep --property=Wants=capsul-tap-web.service sleep infinity")
        yield guest
        capsul.run("systemctl --user stop keep.service")
    capsul.ctl("vm", "delete", "up", "--yes")
    capsul.ctl("network", "delete", "lan", "--yes")


def is_answered(guest, sender):
    """Whether the host answers an ARP request of the guest's in the name of `sender`."""
    guest.forget()
    guest.send(frames.ethernet(guest.mac, frames.BROADCAST, ARP, frames.arp(guest.mac, sender, GATEWAY)))
    return guest.gets(lambda frame: frame[12:14] == b"\x08\x06" and frame[21] == 2, 1) is not None


def finding(capsul, check="net-filter"):  # noqa: F811
    said = capsul.ctl("doctor", "--json", check=False).stdout
    return next(one for one in json.loads(said) if one["check"] == check)


def protections(capsul):  # noqa: F811
    return capsul.json("vm", "show", "up")["nics"][0]["protections"]


@pytest.mark.parametrize("change", [
    "systemctl restart nftables.service", "systemctl reload nftables.service",
    "systemctl restart capsul-nft.service", "nft flush ruleset; systemctl reload capsul-nft.service"])
def test_networks_and_vms_come_through_when_it_is_loaded_again(capsul, web, change):  # noqa: F811
    assert is_answered(web, web.ip4)
    capsul.host.run("systemctl start nftables.service")
    capsul.host.run(change)
    # systemctl waits for nftables.service; ours comes after it.
    wait_until(lambda: capsul.host.run("systemctl list-jobs --no-legend capsul-nft.service").stdout == "")
    wait_until(lambda: is_answered(web, web.ip4))
    assert not is_answered(web, "10.80.8.99")
    wait_until(lambda: finding(capsul)["severity"] == "ok")
    assert protections(capsul) == ["mac", "ip"]


def test_it_is_told_that_it_was_flushed(capsul, web):  # noqa: F811
    capsul.host.run("nft flush ruleset")
    assert is_answered(web, "10.80.8.99")
    told = finding(capsul)
    assert told["severity"] == "failure" and "gone" in told["message"], told
    assert protections(capsul) == ["mac"]
    capsul.host.run(told["hint"].removeprefix("sudo "))
    wait_until(lambda: protections(capsul) == ["mac", "ip"])


def test_it_is_told_that_a_nic_is_cut_off(capsul, web):  # noqa: F811
    capsul.run("systemctl --user stop capsul-filter.path")
    capsul.host.run("nft flush ruleset; systemctl reload capsul-nft.service")
    assert not is_answered(web, web.ip4)
    told = finding(capsul)
    assert told["severity"] == "failure" and "cap-lan" in told["message"] and web.name in told["message"], told
    assert protections(capsul) == ["mac", "cut-off"]
    capsul.run(told["hint"])
    assert finding(capsul)["severity"] == "ok" and is_answered(web, web.ip4)
    capsul.run("systemctl --user start capsul-filter.path")


def test_what_cannot_be_asked_is_not_said(capsul, web):  # noqa: F811
    capsul.host.run("chmod 0700 /usr/libexec/capsul/capsul-net")
    assert protections(capsul) == ["mac", "ip?"]
    assert "cannot be told" in finding(capsul)["message"]
    capsul.host.run("chmod 0750 /usr/libexec/capsul/capsul-net")


@pytest.mark.parametrize("there, gone, name, command", [
    ("ip link add docker0 type bridge", "ip link del docker0", "Docker", "iptables -I DOCKER-USER -i {} -j ACCEPT"),
    ("mkdir -p /run/firewalld", "rmdir /run/firewalld", "firewalld", "--add-interface={}"),
])
def test_other_firewalls_are_named_with_the_command_for_our_bridge(capsul, web, there, gone, name, command):  # noqa: F811
    assert finding(capsul, "net-firewall")["severity"] == "ok"
    capsul.host.run(there)
    try:
        told = finding(capsul, "net-firewall")
    finally:
        capsul.host.run(gone)
    assert told["severity"] == "warning" and name in told["message"], told
    assert command.format("cap-lan") in told["hint"], told
