"""capsul-nft.service: the tables come, stay, and come back, beside those of the administrator."""

import pytest
from conftest import install_stage

OURS = "bridge capsul", "inet capsul", "arp capsul"


@pytest.fixture(scope="module")
def root(host):
    install_stage(host)
    yield lambda command: host.run(command).stdout
    host.run("systemctl stop capsul-nft.service nftables.service")


@pytest.fixture(autouse=True)
def started(root):
    root("systemctl reset-failed nftables.service; systemctl restart nftables.service && systemctl restart capsul-nft.service")


def tables(root):
    return {line.removeprefix("table ") for line in root("nft list tables").splitlines()}


ELEMENTS = """
add element bridge capsul known4 { cap-a . 02:00:00:00:00:0a . 10.80.0.10 }
add element bridge capsul trunks { cap-t }
add element inet capsul allow6 { cap-n . 2001:db8::/32 . tcp . 443-444 }
add element inet capsul inside { cap-n . cap-n }
"""


def test_loading_again_keeps_the_elements_and_doubles_nothing(root):
    root(f"nft -f - <<'E'\n{ELEMENTS}\nE")
    before = root("nft --stateless list ruleset")
    assert before.count("elements = ") == 4
    root("systemctl reload capsul-nft.service")
    assert root("nft --stateless list ruleset") == before


def test_what_nft_lists_can_be_loaded(root):
    """An administrator who saves the ruleset to /etc/nftables.conf must find a firewall after the next boot."""
    before = root("nft --stateless list ruleset")
    root("nft --stateless list ruleset >saved.nft && nft flush ruleset && nft -f saved.nft; rm saved.nft")
    assert root("nft --stateless list ruleset") == before


@pytest.mark.parametrize("verb", ["restart", "reload"])
def test_the_tables_come_back_when_nftables_flushes_everything(root, verb):
    root(f"nft -f - <<'E'\n{ELEMENTS}\nE")
    root(f"systemctl {verb} nftables.service")
    # systemctl waits for nftables.service; ours comes after it.
    root("timeout 60 sh -c 'until [ -z \"$(systemctl list-jobs --no-legend capsul-nft.service)\" ]; do sleep 0.02; done'")
    assert tables(root) >= {*OURS, "inet filter"}
    rules = root("nft list ruleset")
    assert "elements = " not in rules and 'iifname "cap*" iifname != @trunks goto guest' in rules


def test_stopping_removes_our_tables_only(root):
    root("nft add table inet mine; systemctl stop capsul-nft.service")
    assert tables(root) == {"inet filter", "inet mine"}
    root("nft delete table inet mine")


def test_stopping_with_the_tables_gone_is_no_failure(root):
    root("nft flush ruleset; systemctl stop capsul-nft.service")
    assert root("systemctl is-failed capsul-nft.service || true") == "inactive\n"


def test_they_are_there_after_a_reboot(make_host):
    host = make_host("tables")
    install_stage(host)
    host.run("systemctl enable nftables.service capsul-nft.service")
    host.reboot()
    assert tables(lambda command: host.run(command).stdout) == {*OURS, "inet filter"}
    order = host.run("systemctl show --property=ActiveEnterTimestampMonotonic --value "
                     "nftables.service capsul-nft.service network-pre.target user.slice").stdout.split()
    assert [int(time) for time in order[:3]] == sorted(int(time) for time in order[:3])
    assert host.failed_units() == []
