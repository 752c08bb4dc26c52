"""Published ports of a VM on a nat network, by real traffic: from the host itself and from another one.

One story on hosts of its own, in this order, with one guest. Its network is the strictest there is (isolated, and no way out),
which is not to keep the host from leading others to it.
"""

import pytest
from conftest import BOOT, allow_networks, import_debian, install_capsul, wait_until

import host as hosts

UNIT = "capsul-publish-web"
PORTS = ["0.0.0.0:8080:80", "[::]:8080:80", "0.0.0.0:5353:5300/udp", "[::]:5353:5300/udp", "2222:22", "8081:81"]

# In the guest, at every boot: TCP port 80 gives back what it is sent, UDP port 5300 too.
INIT = """\
#!/bin/sh
cat >/usr/local/sbin/echo.py <<'END'
import asyncio

async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, address): self.transport.sendto(data, address)

async def main():
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Datagrams, ("::", 5300))  # IPv4 too
    server = await asyncio.start_server(serve, None, 80, backlog=1024)
    await server.serve_forever()

asyncio.run(main())
END
cat >/etc/systemd/system/echo.service <<'END'
[Service]
ExecStart=/usr/bin/python3 /usr/local/sbin/echo.py
LimitNOFILE=4096
[Install]
WantedBy=multi-user.target
END
systemctl enable --now echo.service
"""

# How many of so many connections at once give back what they were sent. sys.argv: address, port, how many.
TCP = """
import socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
peers = [socket.create_connection((address, port), 60) for _ in range(count)]
for i, peer in enumerate(peers): peer.sendall(b"%d\\n" % i)
print(sum(peer.makefile().readline() == "%d\\n" % i for i, peer in enumerate(peers)))
"""

# Connected sockets: an answer from another address would not be heard. What is lost is sent again.
UDP = """
import socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
def asks(i):
    peer = socket.socket(family, socket.SOCK_DGRAM)
    peer.connect((address, port))
    peer.settimeout(3)
    for _ in range(5):
        try:
            peer.send(b"%d" % i)
            return peer.recv(100) == b"%d" % i
        except OSError: pass
print(sum(bool(asks(i)) for i in range(count)))
"""


def count(host, program, address, port, wanted=1):
    done = host.run(["python3", "-c", program, address, str(port), str(wanted)], check=False, timeout=240)
    return int(done.stdout) if done.returncode == 0 else 0


@pytest.fixture(scope="module")
def inside(lab, host_binds):
    with hosts.Host.boot("pubin", binds=host_binds, lab=lab, tied=True) as host:
        yield host


@pytest.fixture(scope="module")
def outside(lab, host_binds, inside):
    with hosts.Host.boot("pubout", binds=host_binds, lab=lab, tied=True) as host:
        yield host


@pytest.fixture(scope="module")
def capsul(inside, debian_image):
    capsul = install_capsul(inside)
    inside.run("ip link add br0 type bridge")
    allow_networks(capsul, "--bridge", "br0", "--guest-ips", "10.99.0.0/24")
    import_debian(capsul, debian_image)
    capsul.ctl("network", "create", "cage", "--subnet", "10.80.7.0/24", "--subnet6", "fd80:ca95:0:7::/64", "--isolate",
               "--egress", "none")
    capsul.ctl("network", "create", "pub", "--bridge", "br0", "--subnet", "10.99.0.0/24", "--no-start")
    return capsul


def make(capsul, name, *options, **more):
    return capsul.ctl("vm", "create", name, "--image", "debian-12", "--memory", "512M", "--no-ssh-key", *options, timeout=120, **more)


def publish(ports):
    return [word for port in ports for word in ("--publish", port)]


@pytest.fixture(scope="module")
def web(capsul):
    make(capsul, "web", "--network", "cage", "--init-script", "-", *publish(PORTS), input=INIT)
    return capsul


def sockets(capsul):
    """What systemd listens on for the VM."""
    text = capsul.run("systemctl --user list-sockets --no-legend --plain 'capsul-publish-*'").stdout
    return sorted(line.split()[0] for line in text.splitlines())


