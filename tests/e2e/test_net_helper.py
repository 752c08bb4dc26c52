"""capsul-net in a booted host: what it makes, how it guards itself, and that it is exact when it is called many times at once or
killed. What it refuses is in test_net_helper_refusals.py."""

import json
import os
from pathlib import Path

import pytest
from conftest import LAB, hosts
from net_helper import HELPER, KERNEL, MAC, MAC2, POLICY, REFUSED, UNSAFE, Net, install, make_surroundings, remove_all

KILLS = int(os.environ.get("CAPSUL_TEST_KILLS", "200"))
KILLER = Path(__file__).with_name("net_helper_kills.py")


@pytest.fixture(scope="module")
def booted(host_binds):
    with hosts.Host.boot("net", users=("alice", "bob", "mallory"), binds=host_binds, lab=LAB, tied=True) as host:
        install(host)
        yield Net(host)


@pytest.fixture
def net(booted):
    """Fresh for each test."""
    make_surroundings(booted)
    yield booted
    remove_all(booted)


# ------------------------------------------------------------------------------------------------------ what it makes


def test_a_tap_is_made_safe(net):
    net.helper("bridge-add", "cap-n1")
    net.helper("tap-add", "cap-t1", "cap-n1", MAC, "--isolated", "--ip", "10.80.0.2", "--ip", "fd00:80::2")
    tap = net.link("cap-t1")
    port = tap["linkinfo"]["info_slave_data"]
    assert net.user_of("cap-t1") == net.uid["alice"] and tap["linkinfo"]["info_data"]["persist"]
    assert tap["ifalias"] == f"capsul uid={net.uid['alice']}" and tap["master"] == "cap-n1" and "UP" in tap["flags"]
    assert tap["address"] == "fe:00:00:00:00:01" and tap["inet6_addr_gen_mode"] == "none"
    assert port["locked"] and port["isolated"] and port["guard"] and port["multicast_router"] == 0
    assert not port["learning"] and not port["flood"] and not port["hairpin"]
    assert net.fixed_macs("cap-t1") == [MAC]
    assert json.loads(net.run("bridge -json fdb get 02:00:00:00:00:01 br cap-n1").stdout)[0]["flags"] == ["sticky"]
    assert net.elements() == {
        "known4": [f"cap-t1 . {MAC} . 10.80.0.2"],
        "known6": [f"cap-t1 . {MAC} . fd00:80::2", f"cap-t1 . {MAC} . fe80::ff:fe00:1"]}


def test_only_its_user_opens_a_tap(net):
    net.helper("tap-add", "cap-t1", "br0", MAC)
    # As QEMU does: IFF_TAP, IFF_NO_PI, IFF_VNET_HDR.
    attach = ["python3", "-c", "import fcntl, os, struct; fcntl.ioctl(os.open('/dev/net/tun', os.O_RDWR), 0x400454ca, "
                               "struct.pack('16sH22x', b'cap-t1', 0x5002))"]
    net.run(attach, user="alice")
    assert "not permitted" in net.run(attach, user="bob", check=False).stderr


def test_a_bridge_is_made_and_has_addresses(net):
    net.helper("bridge-add", "cap-n1")
    bridge = net.link("cap-n1")
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 0 and bridge["linkinfo"]["info_data"]["mcast_snooping"] == 0
    assert bridge["address"].startswith("02:") and "UP" in bridge["flags"]
    for _ in range(2):
        net.helper("bridge-add", "cap-n1")
        net.helper("addr-add", "cap-n1", "10.80.0.1/24")
        net.helper("addr-add", "cap-n1", "fd00:80::1/64")
    assert net.link("cap-n1")["address"] == bridge["address"]
    assert net.list() == ["bridge cap-n1 addresses=10.80.0.1/24,fd00:80::1/64 egress=none isolated=yes"]
    said = net.run("ip -json addr show cap-n1").stdout
    assert [one["local"] for one in json.loads(said)[0]["addr_info"] if one.get("nodad")] == ["fd00:80::1"]


# Opens TAPs, sends frames, each by the TAP that is named first, and prints for each which of the others got it.
EXCHANGE = """
import fcntl, json, os, struct, sys, time
names, frames = json.load(sys.stdin)
taps = {}
for name in names:
    taps[name] = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(taps[name], 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1002))
while any(open(f"/sys/class/net/{name}/brport/state").read() != "3\\n" for name in names):
    time.sleep(0.02)
for number, (name, to, sender) in enumerate(frames):
    addresses = bytes.fromhex((to + sender).replace(":", ""))
    os.write(taps[name], addresses + bytes([0x88, 0xb5, number]) + bytes(46))
time.sleep(0.2)
got = [[] for _ in frames]
for name, tap in taps.items():
    while True:
        try:
            frame = os.read(tap, 2000)
        except BlockingIOError:
            break
        if frame[12:14] == bytes([0x88, 0xb5]):
            got[frame[14]].append(name)
print(json.dumps(got))
"""


