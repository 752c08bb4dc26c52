"""One capsuld for the members of a group, as examples/host-wide.sh sets it up."""

import json

import pytest
from conftest import EXAMPLES_IN_HOST, install_stage


@pytest.fixture
def wide(make_host):
    host = make_host("wide", users=("bob", "mallory"), linger=False)
    install_stage(host)
    for _ in range(2):  # the second time changes nothing
        host.run([EXAMPLES_IN_HOST / "host-wide.sh"])
    host.run("usermod --append --groups capsul bob")
    return host


def test_a_group_shares_one_capsuld(wide):
    def bob(*words):
        return wide.run(["capsulctl", *words, "--json"], user="bob").stdout

    assert json.loads(bob("vm", "list")) == []
    wide.run("truncate --size 1M empty.raw && capsulctl image import empty empty.raw", user="bob")
    bob("vm", "create", "web", "--image", "empty", "--disk", "2M", "--no-ssh-key",
        "--stop-timeout", "2s")  # nobody hears the power button
    assert json.loads(wide.run(["capsulctl", "vm", "list", "--json"]).stdout)[0]["state"] == "running"
    assert wide.run("ps -C qemu-system-x86_64 -o user=").stdout.split() == ["capsul"]

    refused = wide.run(["capsulctl", "--socket", "/run/capsul/capsuld.sock", "vm", "list"], user="mallory", check=False)
    assert refused.returncode == 7 and refused.stdout == ""
    assert "group" in refused.stderr

    wide.reboot()
    assert json.loads(bob("vm", "wait", "web", "--for", "running"))["state"] == "running"
    bob("vm", "delete", "web", "--yes")
    assert wide.run("find /var/lib/capsul -name '*web*'").stdout == ""
