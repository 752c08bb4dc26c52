"""A real guest that cloud-init tells nothing of its network: it gets addresses and routes by DHCP and router advertisements."""

import json

import pytest
from conftest import BOOT, allow_networks, has_its_addresses, install_capsul, wait_until

import host as hosts

# What any installed system does by itself; the image leaves it to cloud-init.
USER_DATA = """\
#cloud-config
bootcmd:
  - printf '[Match]\\nType=ether\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/10-dhcp.network
  - networkctl reload
"""


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    with hosts.Host.boot("dhcpguest", binds=host_binds, lab=lab, tied=True) as host:
        capsul = install_capsul(host)
        allow_networks(capsul)
        yield capsul


@pytest.fixture(scope="module")
def guest(capsul, debian_image):
    image = debian_image
    capsul.ctl("image", "import", "plain", image.qcow2, "--kernel", image.vmlinuz, "--initrd", image.initrd,
               "--cmdline", image.cmdline + " network-config=disabled", timeout=300)
    capsul.ctl("network", "create", "lan", "--subnet", "10.80.7.0/24", "--subnet6", "fd80:ca95:0:7::/64", "--dhcp")
    capsul.run("cat >user-data", input=USER_DATA)
    capsul.ctl("vm", "create", "web", "--image", "plain", "--memory", "512M", "--no-ssh-key", "--user-data", "user-data",
               "--network", "lan", timeout=120)
    capsul.ctl("vm", "wait", "web", "--for", "agent", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
    wait_until(lambda: has_its_addresses(capsul, "web"), BOOT)

    def run(*words, **options):
        return capsul.ctl("exec", "web", "--", *words, timeout=120, **options).stdout

    return run


def routes(guest, family):
    return [route for route in json.loads(guest("ip", "-json", family, "route")) if route["dst"] == "default"]


def test_nothing_but_dhcp_told_it(guest):
    written = guest("find", "/etc/netplan", "/run/netplan", "/run/systemd/network", "-type", "f", check=False)
    assert written == "", written


def test_its_addresses_are_those_that_capsul_gave(guest):
    addresses = {address["local"]: address for link in json.loads(guest("ip", "-json", "addr")) for address in link["addr_info"]
                 if address["scope"] == "global"}
    assert set(addresses) == {"10.80.7.2", "fd80:ca95:0:7::2"}
    assert addresses["10.80.7.2"]["prefixlen"] == 24


def test_it_has_a_way_out_of_each_family(guest, capsul):
    four, six = routes(guest, "-4"), routes(guest, "-6")
    assert [(route["gateway"], route["protocol"]) for route in four] == [("10.80.7.1", "dhcp")]
    bridge, = json.loads(capsul.run("ip -json addr show dev cap-lan").stdout)
    own, = (address["local"] for address in bridge["addr_info"] if address["scope"] == "link")
    assert [(route["gateway"], route["protocol"]) for route in six] == [(own, "ra")]


@pytest.mark.parametrize("source", ["10.80.7.2", "fd80:ca95:0:7::2"], ids=["IPv4", "IPv6"])
def test_it_reaches_what_is_outside_its_network(guest, capsul, source):
    to = capsul.host.address6() if ":" in source else capsul.host.address()
    wait_until(lambda: "1 received" in guest("ping", "-c1", "-W5", "-I", source, to, check=False))