def exchange(net, names, frames):
    return json.loads(net.run(["python3", "-c", EXCHANGE], user="alice", input=json.dumps([names, frames])).stdout)


def test_frames_go_only_where_they_should(net):
    everybody, nobody, mac3 = "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:99", "02:00:00:00:00:03"
    net.helper("bridge-add", "cap-n1")
    net.helper("tap-add", "cap-t1", "cap-n1", MAC, "--isolated")
    net.helper("tap-add", "cap-t2", "cap-n1", MAC2, "--isolated")
    net.helper("tap-add", "cap-t3", "cap-n1", mac3)
    net.helper("trunk-add", "cap-v1", "cap-n1")
    frames = [
        (["cap-t1", everybody, MAC], ["cap-t3", "cap-v1"]),  # the isolated do not see each other
        (["cap-t3", everybody, mac3], ["cap-t1", "cap-t2", "cap-v1"]),
        (["cap-t1", everybody, nobody], []),  # another's address as the sender: dropped
        (["cap-t1", everybody, mac3], []),
        (["cap-t1", everybody, "fe:00:00:00:00:01"], []),
        (["cap-t3", MAC, mac3], ["cap-t1"]),
        (["cap-t3", nobody, mac3], ["cap-v1"]),  # what is for somebody unknown goes to no guest
        (["cap-v1", everybody, MAC], ["cap-t1", "cap-t2", "cap-t3"]),  # from behind the trunk, as if it were the first
        (["cap-t3", MAC, mac3], ["cap-t1"]),  # which has not lost its address by that
        (["cap-t1", everybody, MAC], ["cap-t3", "cap-v1"]),
    ]
    net.run("nft flush ruleset")  # these frames are no IP
    got = exchange(net, ["cap-t1", "cap-t2", "cap-t3", "cap-v1"], [frame for frame, _ in frames])
    assert got == [receivers for _, receivers in frames]


def test_a_tap_whose_bridge_was_made_anew_is_plugged_in_again(net):
    def picture():
        tap = net.link("cap-t1")
        return (tap["ifindex"], tap["master"], "UP" in tap["flags"], tap["linkinfo"]["info_slave_data"]["locked"],
                tap["linkinfo"]["info_slave_data"]["learning"], tap["linkinfo"]["info_slave_data"]["isolated"],
                net.fixed_macs("cap-t1"), net.elements())

    words = ["tap-add", "cap-t1", "cap-n1", MAC, "--ip", "10.80.0.2", "--isolated"]
    net.helper("bridge-add", "cap-n1")
    net.helper(*words)
    before = picture()
    net.run("ip link del cap-n1")
    net.helper("bridge-add", "cap-n1")
    net.helper(*words)
    assert picture() == before


def test_a_tap_that_is_plugged_in_again_counts(net):
    net.helper("bridge-add", "cap-n1")
    net.helper("tap-add", "cap-t1", "cap-n1", MAC)
    net.run("ip link del cap-n1")
    net.helper("bridge-add", "cap-n1")
    for i in range(8):
        net.helper("tap-add", f"cap-u{i}", "cap-n1", f"02:00:00:00:03:{i:02x}")
    assert "allows 8 TAPs" in net.refused(REFUSED, "tap-add", "cap-t1", "cap-n1", MAC)


def test_egress_replaces_what_was(net):
    net.helper("bridge-add", "cap-n1")
    for words, elements, told in [
            (["full"], {"full": ["cap-n1"], "inside": ["cap-n1 . cap-n1"]}, "egress=full isolated=no"),
            (["--isolated", "dns-icmp"], {"dns_icmp": ["cap-n1"]}, "egress=dns-icmp isolated=yes"),
            (["list", "--isolated", "192.0.2.0/24,tcp,443", "10.0.0.0/8,udp,1000-2000", "198.51.100.7/32", "2001:db8::/32,tcp"],
             {"allow4": ["cap-n1 . 10.0.0.0/8 . udp . 1000-2000", "cap-n1 . 192.0.2.0/24 . tcp . 443",
                         "cap-n1 . 198.51.100.7 . 0-255 . 0-65535"],
              "allow6": ["cap-n1 . 2001:db8::/32 . tcp . 0-65535"]}, "egress=list isolated=yes"),
            # Ranges of which one is in another, in an order that the kernel would not take.
            (["list", "--isolated", "10.0.0.0/16", "10.0.0.0/8,tcp,443", "10.0.9.0/24,udp"],
             {"allow4": ["cap-n1 . 10.0.0.0/16 . 0-255 . 0-65535", "cap-n1 . 10.0.0.0/8 . tcp . 443"]},
             "egress=list isolated=yes"),
            (["none", "--isolated"], {}, "egress=none isolated=yes")]:
        for _ in range(2):
            net.helper("egress", "cap-n1", *words)
        assert net.elements() == elements
        assert net.list()[0].endswith(told)


