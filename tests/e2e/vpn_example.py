"""examples/vpn/three-hosts.sh, run by alice on the first of three hosts of vpn_lab: see run_example."""

from conftest import EXAMPLES_IN_HOST
from vpn_lab import OTHER_SUBNET, OTHER_SUBNET6

NAME = "sample"
SCRIPT = EXAMPLES_IN_HOST / "vpn/three-hosts.sh"
URLS = [f"ssh://alice@{host}" for host in ("hosta", "hostb", "hostc")]

# In place of ssh: the third host does not answer.
WITHOUT_THE_THIRD = """#!/bin/sh
case $1 in
*hostc) exit 255 ;;
esac
exec ssh "$@"
"""


def run_example(lab):
    """Makes its network by codes and by files, and removes it again, the second time in two steps; nothing of it is left."""
    assert NAME not in [name for one in lab.capsuls for name in _networks(one)]  # and each capsuld has its folders by now
    before = _traces(lab)
    _script(lab)
    _script(lab, "--undo")
    assert _traces(lab) == before

    _script(lab, "--files")
    _undo_without_the_third(lab)
    _script(lab, "--undo")
    assert _traces(lab) == before


def _script(lab, *options, ssh="ssh", **more):
    words = {"NETWORK": NAME, "SUBNET": OTHER_SUBNET, "SUBNET6": OTHER_SUBNET6, "SSH": ssh,
             "ADDRESSES": " ".join(lab.address(one) for one in lab.capsuls)}
    environment = [f"{name}={value}" for name, value in words.items()]
    return lab.a.run(["env", *environment, SCRIPT, *options, *URLS], timeout=600, **more)


def _undo_without_the_third(lab):
    lab.a.run("cat >some-ssh && chmod +x some-ssh", input=WITHOUT_THE_THIRD)
    done = _script(lab, "--undo", ssh="./some-ssh", check=False)
    lab.a.run("rm some-ssh")
    assert done.returncode == 1 and "not all of it could be deleted" in done.stderr, done
    assert [NAME in _networks(one) for one in lab.capsuls] == [False, False, True]


def _networks(capsul):
    return [network["name"] for network in capsul.json("network", "list")]


def _traces(lab):
    return [one.traces() for one in lab.capsuls]
