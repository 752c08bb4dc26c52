"""Bad input about networks and addresses: a clear error, the right code, and afterwards nothing more than before."""

import pytest
from conftest import allow_networks, install_capsul

import host as hosts

VM = ["vm", "create", "new", "--image", "tiny", "--memory", "64M", "--no-ssh-key", "--no-start", "--network"]
NETWORK = ["network", "create", "new", "--no-start"]
PUBLIC = [*NETWORK, "--bridge", "br0", "--subnet", "203.0.113.0/24"]


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    """Its bridge br0 has 203.0.113.17; guests there may have .16 to .31. It leads to 10.80.9.0/24 by a card."""
    with hosts.Host.boot("badnet", lab=lab, binds=host_binds, tied=True) as booted:
        booted.run("for bridge in br0 br1; do ip link add $bridge type bridge && ip link set $bridge up; done && "
                   "ip address add 203.0.113.17/24 dev br0 && "
                   "ip link add card0 type bridge && ip address add 10.80.9.1/24 dev card0 && ip link set card0 up")
        one = install_capsul(booted)
        allow_networks(one, "--bridge", "br0", "--guest-ips", "203.0.113.16/28")
        one.run("qemu-img create -q -f qcow2 tiny.qcow2 64M")
        one.ctl("image", "import", "tiny", "tiny.qcow2")
        one.ctl("network", "create", "lan", "--subnet", "10.80.7.0/24", "--no-start")
        one.ctl("network", "create", "pub", "--bridge", "br0", "--subnet", "203.0.113.0/24", "--range",
                "203.0.113.16-203.0.113.23", "--no-start")
        one.ctl("vm", "create", "old", "--image", "tiny", "--memory", "64M", "--no-ssh-key", "--no-start",
                "--network", "lan,ip=10.80.7.9,mac=02:00:00:00:00:09", "--network", "pub")
        one.ctl("network", "reserve", "lan", "10.80.7.10", "--for", "web")
        yield one


def present(capsul):
    return capsul.traces(), capsul.json("network", "list"), capsul.run("ip -o link").stdout