def test_as_many_items_as_there_may_be(net):
    net.helper("bridge-add", "cap-n1")
    items = [f"10.{i}.0.0/16,tcp,{i + 1}" for i in range(64)] + [f"2001:db8:{i:x}::/48,udp,{i + 1}-{i + 9}" for i in range(64)]
    for _ in range(2):
        net.helper("egress", "cap-n1", "list", *items)
    assert len(net.elements()["allow4"]) == len(net.elements()["allow6"]) == 64


def test_a_trunk_learns(net):
    net.helper("bridge-add", "cap-n1")
    for _ in range(2):
        net.helper("trunk-add", "cap-v1", "cap-n1")
    port = net.link("cap-v1")["linkinfo"]["info_slave_data"]
    assert port["learning"] and port["flood"] and not port["locked"] and not port["isolated"]
    assert net.elements() == {"trunks": ["cap-v1"]}
    assert net.list()[1] == "trunk cap-v1 bridge=cap-n1 isolated=no learning=yes"


def test_a_trunk_may_be_one_that_does_not_learn(net):
    net.helper("bridge-add", "cap-n1")
    net.helper("trunk-add", "cap-v1", "cap-n1")
    for _ in range(2):
        net.helper("trunk-add", "cap-v1", "cap-n1", "--no-learning")
    port = net.link("cap-v1")["linkinfo"]["info_slave_data"]
    assert not port["learning"] and not port["flood"] and not port["locked"] and not port["isolated"]
    assert net.list()[1] == "trunk cap-v1 bridge=cap-n1 isolated=no learning=no"


def test_a_trunk_may_be_isolated(net):
    net.helper("bridge-add", "cap-n1")
    net.helper("trunk-add", "cap-v1", "cap-n1")
    for _ in range(2):
        net.helper("trunk-add", "cap-v1", "cap-n1", "--isolated")
    port = net.link("cap-v1")["linkinfo"]["info_slave_data"]
    assert port["isolated"] and port["learning"] and port["flood"] and not port["locked"]
    assert net.list()[1] == "trunk cap-v1 bridge=cap-n1 isolated=yes learning=yes"


def test_a_tap_again_is_exactly_so(net):
    net.helper("tap-add", "cap-t1", "br0", MAC, "--isolated", "--ip", "203.0.113.20")
    before = net.snapshot()
    net.helper("tap-add", "cap-t1", "br0", MAC, "--isolated", "--ip", "203.0.113.20")
    net.require_same(before)
    # What its user, or an administrator, may have done to it.
    net.run("bridge fdb add 02:00:00:00:00:99 dev cap-t1 master static; ip link set cap-t1 address 02:00:00:00:00:77; "
            "bridge link set dev cap-t1 locked off learning on flood on hairpin on; "
            "nft add element bridge capsul known4 '{ \"cap-t1\" . 02:00:00:00:00:01 . 203.0.113.99 }'")
    net.helper("tap-add", "cap-t1", "br0", MAC, "--isolated", "--ip", "203.0.113.20")
    net.require_same(before)
    net.run("ip link set cap-t1 down")
    net.helper("tap-add", "cap-t1", "br0", MAC2, "--ip", "203.0.113.21")
    assert "UP" in net.link("cap-t1")["flags"]
    assert net.fixed_macs("cap-t1") == [MAC2]
    assert net.elements()["known4"] == [f"cap-t1 . {MAC2} . 203.0.113.21"]
    assert not net.link("cap-t1")["linkinfo"]["info_slave_data"]["isolated"]


