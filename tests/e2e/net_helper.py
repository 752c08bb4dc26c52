"""A host with capsul-net, users of it, and bridges of the administrator's; for test_net_helper*.py."""

import json
import re
import time

from conftest import install_stage

HELPER = "/usr/libexec/capsul/capsul-net"
POLICY = "/etc/capsul/net.policy"

DONE, REFUSED, USAGE, UNSAFE, KERNEL = range(5)
MAC = "02:00:00:00:00:01"
MAC2 = "02:00:00:00:00:02"


class Net:
    """A host with capsul-net and two users of it, and with bridges of the administrator's."""

    def __init__(self, host):
        self.host = host
        self.uid = {user: host.run("id -u", user).stdout.strip() for user in ("alice", "bob", "mallory")}
        self.policy = "".join(f"{self.uid[user]} {line}\n" for user, line in [
            ("alice", "prefix cap-"), ("alice", "bridge own 4"), ("alice", "tap own 8"), ("alice", "tap br0 8"),
            ("alice", "tap card0 8"), ("alice", "tap br0.5 8"), ("alice", "tap gone 8"),
            ("alice", "ip br0 203.0.113.16/28"), ("alice", "ip br0 2001:db8::/64"),
            ("alice", "subnet own 10.80.0.0/16"), ("alice", "subnet own fd00:80::/32"), ("alice", "subnet own 10.77.0.0/16"),
            ("alice", "nat own"),
            ("bob", "prefix capb-"), ("bob", "bridge own 2"), ("bob", "tap br0 2")])

    def run(self, command, user=None, **options):
        return self.host.run(command, user=user, **options)

    def helper(self, *words, user="alice", check=DONE, **options):
        done = self.run([HELPER, *words], user=user, check=False, **options)
        assert done.returncode == check, (words, done.returncode, done.stdout, done.stderr)
        return done

    def refused(self, code, *words, **options):
        """Exactly one line says why, and nothing in the kernel is different."""
        before = self.snapshot()
        done = self.helper(*words, check=code, **options)
        assert done.stdout == "" and re.fullmatch(r"capsul-net: [^\n]+\n", done.stderr), done
        self.require_same(before)
        return done.stderr

    def require_same(self, before):
        """Says what is different, not all there is."""
        different = set(before.split("},{")) ^ set(self.snapshot().split("},{"))
        assert not different, different

    def snapshot(self):
        """All of the kernel's network, byte for byte; but bridges' timers, which always run, and other tests' hosts, heard on the wire."""
        self._settle()
        said = self.run("ip -json -details link; ip -json addr; ip -json route; ip -json -6 route; ip -json neigh; "
                        "bridge -json fdb; nft -j list ruleset").stdout
        said = re.sub(r'"[a-z_]*timer":[ 0-9.]*', "", said)
        return re.sub(r'\{"dst":"[^"]*","dev":"eth0","(lladdr|state)"[^}]*\},?', "", said).replace(",]", "]")

    def _settle(self):
        """The kernel finds out up to a second later that a TAP, and then its bridge, has no carrier."""
        deadline = time.monotonic() + 60
        while not self._is_settled():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _is_settled(self):
        links = json.loads(self.run("ip -json -details link").stdout)
        up = {link["master"] for link in links if link["operstate"] == "UP" and "master" in link}
        for link in links:
            kind = link.get("linkinfo", {}).get("info_kind")
            wrong_bridge = kind == "bridge" and (link["operstate"] == "UP") != (link["ifname"] in up)
            if wrong_bridge or kind == "tun" and link["operstate"] == "UNKNOWN":
                return False
        return "tentative" not in self.run("ip addr").stdout

    def link(self, name):
        done = self.run(["ip", "-json", "-details", "link", "show", name], check=False)
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def names(self, beginning="cap"):
        found = json.loads(self.run("ip -json link").stdout)
        return sorted(link["ifname"] for link in found if link["ifname"].startswith(beginning))

    def user_of(self, tap):
        """Who may open it, as a number."""
        user = self.link(tap)["linkinfo"]["info_data"]["user"]
        return self.uid.get(user, str(user))

    def fixed_macs(self, name):
        said = self.run(["bridge", "-json", "fdb", "show", "dev", name]).stdout
        return [entry["mac"] for entry in json.loads(said) if entry.get("state") == "static"]

    def elements(self):
        """The elements of every set that has some, as nft writes them."""
        result = {}
        for item in json.loads(self.run("nft -j list ruleset").stdout)["nftables"]:
            if item.get("set", {}).get("elem"):
                result[item["set"]["name"]] = sorted(map(written, item["set"]["elem"]))
        return result

    def write_policy(self, text, mode="0644"):
        self.run(f"cat > {POLICY} && chmod {mode} {POLICY}", input=text)

    def list(self, user="alice"):
        return self.helper("list", user=user).stdout.splitlines()


def written(element):
    if isinstance(element, dict) and "concat" in element:
        return " . ".join(written(part) for part in element["concat"])
    if isinstance(element, dict) and "prefix" in element:
        return f"{element['prefix']['addr']}/{element['prefix']['len']}"
    if isinstance(element, dict) and "range" in element:
        return "-".join(str(end) for end in element["range"])
    return str(element)


def make_surroundings(net):
    """br0 and br1 of the administrator's, cards that are no bridges, and the tables."""
    net.write_policy(net.policy)
    net.run("ip link add br0 type bridge && ip link set br0 address 02:00:00:00:ff:00 up && "
            "ip link add br1 type bridge && ip link add link br0 name br0.5 type macvlan && "
            "ip link add card0 type ifb && nft -f /usr/share/capsul/capsul.nft")


def remove_all(net):
    for name in [name for name in net.names("") if name not in ("lo", "eth0")]:
        net.run(["ip", "link", "del", name], check=False)
    net.run("nft flush ruleset")


def install(host):
    install_stage(host)
    host.run("groupadd --system capsul-net && usermod -aG capsul-net alice && "
             "usermod -aG capsul-net bob && install -d /etc/capsul && "
             f"chown root:capsul-net {HELPER} && chmod 0750 {HELPER} && setcap cap_net_admin=ep {HELPER}")
    host.run("systemctl restart user@$(id -u alice)")  # or it would not be in the group
