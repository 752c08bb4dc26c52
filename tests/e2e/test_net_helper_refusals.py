"""What capsul-net refuses, in a booted host; and that a refusal changes nothing of the kernel's network."""

import pytest
from conftest import LAB, hosts
from net_helper import MAC, MAC2, REFUSED, USAGE, Net, install, make_surroundings


WRONG_USAGE = [
    ["tap-add", "eth0", "br0", MAC], ["tap-add", "capb-t1", "br0", MAC], ["tap-add", "cap-", "br0", MAC],
    ["tap-add", "cap-sixteen-char", "br0", MAC], ["tap-add", "cap-t1\n", "br0", MAC], ["tap-add", "cap-%n", "br0", MAC],
    ["tap-add", "cap-t1", "br0", "00:16:3e:00:00:01"], ["tap-add", "cap-t1", "br0", "03:00:00:00:00:01"],
    ["tap-add", "cap-t1", "br0", "fe:00:00:00:00:01"], ["tap-add", "cap-t1", "br0", MAC, "--ip", "203.0.113.20/28"],
    ["tap-del", "eth0"], ["tap-del", "capb-t1"], ["bridge-add", "br2"], ["bridge-del", "br0"], ["trunk-add", "tap0", "cap-n1"],
    ["addr-add", "br0", "10.80.0.1/24"], ["addr-add", "eth0", "10.80.0.1/24"], ["egress", "br0", "full"],
    ["egress", "cap-n1", "everything"], ["netns-add", "cap-n1"], []]


@pytest.mark.parametrize("words", WRONG_USAGE, ids=lambda words: " ".join(words).strip() or "nothing")
def test_wrong_usage_changes_nothing(crowded, words):
    crowded.refused(USAGE, *words)


REFUSALS = {
    "a bridge that the policy does not have": ["tap-add", "cap-x", "br1", MAC],
    "a bridge that is none: eth0": ["tap-add", "cap-x", "eth0", MAC],
    "a bridge that is none: a card": ["tap-add", "cap-x", "card0", MAC],
    "a bridge that is none: another card on one": ["tap-add", "cap-x", "br0.5", MAC],
    "a bridge that is not there": ["tap-add", "cap-x", "gone", MAC],
    "an own bridge that is not there": ["tap-add", "cap-x", "cap-n9", MAC],
    "another user's bridge": ["tap-add", "cap-x", "capb-n1", MAC],
    "a TAP for a bridge": ["tap-add", "cap-x", "cap-t1", MAC],
    "an unmarked TAP of that name": ["tap-add", "cap-foreign", "br0", MAC2],
    "a TAP marked for another": ["tap-add", "cap-other", "br0", MAC2],
    "an own TAP on another bridge": ["tap-add", "cap-t1", "br0", MAC],
    "a bridge of that name": ["tap-add", "cap-n1", "br0", MAC2],
    "a MAC in use on the bridge": ["tap-add", "cap-x", "cap-n1", MAC],
    "a MAC learnt by the bridge": ["tap-add", "cap-x", "br0", "02:00:00:00:00:aa"],
    "the bridge's own MAC": ["tap-add", "cap-x", "br0", "02:00:00:00:ff:00"],
    "an address outside the policy": ["tap-add", "cap-x", "br0", MAC2, "--ip", "203.0.113.32"],
    "one good address and one bad": ["tap-add", "cap-x", "br0", MAC2, "--ip", "203.0.113.17", "--ip", "2001:db9::1"],
    "an own subnet's address on another bridge": ["tap-add", "cap-x", "br0", MAC2, "--ip", "10.80.0.3"],
    "any address, where the policy has some": ["tap-add", "cap-x", "br0", MAC2, "--any-ip"],
    "any address on an own bridge": ["tap-add", "cap-x", "cap-n1", MAC2, "--any-ip"],
    "an address outside the own subnets": ["tap-add", "cap-x", "cap-n1", MAC2, "--ip", "203.0.113.17"],
    "a bad address for a TAP that is there": ["tap-add", "cap-t1", "cap-n1", MAC, "--ip", "192.0.2.1"],
    "another TAP's MAC for a TAP that is there": ["tap-add", "cap-t2", "cap-n1", MAC],
    "a trunk on an administrator's bridge": ["trunk-add", "cap-x", "br0"],
    "a trunk on an administrator's bridge, that does not learn": ["trunk-add", "cap-x", "br0", "--no-learning"],
    "a trunk of a bridge's name": ["trunk-add", "cap-n1", "cap-n1"],
    "deleting an unmarked TAP": ["tap-del", "cap-foreign"],
    "deleting a TAP marked for another": ["tap-del", "cap-other"],
    "deleting a bridge as a TAP": ["tap-del", "cap-n1"],
    "making a bridge where a TAP is": ["bridge-add", "cap-t1"],
    "making a bridge where an administrator's is": ["bridge-add", "cap-adm"],
    "deleting a TAP as a bridge": ["bridge-del", "cap-t1"],
    "deleting a bridge with ports": ["bridge-del", "cap-n1"],
    "deleting an administrator's bridge": ["bridge-del", "cap-adm"],
    "an address for a bridge that is not there": ["addr-add", "cap-n9", "10.80.0.1/24"],
    "an address for an administrator's bridge": ["addr-add", "cap-adm", "10.80.0.1/24"],
    "an address for a TAP": ["addr-add", "cap-t1", "10.80.0.1/24"],
    "a network outside the policy": ["addr-add", "cap-n1", "10.81.0.1/24"],
    "a network larger than the policy's": ["addr-add", "cap-n1", "10.80.0.1/15"],
    "an address that is there with another length": ["addr-add", "cap-n1", "10.80.0.1/25"],
    "an IPv6 address that is there with another length": ["addr-add", "cap-n1", "fd00:80::1/80"],
    "the host's own network": ["addr-add", "cap-n1", "10.77.0.77/25"],
    "a network around the host's own": ["addr-add", "cap-n1", "10.77.77.77/16"],
    "egress of an administrator's bridge": ["egress", "cap-adm", "full"],
    "egress of a bridge that is not there": ["egress", "cap-n9", "full"],
    "ITEMs that overlap in part": ["egress", "cap-n1", "list", "10.0.0.0/8,tcp,80-90", "10.0.0.0/8,tcp,85-100"],
}