def test_a_tap_in_use_is_not_disturbed(net):
    net.helper("tap-add", "cap-t1", "br0", MAC)
    hold = ("import fcntl, os, struct, sys; fd = os.open('/dev/net/tun', os.O_RDWR); "
            "fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'cap-t1', 0x5002)); "
            "import subprocess; subprocess.run(sys.argv[1:], check=True); os.write(fd, bytes(10 + 60))")
    net.run(["python3", "-c", hold, HELPER, "tap-add", "cap-t1", "br0", MAC], user="alice")
    # Given away by whoever had it open: made anew.
    give = hold.replace("import subprocess", "fcntl.ioctl(fd, 0x400454cc, 12345); import subprocess").replace("; os.write", " #")
    net.run(["python3", "-c", give, "true"], user="alice")
    assert net.user_of("cap-t1") == "12345"
    net.helper("tap-add", "cap-t1", "br0", MAC)
    assert net.user_of("cap-t1") == net.uid["alice"]


def test_a_tap_destroyed_by_its_user_is_made_again_and_removed(net):
    unpersist = ["python3", "-c", "import fcntl, os, struct; fd = os.open('/dev/net/tun', os.O_RDWR); "
                                  "fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'cap-t1', 0x1002)); "
                                  "fcntl.ioctl(fd, 0x400454cb, 0)"]
    net.helper("tap-add", "cap-t1", "br0", MAC, "--ip", "203.0.113.20")
    net.run(unpersist, user="alice")
    assert net.link("cap-t1") is None
    net.helper("tap-add", "cap-t1", "br0", MAC, "--ip", "203.0.113.20")
    assert net.fixed_macs("cap-t1") == [MAC]
    net.run(unpersist, user="alice")
    net.helper("tap-del", "cap-t1")
    assert net.elements() == {}


def test_removing_leaves_nothing_and_may_be_repeated(net):
    before = net.snapshot()
    net.helper("bridge-add", "cap-n1")
    net.helper("addr-add", "cap-n1", "10.80.0.1/24")
    net.helper("egress", "cap-n1", "list", "10.0.0.0/8", "2001:db8::/32")
    net.helper("tap-add", "cap-t1", "cap-n1", MAC, "--ip", "10.80.0.2")
    net.helper("trunk-add", "cap-v1", "cap-n1")
    for words in (["tap-del", "cap-t1"], ["tap-del", "cap-v1"], ["bridge-del", "cap-n1"]) * 2:
        net.helper(*words)
    net.require_same(before)


def test_a_jumbo_bridge_stays_one_and_an_empty_one_keeps_its_address(net):
    # A bridge takes the lowest address of its ports. A random one of the card's might be higher than that of a TAP.
    net.run("ip link add up0 address 02:00:00:00:00:aa mtu 9000 type veth peer name up1 &&"
            " ip link set up0 master br1 && ip link set br1 up")
    net.write_policy(net.policy + f"{net.uid['alice']} tap br1 2\n")
    assert net.link("br1")["mtu"] == 9000
    address = net.link("br1")["address"]
    net.helper("tap-add", "cap-t1", "br1", MAC)
    assert net.link("br1")["mtu"] == 9000 and net.link("br1")["address"] == address


def test_without_the_tables(net):
    net.run("nft flush ruleset")
    net.helper("bridge-add", "cap-n1")
    for _ in range(2):
        done = net.helper("tap-add", "cap-t1", "cap-n1", MAC, "--ip", "10.80.0.2")
        assert done.stdout == "capsul-net: cap-t1: no address pinning: the nftables table is not loaded\n"
    assert net.helper("tap-add", "cap-t2", "cap-n1", MAC2).stdout == ""
    for words in (["egress", "cap-n1", "full"], ["trunk-add", "cap-v1", "cap-n1"]):
        assert "systemctl enable --now capsul-nft.service" in net.refused(KERNEL, *words)
    assert net.list()[:2] == ["bridge cap-n1 addresses=- egress=off isolated=off",
                              f"tap cap-t1 bridge=cap-n1 mac={MAC} locked=yes isolated=no ips=off"]
    for words in (["tap-del", "cap-t1"], ["tap-del", "cap-t2"], ["bridge-del", "cap-n1"]):
        net.helper(*words)


# ----------------------------------------------------------------------------------------------------- who may call it


def test_who_is_not_in_the_group_cannot_run_it(net):
    done = net.run([HELPER, "list"], user="mallory", check=False)
    assert done.returncode == 126 and "Permission denied" in done.stderr


def test_who_is_not_in_the_policy_gets_nothing(net):
    net.write_policy(f"{net.uid['bob']} prefix capb-\n")
    assert "no lines" in net.refused(REFUSED, "bridge-add", "cap-n1")


def test_root_is_refused(net):
    net.refused(REFUSED, "bridge-add", "cap-n1", user=None)
    net.refused(REFUSED, "list", user=None)
    assert net.helper("check-policy", user=None).stdout == ""


