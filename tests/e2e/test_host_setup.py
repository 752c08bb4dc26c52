"""examples/host-setup.sh, the administrator's one-time part of networks: what it refuses, and that to run it again does no harm."""

import pytest
from conftest import EXAMPLES_IN_HOST, STAGE_IN_HOST, install_stage

import host as hosts

POLICY = "/etc/capsul/net.policy"
SYSCTLS = "/etc/sysctl.d/60-capsul.conf"
HELPER = "/usr/libexec/capsul/capsul-net"


class Administrator:
    def __init__(self, host):
        self.host = host
        self.uid = host.run("id -u", user="alice").stdout.strip()

    def set_up(self, *options, **more):
        return self.host.run([EXAMPLES_IN_HOST / "host-setup.sh", "--user", "alice", *options], **more)

    def refused(self, *options):
        done = self.set_up(*options, check=False)
        assert done.returncode == 1 and done.stdout == "", done
        return done.stderr

    def policy(self):
        return self.host.run(["cat", POLICY]).stdout

    def write_policy(self, text):
        self.host.run(f"mkdir -p /etc/capsul && cat >{POLICY}", input=text)

    def of_alice(self):
        return [line.split()[1:] for line in self.policy().splitlines() if line.split()[0] == self.uid]

    def subnets(self):
        return [line[2] for line in self.of_alice() if line[0] == "subnet"]


@pytest.fixture(scope="module")
def machine(lab, host_binds):
    with hosts.Host.boot("setup", users=("alice",), binds=host_binds, lab=lab, tied=True) as host:
        install_stage(host)
        host.run("ip link add br0 type bridge && ip link add br1 type bridge")
        yield host


@pytest.fixture
def administrator(machine):
    machine.run(f"rm -f {POLICY} {SYSCTLS}")
    return Administrator(machine)


def test_a_new_user_gets_all_that_nat_networks_need(administrator):
    administrator.set_up()
    assert administrator.of_alice() == [
        ["prefix", "cap-"], ["bridge", "own", "64"], ["tap", "own", "1000"], ["subnet", "own", "10.80.0.0/16"],
        ["subnet", "own", "fd80:ca95::/48"], ["nat", "own"]]
    again = administrator.set_up().stdout
    assert "write" not in again and "setcap" not in again


def test_a_typing_error_leaves_the_policy_as_it_was(administrator):
    administrator.set_up()
    before = administrator.policy()
    for wrong in (["--subnet", "10.80.0.1/16"], ["--subnet", "10.81.0.0/16 # lab"], ["--prefix", "vm-"],
                  ["--bridge", "br0", "--guest-ips", "203.0.113.16/99"], ["--bridge", "cap-x"]):
        assert "stays as it is: FILE, line" in administrator.refused(*wrong), wrong
        assert administrator.policy() == before
    administrator.write_policy(before + "broken\n")
    assert f"mend {POLICY} first: FILE, line 7" in administrator.refused()


def test_lines_that_no_option_is_about_stay(administrator):
    changed = (f"# by hand\n{administrator.uid}\tprefix\tcap-\n{administrator.uid} bridge own 3\n"
               f"{administrator.uid} subnet own 172.20.0.0/16\n4242 prefix capx-\n"
               f"{administrator.uid} tap br0 7\n{administrator.uid} ip br0 203.0.113.16/28\n")
    administrator.write_policy(changed)
    for options in ([], ["--bridge", "br0"], ["--bridge", "br0", "--guest-ips", "203.0.113.16/28"], ["--subnet", "172.20.0.0/16"]):
        administrator.set_up(*options)
        assert administrator.policy() == changed, options


def test_an_option_replaces_what_it_is_about(administrator):
    administrator.set_up("--bridge", "br0", "--guest-ips", "203.0.113.16/28")
    administrator.set_up("--bridge", "br1", "--guest-ips", "198.51.100.0/28")
    administrator.set_up("--bridge", "br0", "--guest-ips", "203.0.113.32/28")
    lines = administrator.of_alice()
    assert sorted(line[1:] for line in lines if line[0] in ("tap", "ip")) == [
        ["br0", "1000"], ["br0", "203.0.113.32/28"], ["br1", "1000"], ["br1", "198.51.100.0/28"], ["own", "1000"]]


def test_subnets_are_added_to_those_that_there_are(administrator):
    """Else a grant for a VPN would take away that of the nat networks."""
    administrator.set_up()
    mesh = ("--subnet", "10.90.0.0/16", "--subnet6", "fd90:1::/64")
    administrator.set_up(*mesh, "--subnet", "172.20.0.0/16", "--subnet", "172.20.0.0/16")
    wanted = ["10.80.0.0/16", "fd80:ca95::/48", "10.90.0.0/16", "172.20.0.0/16", "fd90:1::/64"]
    assert administrator.subnets() == wanted
    assert "write" not in administrator.set_up(*mesh).stdout
    assert administrator.subnets() == wanted


def test_a_new_user_gets_the_subnets_that_were_asked_for_instead_of_the_usual(administrator):
    administrator.set_up("--subnet", "10.90.0.0/16", "--subnet", "172.20.0.0/16")
    assert administrator.subnets() == ["10.90.0.0/16", "172.20.0.0/16", "fd80:ca95::/48"]