@pytest.fixture(scope="module")
def crowded(host_binds):
    """What the refusals are tried on: one host for all, since none of them changes anything."""
    with hosts.Host.boot("net", users=("alice", "bob", "mallory"), binds=host_binds, lab=LAB, tied=True) as host:
        install(host)
        net = Net(host)
        make_surroundings(net)
        fill(net)
        yield net


def fill(net):
    net.helper("bridge-add", "cap-n1")
    net.helper("addr-add", "cap-n1", "10.80.0.1/24")
    net.helper("addr-add", "cap-n1", "fd00:80::1/64")
    net.helper("egress", "cap-n1", "list", "192.0.2.0/24")
    net.helper("tap-add", "cap-t1", "cap-n1", MAC, "--ip", "10.80.0.2")
    net.helper("tap-add", "cap-t2", "cap-n1", MAC2)
    net.helper("bridge-add", "capb-n1", user="bob")
    net.run("ip tuntap add cap-foreign mode tap user alice && ip link set cap-foreign master br0 && "
            "ip tuntap add cap-other mode tap user alice && ip link set cap-other master br0 alias 'capsul uid=1' && "
            "ip link add cap-adm type bridge && ip link set cap-adm alias 'the administrator' && "
            "ip link add up0 type veth peer name up1 && ip link set up1 up && ip link set up0 up master br0 && "
            "bridge fdb add 02:00:00:00:00:aa dev up0 master dynamic")


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_changes_nothing(crowded, what):
    crowded.refused(REFUSED, *REFUSALS[what])


def test_what_another_user_has_is_out_of_reach(crowded):
    for words in (["tap-del", "cap-t1"], ["bridge-del", "cap-n1"], ["tap-add", "cap-t1", "cap-n1", MAC]):
        crowded.refused(USAGE, *words, user="bob")
    crowded.refused(REFUSED, "tap-add", "capb-x", "cap-n1", "02:00:00:00:00:03", user="bob")
    crowded.refused(REFUSED, "egress", "capb-n1", "full", user="bob")
    crowded.refused(REFUSED, "addr-add", "capb-n1", "10.80.0.1/24", user="bob")
    assert crowded.list("bob") == ["bridge capb-n1 addresses=- egress=none isolated=yes"]