def test_one_too_many_is_refused(net):
    net.helper("bridge-add", "cap-n1")
    net.helper("bridge-add", "cap-n2")
    for i in range(8):
        net.helper("tap-add", f"cap-o{i}", f"cap-n{i % 2 + 1}", f"02:00:00:00:01:0{i}")
        net.helper("tap-add", f"cap-b{i}", "br0", f"02:00:00:00:02:0{i}")
    assert "8 TAPs on your own bridges" in net.refused(REFUSED, "tap-add", "cap-x", "cap-n1", MAC)
    net.refused(REFUSED, "trunk-add", "cap-x", "cap-n1")
    assert "8 TAPs on br0" in net.refused(REFUSED, "tap-add", "cap-x", "br0", MAC)
    net.helper("tap-add", "cap-o0", "cap-n1", "02:00:00:00:01:00")
    net.helper("tap-del", "cap-o0")
    net.helper("tap-add", "cap-x", "cap-n2", MAC)
    net.helper("bridge-add", "cap-n3")
    net.helper("bridge-add", "cap-n4")
    assert "4 bridges" in net.refused(REFUSED, "bridge-add", "cap-n5")


def test_a_full_bridge_says_so(net):
    net.run("for i in $(seq 1023); do echo link add full$i group 7 master br0 type ifb; done | ip -batch - ", timeout=300)
    assert "bridge full" in net.refused(REFUSED, "tap-add", "cap-t1", "br0", MAC)
    net.run("ip link del group 7", timeout=300)


def test_a_bridge_that_the_administrator_took_away(net):
    net.helper("tap-add", "cap-t1", "br0", MAC, "--ip", "203.0.113.20")
    net.run("ip link set br0 down name br9")
    for words in (["tap-add", "cap-t2", "br0", MAC2], ["tap-add", "cap-t1", "br0", MAC]):
        assert "there is no bridge br0" in net.refused(REFUSED, *words)
    net.run("ip link del br9; ip link add br0 type bridge")
    net.helper("tap-add", "cap-t1", "br0", MAC)
    assert net.link("cap-t1")["master"] == "br0" and net.fixed_macs("cap-t1") == [MAC]


# ---------------------------------------------------------------------------------------------------------- the policy


def test_check_policy_prints_the_callers_lines(net):
    own = [line for line in net.policy.splitlines() if line.startswith(net.uid["alice"])]
    assert net.helper("check-policy").stdout.splitlines() == own
    net.run("cat > /tmp/draft", input=net.policy.replace("cap-", "capz-"), user="alice")
    assert "capz-" in net.helper("check-policy", "/tmp/draft").stdout
    net.run("printf '1000 tap br0 many\\n' > /tmp/draft", user="alice")
    assert "line 1" in net.refused(UNSAFE, "check-policy", "/tmp/draft")
    net.run("echo canary > /root/secret && chmod 600 /root/secret")
    for file in ("/root/secret", "/tmp", "/dev/zero", "/nonexistent"):
        done = net.helper("check-policy", file, check=KERNEL if file in ("/root/secret", "/nonexistent") else UNSAFE)
        assert "canary" not in done.stderr


BAD_POLICIES = {
    "a bad line": "echo '1 tap br0 many' >> P", "no end": "printf '1 nat own' >> P", "empty": ": > P",
    "a link": "mv P P.real && ln -s P.real P", "a FIFO": "rm P && mkfifo -m 644 P", "a folder": "rm P && mkdir P",
    "not there": "rm P", "for others to write": "chmod 0646 P", "for a group to write": "chmod 0664 P",
    "another's": "chown alice P", "too long": "yes '#' | head -c 66000 >> P",
    "a zero byte": r"printf '#\0\n' >> P", "overlapping prefixes": "printf '7 prefix ca\\n' >> P; printf '7 prefix cap\\n' >> P",
    "another's folder": "chown alice $(dirname P)", "a folder for others to write": "chmod 0777 $(dirname P)",
    "a linked folder": "mv $(dirname P) /etc/real && ln -s real $(dirname P)",
}


@pytest.mark.parametrize("what", BAD_POLICIES)
def test_a_bad_policy_counts_for_nothing(net, what):
    try:
        net.run(BAD_POLICIES[what].replace("P", POLICY))
        for words in (["tap-add", "cap-x", "br0", MAC], ["bridge-add", "cap-n1"], ["tap-del", "cap-x"], ["check-policy"]):
            net.refused(UNSAFE, *words)
    finally:
        net.run("[ ! -L /etc/capsul ] || { rm /etc/capsul; mv /etc/real /etc/capsul; }; rm -rf /etc/capsul; "
                "install -d /etc/capsul")