@pytest.mark.parametrize("theirs", ["4242\tprefix\tcap-\n", "4242 prefix capa\n4243 prefix cap-\n"])
def test_no_prefix_is_the_beginning_of_anothers(administrator, theirs):
    administrator.write_policy(theirs)
    administrator.set_up()
    mine = administrator.of_alice()[0][1]
    assert mine == ("capa-" if "capa" not in theirs else "capb-")


def test_the_helper_has_its_one_capability_again_however_it_lost_it(administrator):
    for damage in (f"setcap -r {HELPER}", f"setcap cap_net_admin,cap_net_raw=ep {HELPER}", f"chown root:root {HELPER}"):
        administrator.host.run(f"{damage} && true")
        administrator.set_up()
        assert administrator.host.run(["getcap", HELPER]).stdout.split()[1:] == ["cap_net_admin=ep"]
        assert administrator.host.run(["stat", "-c", "%U:%G:%a", HELPER]).stdout == "root:capsul-net:750\n"


def test_only_what_takes_router_advertisements_goes_on_doing_so(administrator):
    administrator.host.run("""
        sysctl -q net.ipv6.conf.all.forwarding=0
        for name in takes.100 refuses routes; do ip link show $name >/dev/null 2>&1 || ip link add $name type bridge; done
        sysctl -q net/ipv6/conf/takes.100/accept_ra=1 net/ipv6/conf/refuses/accept_ra=0
        sysctl -q net/ipv6/conf/routes/accept_ra=1 net/ipv6/conf/routes/forwarding=1""")
    administrator.set_up()

    def accepted(name):
        return administrator.host.run(["cat", f"/proc/sys/net/ipv6/conf/{name}/accept_ra"]).stdout.strip()

    assert [accepted(name) for name in ("takes.100", "refuses", "routes")] == ["2", "0", "1"]
    # An interface that is away for a while is not forgotten, nor in the way.
    administrator.host.run("ip link delete takes.100")
    administrator.set_up()
    assert "net/ipv6/conf/takes.100/accept_ra" in administrator.host.run(["cat", SYSCTLS]).stdout
    assert administrator.host.run("sysctl -n net.ipv6.conf.all.forwarding").stdout == "1\n"


def test_a_filter_that_is_loaded_is_loaded_again(administrator):
    administrator.set_up()
    administrator.host.run("nft flush table inet capsul")
    administrator.set_up()
    assert "hook forward" in administrator.host.run("nft list table inet capsul").stdout


def test_a_bridge_in_place_of_a_card_has_its_address(administrator):
    mac = administrator.host.run(["cat", "/sys/class/net/eth0/address"]).stdout.strip()
    administrator.host.run("systemctl start systemd-networkd.service")
    said = administrator.set_up("--bridge", "br9", "--uplink", "eth0", "--dry-run").stdout
    administrator.host.run("systemctl stop systemd-networkd.service systemd-networkd.socket")
    assert f"Kind=bridge\nMACAddress={mac}\n" in said and "Bridge=br9" in said
    assert "there is no interface eth7" in administrator.refused("--bridge", "br9", "--uplink", "eth7", "--dry-run")


def test_a_card_with_a_stanza_of_its_own_is_not_made_a_port(administrator):
    administrator.host.run("mkdir -p /etc/network/interfaces.d && ln -sf /bin/true /usr/local/bin/ifup && "
                           "cat >/etc/network/interfaces",
                           input="auto lo eth0\niface eth0 inet static\n    address 192.0.2.7/24\n    gateway 192.0.2.1\n")
    said = administrator.refused("--bridge", "br9", "--uplink", "eth0")
    assert "iface eth0 inet manual\n" in said
    assert "iface br9 inet static\n    pre-up ip link add br9 address" in said and "    gateway 192.0.2.1\n" in said
    assert administrator.host.run(["ls", "/etc/network/interfaces.d"]).stdout == ""
    assert administrator.host.run(["test", "-e", POLICY], check=False).returncode == 1

    administrator.host.run("sed -i 's/static/manual/; /address\\|gateway/d' /etc/network/interfaces")
    administrator.set_up("--bridge", "br9", "--uplink", "eth0")
    made = administrator.host.run(["cat", "/etc/network/interfaces.d/capsul-br9"]).stdout
    assert "iface br9 inet dhcp\n" in made and "pre-up ip link set eth0 master br9 up\n" in made


def test_it_is_installed_and_tells_networkmanager_where_that_looks(administrator):
    administrator.host.run(f"mkdir -p /etc/NetworkManager && cp -rT {STAGE_IN_HOST}/usr /usr/local && "
                           "/usr/local/share/capsul/host-setup.sh --user alice")
    assert administrator.host.run(["getcap", HELPER.replace("/usr/", "/usr/local/")]).stdout.split()[1:] == ["cap_net_admin=ep"]
    assert "interface-name:cap*" in administrator.host.run("cat /etc/NetworkManager/conf.d/70-capsul.conf").stdout
