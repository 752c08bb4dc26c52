"""A network with DHCP in a host, and VMs on it; for test_net_dhcp*.py.

Each VM here has a record and TAPs, as capsul makes them, and is never started: this process sends and hears for it.
"""

import contextlib

import pytest
from cable import Cable, await_forwarding, network_of
from conftest import allow_networks, install_capsul

import host as hosts

UNIT = "capsul-dhcp-lan.service"
GATEWAY = "10.80.7.1"


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    with hosts.Host.boot("dhcp", binds=host_binds, lab=lab, tied=True) as host:
        capsul = install_capsul(host)
        allow_networks(capsul)
        capsul.run("truncate --size 1M empty.raw && capsulctl image import empty empty.raw")
        yield capsul


@pytest.fixture(scope="module")
def lan(capsul):
    capsul.ctl("network", "create", "lan", "--subnet", "10.80.7.0/24", "--subnet6", "fd80:ca95:0:7::/64", "--dhcp",
               "--dns", "192.0.2.53", "--dns", "2001:db8::53")
    yield capsul
    capsul.ctl("network", "delete", "lan", "--yes", "--ignore-missing")


@contextlib.contextmanager
def guest_of(capsul, name, network="lan"):
    """The cable of a VM that is made for it."""
    capsul.ctl("vm", "create", name, "--image", "empty", "--disk", "2M", "--no-ssh-key", "--no-start", "--network", network)
    nic = capsul.json("vm", "show", name)["spec"]["nics"][0]
    capsul.run(f".local/share/capsul/vms/{name}/net-setup.sh")
    guest = Cable(nic["tap"], nic["mac"], nic["ip"], nic.get("ip6", ""))
    with network_of(capsul.host):
        guest.plug_in()
    await_forwarding(capsul.host, guest)
    try:
        yield guest
    finally:
        guest.unplug()
        capsul.run(f".local/share/capsul/vms/{name}/net-teardown.sh")
        capsul.ctl("vm", "delete", name, "--yes")


@pytest.fixture(scope="module")
def web(lan):
    with guest_of(lan, "web") as guest:
        yield guest


def main_pid(capsul):
    return capsul.run(f"systemctl --user show --value --property=MainPID {UNIT}").stdout.strip()