FORGE = """
set -e
mount -t tmpfs none /mnt
mkdir -p /mnt/usr /mnt/dev /mnt/proc /mnt/etc/capsul
ln -s usr/bin usr/lib usr/lib64 usr/sbin /mnt/
mount --rbind /usr /mnt/usr
mount --rbind /dev /mnt/dev
cat > /mnt/etc/capsul/net.policy
chmod 755 /mnt /mnt/etc /mnt/etc/capsul
chmod 644 /mnt/etc/capsul/net.policy
exec /usr/sbin/chroot /mnt setpriv --reuid=UID --regid=UID --keep-groups /usr/libexec/capsul/capsul-net "$@"
"""


@pytest.mark.parametrize("uid, code", [(0, REFUSED), (4242, KERNEL)])
def test_a_forged_policy_in_a_user_namespace_is_of_no_use(net, uid, code):
    policy = "4242 prefix cap-\n4242 bridge own 9\n4242 tap own 9\n4242 tap br0 9\n"
    inside = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "sh", "-c", FORGE.replace("UID", str(uid)), "sh"]
    before = net.snapshot()
    for words in (["bridge-add", "cap-n1"], ["tap-add", "cap-t1", "br0", MAC]):
        done = net.run([*inside, *words], user="alice", check=False, input=policy)
        assert done.returncode == code and done.stderr.startswith("capsul-net: "), done
    net.require_same(before)
    # As the caller has it, without a root of one's own: "/" belongs to nobody there.
    done = net.run(["unshare", "--user", HELPER, "bridge-add", "cap-n1"], user="alice", check=False)
    assert done.returncode == UNSAFE, done
    net.require_same(before)


# -------------------------------------------------------------------------------------------- what a caller may do to it


def as_alice(net, script):
    return net.run(["bash", "-c", f"H={HELPER}; {script}"], user="alice", check=False)


def test_closed_descriptors_and_small_limits(net):
    add = f"$H tap-add cap-t1 br0 {MAC}"
    before = net.snapshot()
    for script in (f"ulimit -n 3; {add}", f"ulimit -n 0; {add}", f"ulimit -v 100; {add}", f"ulimit -s 4; {add}",
                   f"exec 0<&- 1>&- 2>&-; ulimit -n 3; {add}"):
        assert as_alice(net, script).returncode not in (0, 127), script
        net.require_same(before)
    for script in (f"exec 0<&- 1>&- 2>&-; {add}", f"ulimit -f 0; {add}", f"ulimit -l 0; ulimit -i 0; {add}",
                   f"exec {{a}}</dev/null {{b}}<>/dev/net/tun; {add}"):
        assert as_alice(net, script).returncode == 0, script
        assert net.link("cap-t1"), script
        net.helper("tap-del", "cap-t1")


def test_the_environment_is_of_no_use(net):
    net.run("printf 'int x;' > x.c; cp /bin/false evil.so; chmod 755 evil.so", user="alice")
    done = net.run([HELPER, "list"], user="alice", env={
        "LD_PRELOAD": "/home/alice/evil.so", "LD_LIBRARY_PATH": "/home/alice", "GLIBC_TUNABLES": "glibc.malloc.check=3",
        "NLDBG": "9", "NLCB": "debug", "LANGUAGE": "de", "MALLOC_TRACE": "/home/alice/trace"})
    assert done.stdout == "" and done.stderr == ""
    assert "trace" not in net.run("ls", user="alice").stdout


def test_it_runs_with_one_capability_and_can_gain_none(net):
    script = (f"$H tap-add cap-t1 br0 {MAC} & until grep -qs '^Seccomp:.2' /proc/$!/status || ! kill -0 $!; do :; done; "
              "kill -STOP $! 2>&-; cat /proc/$!/status; kill -CONT $!; wait")
    # Stopped by hand while it waits for a TAP that is never finished.
    hold = ("import fcntl, os, struct, sys; fd = os.open('/dev/net/tun', os.O_RDWR); "
            "fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'cap-t1', 0x1002)); os.system(sys.argv[1])")
    net.run("ip tuntap add cap-t1 mode tap user alice && ip link set cap-t1 alias 'capsul uid=$(id -u alice)'")
    holder = hold.replace("os.system", "fcntl.ioctl(fd, 0x400454cb, 0); os.system")
    said = net.run(["python3", "-c", holder, f"H={HELPER}; {script}"], user="alice", check=False).stdout
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    net_admin = f"{1 << 12:016x}"
    assert status["CapPrm"] == status["CapEff"] == net_admin
    assert status["CapInh"] == status["CapAmb"] == f"{0:016x}"
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status