@pytest.mark.parametrize("argv, code, said", [
    # names
    (["network", "create", ""], 2, "name"),
    (["network", "create", "Lan"], 2, "name"),
    (["network", "create", "../lan"], 2, "name"),
    (["network", "create", "user"], 2, "name"),
    (["network", "create", "lan"], 4, "exists"),
    (["network", "show", "nothing"], 3, "nothing"),
    (["network", "start", "nothing"], 3, "nothing"),
    (["network", "delete", "nothing", "--yes"], 3, "nothing"),
    # subnets
    ([*NETWORK, "--subnet", "10.80.7.128/25"], 4, "overlaps with the network lan"),
    ([*NETWORK, "--subnet", "10.80.9.0/25"], 4, "a route of this host"),
    ([*NETWORK, "--subnet", "10.80.8.1/24"], 2, "host bits"),
    ([*NETWORK, "--subnet", "10.80.8.1/32"], 2, "no room"),
    ([*NETWORK, "--subnet", "192.0.2.0/24"], 7, "not among the subnets"),
    # ranges and gateways
    ([*NETWORK, "--subnet", "10.80.8.0/24", "--range", "10.80.9.1-10.80.9.9"], 2, "range"),
    ([*NETWORK, "--subnet", "10.80.8.0/24", "--range", "10.80.8.0-10.80.8.9"], 2, "range"),
    ([*NETWORK, "--subnet", "10.80.8.0/24", "--range", "10.80.8.9-10.80.8.255"], 2, "range"),
    ([*NETWORK, "--subnet", "10.80.8.0/24", "--range", "10.80.8.9-10.80.8.3"], 2, "range"),
    ([*NETWORK, "--subnet", "10.80.8.0/24", "--gateway", "10.80.7.1"], 2, "gateway"),
    ([*NETWORK, "--subnet", "10.80.8.0/24", "--gateway", "10.80.8.255"], 2, "gateway"),
    # egress
    ([*NETWORK, "--egress", "all"], 2, "egress"),
    ([*NETWORK, "--egress", "10.0.0.0/8,10.1.0.0/16"], 2, "overlaps with 10.0.0.0/8"),
    (["network", "set", "lan", "--egress", "192.0.2.7,192.0.2.0/24:80/tcp"], 2, "overlaps with 192.0.2.7/32"),
    (["network", "set", "lan", "--egress", "[::1]]"], 2, "bracket"),
    # bridges of the administrator's
    ([*NETWORK, "--bridge", "br9"], 3, "does not exist"),
    ([*NETWORK, "--bridge", "lo"], 3, "not a bridge"),
    ([*NETWORK, "--bridge", "br1"], 7, "may not be plugged into br1"),
    ([*NETWORK, "--bridge", "br0"], 7, "ip br0 0.0.0.0/0"),
    ([*NETWORK, "--bridge", "br0", "--subnet", "198.51.100.0/24"], 7, "is allowed"),
    ([*PUBLIC, "--range", "203.0.113.24-203.0.113.32"], 7, "allowed: 203.0.113.16/28"),
    ([*PUBLIC, "--range", "203.0.113.23-203.0.113.31"], 4, "of the network pub"),
    (PUBLIC, 4, "of the network pub"),
    # addresses of VMs
    ([*VM, "nothing"], 3, "nothing"),
    ([*VM, "lan,ip=10.80.7.1"], 2, "is its gateway"),
    ([*VM, "lan,ip=10.80.7.0"], 2, "not an address of a host"),
    ([*VM, "lan,ip=10.80.7.255"], 2, "not an address of a host"),
    ([*VM, "lan,ip=10.80.8.2"], 2, "not an address of a host"),
    ([*VM, "lan,ip=fd80::2"], 2, "no IPv6 subnet"),
    ([*VM, "lan,ip=10.80.7.9"], 4, "belongs to the VM old"),
    ([*VM, "lan,ip=10.80.7.10"], 4, "is kept for the VM web"),
    ([*VM, "lan,ip=10.80.7.20", "--network", "lan,ip=10.80.7.20"], 4, "on another NIC"),
    ([*VM, "lan,mac=02:00:00:00:00:09"], 4, "belongs to the VM old"),
    ([*VM, "lan,mac=01:00:00:00:00:09"], 2, "locally administered"),
    ([*VM, "pub,ip=203.0.113.16"], 4, "belongs to the VM old"),
    ([*VM, "pub,ip=203.0.113.17"], 4, "this host's own"),
    ([*VM, "pub,ip=203.0.113.32"], 7, "not among the addresses that are allowed"),
    # reservations
    (["network", "reserve", "lan", "10.80.7.1", "--for", "web"], 2, "is its gateway"),
    (["network", "reserve", "lan", "10.80.7.9", "--for", "web"], 4, "belongs to the VM old"),
    (["network", "reserve", "lan", "10.80.7.10", "--for", "db"], 4, "is kept for the VM web"),
    (["network", "reserve", "pub", "203.0.113.17", "--for", "web"], 4, "this host's own"),
    (["network", "reserve", "pub", "203.0.113.32", "--for", "web"], 7, "not among the addresses that are allowed"),
    (["network", "release", "lan", "10.80.7.11"], 3, "is not kept"),
    (["network", "delete", "lan", "--yes"], 4, "VMs have a NIC on it: old"),
])
def test_a_bad_command_is_refused(capsul, argv, code, said):
    before = present(capsul)
    done = capsul.ctl(*argv, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("capsulctl: ") and done.stdout == ""
    assert present(capsul) == before


@pytest.fixture
def broken(capsul):
    """The VM's record cannot be read."""
    record = "~/.local/share/capsul/vms/old/vm.toml"
    capsul.run(f"cp {record} whole && echo broken >{record}")
    yield
    capsul.run(f"cp whole {record} && rm whole")


@pytest.mark.parametrize("argv, said", [
    ([*VM, "lan,ip=10.80.7.9"], "belongs to the VM old"),
    ([*VM, "lan,mac=02:00:00:00:00:09"], "belongs to the VM old"),
    (["network", "delete", "lan", "--yes"], "VMs have a NIC on it: old"),
])
def test_what_a_vm_with_a_broken_record_has_stays_its_own(capsul, broken, argv, said):
    before = present(capsul)
    done = capsul.ctl(*argv, check=False)
    assert done.returncode == 4 and said in done.stderr, done.stderr
    assert present(capsul) == before
