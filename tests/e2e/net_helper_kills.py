"""Kills capsul-net at random points and looks at what is left. Runs in a host, as root: argv is the user id of the caller and
how many times. Ends with a line of figures, or with the first thing that was not as it must be.

Whatever was killed, the same command again must succeed, and then all is as if it had not been killed.
"""

import json
import pwd
import random
import subprocess
import sys
import time

UID = int(sys.argv[1])
KILLS = int(sys.argv[2])
HELPER = "/usr/libexec/capsul/capsul-net"
MAC = "02:00:00:00:00:07"

BRIDGE = ["bridge-add", "cap-kb"]
TAP = ["tap-add", "cap-kt", "cap-kb", MAC, "--ip", "10.80.1.7", "--isolated"]
# What is there before, and what is killed.
CASES = [
    ([BRIDGE], TAP),
    ([BRIDGE], TAP),
    ([BRIDGE], TAP),
    ([BRIDGE, TAP], ["tap-add", "cap-kt", "cap-kb", "02:00:00:00:00:08", "--ip", "10.80.1.8"]),
    ([BRIDGE, TAP], ["tap-del", "cap-kt"]),
    ([BRIDGE], ["trunk-add", "cap-kt", "cap-kb"]),
    ([], BRIDGE),
    ([BRIDGE], ["bridge-del", "cap-kb"]),
    ([BRIDGE], ["egress", "cap-kb", "list", "10.0.0.0/8,tcp,443", "2001:db8::/32"]),
    ([BRIDGE], ["addr-add", "cap-kb", "10.80.1.1/24"]),
]


def start(words):
    return subprocess.Popen([HELPER, *words], user=UID, group=UID, extra_groups=[GROUP],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def run(words):
    process = start(words)
    said = process.communicate()[1]
    assert process.returncode == 0, (words, process.returncode, said)


def told(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def links():
    found = json.loads(told("ip", "-json", "-details", "link"))
    return {link["ifname"]: link for link in found if link["ifname"].startswith("cap-k")}


def elements():
    """(set, interface, all of it) of every element there is of ours."""
    result = []
    for item in json.loads(told("nft", "-j", "list", "ruleset"))["nftables"]:
        for element in item.get("set", {}).get("elem", []):
            name = element["concat"][0] if isinstance(element, dict) else element
            if name.startswith("cap-k"):
                result.append((item["set"]["name"], name, str(element)))
    return result


def fixed_macs(name):
    entries = json.loads(told("bridge", "-json", "fdb", "show", "dev", name) or "[]")
    return [entry["mac"] for entry in entries if entry.get("state") == "static"]


def require_whole_tap(link):
    """A TAP is there with all that makes it safe, or not at all."""
    tap, port = link["linkinfo"]["info_data"], link["linkinfo"]["info_slave_data"]
    assert tap["persist"] and tap["user"] in (UID, pwd.getpwuid(UID).pw_name) and "group" not in tap, link
    assert link["ifalias"] == f"capsul uid={UID}" and link["master"] == "cap-kb" and "UP" in link["flags"], link
    assert link["address"].startswith("fe:") and link["inet6_addr_gen_mode"] == "none", link
    named = {name for name, interface, _ in elements() if interface == "cap-kt"}
    if port["locked"]:
        assert not port["learning"] and not port["flood"], link
        assert len(fixed_macs("cap-kt")) in (1, 2), link  # two while one is replaced by another
        assert "known4" in named or LAST == "tap-del", named
    else:
        assert "trunks" in named, named


def require_whole_bridge(link):
    marked = link.get("ifalias") == f"capsul uid={UID}"
    assert marked or "ifalias" not in link and not [one for one in links().values() if one.get("master") == "cap-kb"], link
    assert link["linkinfo"]["info_data"]["stp_state"] == 0 and link["address"].startswith("02:"), link


def facts(link):
    """What an operation decides about a link; not numbers, made-up addresses, timers, carrier."""
    info = link["linkinfo"]
    port = info.get("info_slave_data", {})
    return [link["ifname"], link["ifalias"], link.get("master"), "UP" in link["flags"], link["inet6_addr_gen_mode"],
            link["address"] if port.get("locked") else link["address"][:2], link["mtu"],
            {key: info["info_data"].get(key) for key in ("type", "persist", "user", "stp_state", "mcast_snooping")},
            {key: port.get(key) for key in ("locked", "learning", "isolated", "flood", "guard", "hairpin", "multicast_router")}]


def picture():
    """All that there is."""
    addresses = json.loads(told("ip", "-json", "addr", "show", "to", "10.80.1.0/24"))
    return [[facts(link) for link in links().values()], sorted(elements()), [fixed_macs(name) for name in links()],
            [(one["ifname"], [(a["local"], a["prefixlen"]) for a in one["addr_info"]]) for one in addresses if one]]


def clean():
    run(["tap-del", "cap-kt"])
    run(["bridge-del", "cap-kb"])
    assert not links() and not elements(), (links(), elements())


def measure(before, words):
    """How long it takes, and what is there afterwards."""
    for command in before:
        run(command)
    begin = time.monotonic()
    run(words)
    took = time.monotonic() - begin
    after = picture()
    clean()
    return took, after


GROUP = int(told("getent", "group", "capsul-net").split(":")[2])
LAST = ""
killed = 0
plans = [(before, words, *measure(before, words)) for before, words in CASES]
for number in range(KILLS):
    before, words, took, after = plans[number % len(plans)]
    LAST = words[0]
    for command in before:
        run(command)
    process = start(words)
    time.sleep(random.uniform(0, took * 1.1))
    process.kill()
    process.communicate()
    killed += process.returncode == -9
    left = links()
    if "cap-kt" in left:
        require_whole_tap(left["cap-kt"])
    if "cap-kb" in left:
        require_whole_bridge(left["cap-kb"])
    run(words)
    assert picture() == after, (words, picture(), after)
    clean()
print(f"{KILLS} kills, {killed} of them before the end")