UNIT = ["systemd-run", "--user", "--quiet", "--pipe", "--wait", "--collect"]


def test_under_no_new_privileges_it_has_no_capability_and_says_so(net):
    for setting in ("NoNewPrivileges=yes", "SystemCallFilter=@system-service"):
        unit = [*UNIT, f"--property={setting}", HELPER]
        before = net.snapshot()
        done = net.run([*unit, "bridge-add", "cap-n1"], user="alice", check=False)
        assert done.returncode == UNSAFE and "cap_net_admin" in done.stderr, done
        net.require_same(before)
        assert "prefix" in net.run([*unit, "check-policy"], user="alice").stdout
        net.helper("bridge-add", "cap-n1")
        assert net.run([*unit, "list"], user="alice").stdout == "bridge cap-n1 addresses=- egress=? isolated=?\n"
        net.helper("bridge-del", "cap-n1")


def test_the_capability_may_be_only_permitted(net):
    """Then it can run, without it, where a unit takes all capabilities away."""
    bounded = (f"setpriv --reuid={net.uid['alice']} --regid={net.uid['alice']} --init-groups --bounding-set=-all "
               f"bash -c 'exec {HELPER} check-policy'")
    assert "not permitted" in net.run(bounded, check=False).stderr
    try:
        net.run(["setcap", "cap_net_admin=p", HELPER])
        net.helper("bridge-add", "cap-n1")
        assert "prefix" in net.run(bounded).stdout
    finally:
        net.run(["setcap", "cap_net_admin=ep", HELPER])


def test_an_unprivileged_debugger_takes_the_capability_away(net):
    tracer = ("import ctypes, os, sys\npid = os.fork()\n"
              "if pid == 0:\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n    os.execv(sys.argv[1], sys.argv[1:])\n"
              "status = os.waitpid(pid, 0)[1]\nwhile os.WIFSTOPPED(status):\n"
              "    ctypes.CDLL(None).ptrace(7, pid, 0, 0)\n    status = os.waitpid(pid, 0)[1]\n"
              "sys.exit(os.waitstatus_to_exitcode(status))\n")
    before = net.snapshot()
    done = net.run(["python3", "-c", tracer, HELPER, "bridge-add", "cap-n1"], user="alice", check=False)
    assert done.returncode == UNSAFE and "cap_net_admin" in done.stderr, done
    net.require_same(before)


# ---------------------------------------------------------------------------------------------------- many, and at once


def racing(net, command):
    """How many of 60 that start at the same moment succeed, and what the others said; each of them must be refused."""
    script = (f"import json, subprocess; H = '{HELPER}'\n"
              f"p = [subprocess.Popen([H, *w.split()], stderr=subprocess.PIPE, text=True) for w in {command!r}]\n"
              "said = [one.communicate()[1] for one in p]\n"
              "print(json.dumps([[one.returncode, words] for one, words in zip(p, said)]))")
    ended = json.loads(net.run(["python3", "-c", script], user="alice", timeout=300).stdout)
    codes = [code for code, _ in ended]
    assert len(codes) == 60 and set(codes) <= {0, 1}, ended
    return codes.count(0), sorted({words for code, words in ended if code})


def test_sixty_racing_for_eight_places(net):
    taps = [f"tap-add cap-r{i} br0 02:00:00:00:03:{i:02x} --ip 203.0.113.20" for i in range(60)]
    for _ in range(3):
        assert racing(net, taps)[0] == 8
        made = net.names("cap-r")
        assert len(made) == 8 == len(net.elements()["known4"])
        for name in made:
            net.helper("tap-del", name)
    assert net.elements() == {}


def test_sixty_racing_for_the_own_bridges(net):
    net.helper("bridge-add", "cap-n1")
    net.helper("bridge-add", "cap-n2")
    assert racing(net, [f"tap-add cap-r{i} cap-n{i % 2 + 1} 02:00:00:00:03:{i:02x}" for i in range(60)])[0] == 8
    assert racing(net, [f"bridge-add cap-m{i}" for i in range(60)])[0] == 2
    assert len(net.names("cap-m")) == 2


def test_a_bridge_that_is_called_own_is_nobodys_own(net):
    net.run("ip link add own type bridge")
    assert 'no "tap own" line' in net.refused(REFUSED, "tap-add", "cap-t1", "own", MAC)