def traces(capsul):
    """But for the relay of `web`, which comes and goes as it likes. A unit that a new daemon has reloaded is up."""
    return [line.replace(" reloading", " active") for line in capsul.traces()
            if "capsul-relay" not in line and f"unit {UNIT}.service" not in line]


OPEN = ["0.0.0.0:5353", "0.0.0.0:8080", "127.0.0.1:2222", "127.0.0.1:8081", "[::]:5353", "[::]:8080"]


def is_listening(host):
    """Whether anybody has the TCP port, by the kernel's word."""
    return bool(host.run("ss -Hltn 'sport = :8080'").stdout)


def test_systemd_holds_the_ports_from_the_start_and_no_process_does(web):
    assert sockets(web) == OPEN
    assert web.run("pgrep -u alice -x capsul-relay", check=False).stdout == ""
    assert web.json("vm", "show", "web")["unpublished"] is None


def test_the_guest_comes_up(web, inside):
    web.ctl("vm", "wait", "web", "--for", "cloud-init", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
    wait_until(lambda: count(inside, TCP, "127.0.0.1", 8080) == 1)  # an emulated interpreter


def test_list_and_ip_tell_the_ports_and_ssh_goes_to_the_guests_own_address(web):
    assert "0.0.0.0:5353:5300/udp" in web.ctl("vm", "list", "-o", "wide").stdout
    addresses = web.json("vm", "ip", "web")
    assert addresses["published"] == [port if "/" in port else f"{port}/tcp" for port in
                                      [*PORTS[:4], "127.0.0.1:2222:22", "127.0.0.1:8081:81"]]
    assert addresses["ssh"] == {"address": "10.80.7.2", "port": 22}


@pytest.mark.parametrize("family", [4, 6])
def test_a_port_leads_to_the_guest_for_this_host_and_others(web, inside, outside, family):
    own, others = {4: ("127.0.0.1", inside.address()), 6: ("::1", inside.address6())}[family]
    for program, port in ((TCP, 8080), (UDP, 5353)):
        assert count(inside, program, own, port) == 1
        assert count(inside, program, others, port) == 1
        assert count(outside, program, others, port, 20) == 20


def test_a_port_without_an_address_is_this_hosts_alone(web, inside, outside):
    greeting = ["bash", "-c", "exec 3<>/dev/tcp/$0/2222 && timeout 20 head -1 <&3"]
    assert "SSH-" in inside.run([*greeting, "127.0.0.1"]).stdout
    assert outside.run([*greeting, inside.address()], check=False).returncode != 0


def test_who_is_refused_by_the_guest_is_told_at_once(web, inside):
    program = "import socket; socket.create_connection(('127.0.0.1', 8081), 30).recv(1)"
    assert "ConnectionResetError" in inside.run(["python3", "-c", program], check=False).stderr


def test_hundreds_are_served_at_once(web, inside, outside):
    assert count(outside, TCP, inside.address(), 8080, 500) == 500


def test_the_relay_has_no_right_that_it_does_not_need(web, inside):
    pid = inside.run("pgrep -u alice -x capsul-relay").stdout.split()
    assert len(pid) == 1  # for all ports
    status = dict(line.split(":\t", 1) for line in inside.run(f"cat /proc/{pid[0]}/status").stdout.splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    root = f"/proc/{pid[0]}/root"
    assert inside.run(f"ls -A {root}/home/alice {root}/run/user", check=False).stdout.split() == \
        [f"{root}/home/alice:", f"{root}/run/user:"]


def test_the_nic_that_the_ports_need_stays(web, inside):
    kept = web.ctl("vm", "nic", "rm", "web", "0", check=False)
    assert kept.returncode == 2 and "need a NIC" in kept.stderr
    assert count(inside, TCP, "127.0.0.1", 8080) == 1


@pytest.mark.parametrize("options, code, said", [
    (["--network", "pub", "--publish", "8090:80"], 2, "at its own address"),
    (["--network", "user", "--publish", "[::1]:8090:80"], 2, "IPv4"),
    (["--network", "cage", "--publish", "127.0.0.1:8080:80"], 4, "another VM"),
    (["--network", "cage", "--publish", "80:80"], 7, "root only"),
    (["--network", "cage", "--publish", "[2001:db8::1]:8090:80"], 2, "no address of this host"),
])
def test_what_cannot_be_published_is_refused_and_leaves_nothing(web, options, code, said):
    before = traces(web)
    refused = make(web, "new", *options, check=False)
    assert refused.returncode == code and said in refused.stderr
    assert traces(web) == before


def test_the_ports_are_there_again_after_a_restart(web, inside, outside):
    web.ctl("restart", "web", timeout=240)
    assert sockets(web) == OPEN
    web.ctl("vm", "wait", "web", "--for", "ssh", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
    wait_until(lambda: count(outside, TCP, inside.address(), 8080) == 1, BOOT)


def test_they_close_with_the_unit_whoever_stops_it(web, inside):
    web.run("systemctl --user stop capsul-vm-web", timeout=240)
    wait_until(lambda: not sockets(web))
    assert not is_listening(inside)
    assert web.run("pgrep -u alice -x capsul-relay", check=False).stdout == ""


def test_a_port_that_another_program_has_keeps_start_from_starting(web, inside):
    inside.run("systemd-run --unit=squatter python3 -m http.server 8080 --bind 0.0.0.0")
    wait_until(lambda: is_listening(inside))
    refused = web.ctl("start", "web", check=False, timeout=60)
    assert refused.returncode == 4
    assert "vm web: port 8080 of 0.0.0.0 is taken by another program" in refused.stderr
    assert web.state("web") == "stopped" and sockets(web) == []


def test_where_systemd_starts_a_vm_whose_port_is_taken_it_runs_and_show_tells(web, inside):
    web.run("systemctl --user start capsul-vm-web")
    shown = web.json("vm", "show", "web")
    assert shown["state"] == "running" and f"{UNIT}.socket is failed" in shown["unpublished"]
    assert f"{UNIT}.socket is failed" in web.ctl("vm", "show", "web").stdout
    assert web.ctl("start", "web", check=False).returncode == 4
    inside.run("systemctl stop squatter.service")
    web.ctl("start", "web")
    assert web.json("vm", "show", "web")["unpublished"] is None
    assert sockets(web) == OPEN


def test_they_close_when_qemu_dies(web, inside):
    inside.run(f"kill -9 {web.json('vm', 'show', 'web')['pid']}")
    wait_until(lambda: not sockets(web))
    assert not is_listening(inside)
    assert web.state("web") == "failed"


def test_a_reboot_brings_them_back_with_the_vm(web, inside, outside):
    inside.reboot()
    wait_until(lambda: sockets(web) == OPEN)
    web.ctl("vm", "wait", "web", "--for", "ssh", "--timeout", f"{BOOT}s", timeout=BOOT + 30)
    wait_until(lambda: count(outside, TCP, inside.address(), 8080) == 1, BOOT)
    assert count(outside, UDP, inside.address6(), 5353) == 1


def test_a_daemon_killed_in_the_middle_of_a_deletion_leaves_nothing(web):
    before = traces(web)
    for i in range(12):
        make(web, "doomed", "--network", "cage", "--no-start", "--publish", "8091:80")
        pid = web.daemon_pid()
        web.run("systemctl --user reset-failed capsuld.service")  # or systemd would not start it a sixth time in ten seconds
        web.run(f"capsulctl vm delete doomed --yes & sleep {i / 100}; kill -9 {pid}; wait", check=False)
        web.ctl("vm", "delete", "doomed", "--yes", "--ignore-missing", timeout=60)
        assert traces(web) == before


def test_deleting_the_vm_leaves_nothing(web, inside):
    web.ctl("vm", "delete", "web", "--yes", timeout=120)
    assert not is_listening(inside)
    assert not [line for line in web.traces() if "publish" in line or "relay" in line]
    assert web.run("systemctl --user --failed --no-legend --plain").stdout == ""