def test_whoever_is_killed_has_no_more_bridges_for_it(net):
    """While there is one of which cannot be told whose it is, each waits for two seconds after it has made its own."""
    net.run("ip link add cap-h0 type bridge")
    as_alice(net, "for i in $(seq 8); do $H bridge-add cap-k$i 2>&- & sleep 0.5; kill -9 $! 2>&-; wait; done")
    assert len(net.names("cap-")) <= 4
    for name in net.names("cap-"):
        net.helper("bridge-add", name)  # what was left can be used, and
        net.helper("bridge-del", name)  # be removed


def test_networks_that_are_set_at_the_same_moment_do_not_overlap(net):
    for bridge in range(4):
        net.helper("bridge-add", f"cap-n{bridge}")
    for _ in range(4):  # a bridge has at most 16 addresses
        said = as_alice(net, "for r in $(seq 60); do for i in 0 1 2 3; do $H addr-add cap-n$i 10.80.$r.$((i + 1))/24 2>&- & done; "
                             "wait; done; ip -o -4 addr show | "
                             "awk '/cap-n/ { split($4, a, \".\"); print a[3] }' | sort | uniq -d").stdout
        assert said == ""
        net.run("for i in 0 1 2 3; do ip addr flush dev cap-n$i; done")


def test_egress_of_a_bridge_that_goes_away_leaves_nothing(net):
    as_alice(net, "for r in $(seq 50); do $H bridge-add cap-n1; for i in 1 2 3; do $H egress cap-n1 full 2>&- & done; "
                  "$H bridge-del cap-n1; wait; done")
    assert net.elements() == {} and net.names("cap-") == []


def test_sixty_of_the_same_are_one(net):
    assert racing(net, [f"tap-add cap-t1 br0 {MAC} --ip 203.0.113.20"] * 60) == (60, [])
    assert net.fixed_macs("cap-t1") == [MAC] and net.elements()["known4"] == [f"cap-t1 . {MAC} . 203.0.113.20"]


def test_nothing_of_many_is_left_in_the_tables(net):
    """The kernel resizes its sets while they are read."""
    net.write_policy(net.policy.replace("tap own 8", "tap own 400"))
    net.helper("bridge-add", "cap-n1")
    all_at_once = ("for p in $(seq 8); do (for r in $(seq 30); do i=; [ $1 = tap-del ] || "
                   "i=\"cap-n1 02:00:00:00:$(printf %02x:%02x $p $r) $(printf -- \"--ip 10.80.$p.%d \" $(seq $r 4 250 | head -30))\"; "
                   "$H $1 cap-$p-$r $i || exit; done) & done; wait")
    for _ in range(2):
        as_alice(net, f"set -- tap-add; {all_at_once}")
        assert len(net.names("cap-")) == 1 + 240
        as_alice(net, f"set -- tap-del; {all_at_once}")
        assert net.names("cap-") == ["cap-n1"] and net.elements() == {}


def test_a_stopped_one_holds_nobody_up_for_long(net):
    """It is in flight, of the same prefix; who comes later waits, counts it, and goes on."""
    script = (f"for i in $(seq 40); do $H tap-add cap-s$i br0 02:00:00:00:04:$(printf %02x $i) & sleep 0.00$((RANDOM % 5)); "
              "kill -STOP $! 2>&-; done; sleep 0.2; timeout 100 $H tap-add cap-t1 br0 02:00:00:00:00:01; echo $?; "
              "kill -9 $(jobs -p) 2>&-; wait")
    code = as_alice(net, script).stdout.splitlines()[-1]
    assert code in ("0", "1")
    left = net.names("cap-")
    assert len(left) <= 8 and all("persist" in net.link(name)["linkinfo"]["info_data"] for name in left)


def test_killed_at_any_point_nothing_is_half_made(net):
    net.write_policy(net.policy)
    done = net.run(["python3", "-", net.uid["alice"], str(KILLS)], input=KILLER.read_text(), timeout=3600)
    print(done.stdout)
    assert done.stdout.startswith(f"{KILLS} kills")


def test_what_a_killed_one_left_in_the_tables_is_swept(net):
    net.run("nft -f -", input="""
        add element bridge capsul known4 { "cap-lost" . 02:00:00:00:00:09 . 203.0.113.25 }
        add element bridge capsul known4 { "capb-lost" . 02:00:00:00:00:09 . 203.0.113.25 }""")
    net.helper("tap-add", "cap-t1", "br0", MAC, "--ip", "203.0.113.20")
    assert net.elements()["known4"] == [f"cap-t1 . {MAC} . 203.0.113.20", "capb-lost . 02:00:00:00:00:09 . 203.0.113.25"]
