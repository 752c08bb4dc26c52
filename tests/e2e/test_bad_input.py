"""Bad input of every kind: a clear error, the right code, and afterwards no file, unit or process more than before."""

import json

import pytest

import host as hosts
from conftest import install_capsul

CREATE = ["vm", "create", "new", "--image", "tiny", "--memory", "64M", "--no-ssh-key"]


@pytest.fixture(scope="module")
def capsul(lab, host_binds):
    """A host of its own: tests here take QEMU away and fill the disk."""
    with hosts.Host.boot("bad", lab=lab, binds=host_binds, tied=True) as booted:
        one = install_capsul(booted)
        one.run("qemu-img create -q -f qcow2 tiny.qcow2 64M && head -c 1000 tiny.qcow2 >cut.qcow2 && "
                "qemu-img create -q -f qcow2 -F qcow2 -b /etc/passwd -u backed.qcow2 64M && "
                "qemu-img create -q -f qcow2 -o data_file=data.raw outside.qcow2 64M && "
                # LUKS in its header: qemu-img would time the processor to make a real one, and fail on a busy machine.
                "cp tiny.qcow2 locked.qcow2 && printf '\\2' | dd of=locked.qcow2 bs=1 seek=35 conv=notrunc status=none && "
                "qemu-img create -q -f vmdk -o subformat=monolithicFlat extents.vmdk 64M && "
                "qemu-img create -q -f qed other.qed 64M && "
                "xz -k tiny.qcow2 && head -c -30 tiny.qcow2.xz >cut.xz && (cat tiny.qcow2.xz; echo more) >more.xz && "
                "gzip -c tiny.qcow2 | gzip -c >twice.gz && "
                "qemu-img create -q -f vmdk good.vmdk 64M && echo '<Envelope/>' >good.ovf && "
                "tar -cPf up.ova --transform='s,^good.vmdk$,../good.vmdk,' good.ovf good.vmdk && "
                "ln -s /etc/passwd link.vmdk && tar -cf link.ova good.ovf link.vmdk && "
                "cp good.vmdk two.vmdk && tar -cf two.ova good.ovf good.vmdk two.vmdk && "
                "tar -cf no.ova good.vmdk && tar -cf empty.ova good.ovf && "
                "echo \"SHA256(good.vmdk)= $(printf %064d 0)\" >good.mf && tar -cf sum.ova good.ovf good.mf good.vmdk && "
                "gzip -c up.ova >packed.ova.gz && "
                "echo 'not: [closed' >plain.yaml && printf '#cloud-config\\nlist: [open\\n' >bad.yaml && "
                "echo '#!/bin/sh' >init.sh && echo 'echo no interpreter' >noinit.sh && "
                "head -c 70000 /dev/zero | tr '\\0' x >long.txt && ssh-keygen -q -t ed25519 -N '' -f key && "
                "mkdir folder && mkfifo fifo")
        one.ctl("image", "import", "tiny", "tiny.qcow2")
        one.ctl("image", "tag", "tiny", "alias")
        one.ctl("vm", "create", "old", "--image", "tiny", "--memory", "64M", "--no-start", "--no-ssh-key",
                "--publish", "19090:80")
        yield one


@pytest.fixture(autouse=True)
def leaves_nothing(capsul):
    before = capsul.traces()
    yield
    assert capsul.traces() == before


def named(name):
    return ["vm", "create", name, "--image", "tiny", "--no-ssh-key"]


@pytest.mark.parametrize("argv, code, said", [
    # names
    (named(""), 2, "name"),
    (named("Web"), 2, "name"),
    (named("1web"), 2, "name"),
    (named("web-"), 2, "name"),
    (named("web_1"), 2, "name"),
    (named("../web"), 2, "name"),
    (named("web.service"), 2, "name"),
    (named("wéb"), 2, "name"),
    (named("web\nX=1"), 2, "name"),
    (named("a" * 64), 2, "name"),
    (named("localhost"), 2, "reserved"),
    (["vm", "show", "../../etc"], 2, "name"),
    (["vm", "show", "%2e%2e"], 2, "name"),
    # sizes and numbers
    ([*CREATE, "--memory", "0"], 2, "memory"),
    ([*CREATE, "--memory", "1K"], 2, "memory"),
    ([*CREATE, "--memory", "99999999999999999999G"], 2, "memory"),
    ([*CREATE, "--memory", "16777216T"], 2, "memory"),
    ([*CREATE, "--memory", "-1G"], 2, "memory"),
    ([*CREATE, "--memory", "1.5.2G"], 2, "memory"),
    ([*CREATE, "--memory", "900T"], 2, "memory"),
    ([*CREATE, "--disk", "0"], 2, "disk"),
    ([*CREATE, "--disk", "1M"], 2, "disk"),
    ([*CREATE, "--disk", "16000000T"], 2, "disk"),
    ([*CREATE, "--cpus", "0"], 2, "cpus"),
    ([*CREATE, "--cpus", "256"], 2, "cpus"),
    ([*CREATE, "--cpus", "two"], 2, "cpus"),
    ([*CREATE, "--stop-timeout", "0"], 2, "stop-timeout"),
    # ports
    ([*CREATE, "--publish", "80"], 2, "publish"),
    ([*CREATE, "--publish", "0:80"], 2, "publish"),
    ([*CREATE, "--publish", "65536:80"], 2, "publish"),
    ([*CREATE, "--publish", "8080:80/icmp"], 2, "publish"),
    ([*CREATE, "--publish", "8080:80,guestfwd=tcp:1.2.3.4:1-cmd:x"], 2, "publish"),
    ([*CREATE, "--publish", "8080:80", "--publish", "8080:81"], 2, "twice"),
    ([*CREATE, "--publish", "19090:80"], 4, "another VM"),
    ([*CREATE, "--publish", "80:80"], 7, "root only"),
    ([*CREATE, "--publish", "192.0.2.1:8080:80"], 2, "no address of this host"),
    ([*CREATE, "--publish", "[::]:8080:80"], 2, "IPv4 addresses only"),
    ([*CREATE, "--publish", "[::ffff:127.0.0.1]:8080:80"], 2, "IPv4 address is written as such"),
    # files
    ([*CREATE, "--ssh-key", "key.pub"], 2, "exclude each other"),
    ([*CREATE[:-1], "--ssh-key", "missing.pub"], 2, "No such file"),
    ([*CREATE[:-1], "--ssh-key", "folder"], 2, "directory"),
    ([*CREATE[:-1], "--ssh-key", "key"], 2, "private key"),
    ([*CREATE[:-1], "--ssh-key", "plain.yaml"], 2, "ssh-key"),
    ([*CREATE, "--user-data", "missing"], 2, "No such file"),
    ([*CREATE, "--user-data", "folder"], 2, "directory"),
    ([*CREATE, "--user-data", "fifo"], 2, "regular file"),
    ([*CREATE, "--user-data", "plain.yaml"], 2, "cloud-init"),
    ([*CREATE, "--user-data", "bad.yaml"], 2, "user-data"),
    ([*CREATE, "--user-data", "long.txt"], 2, "64 KiB"),
    ([*CREATE, "--init-script", "noinit.sh"], 2, "#!"),
    ([*CREATE, "--init-script", "missing"], 2, "No such file"),
    # labels
    ([*CREATE, "--label", "=x"], 2, "label"),
    ([*CREATE, "--label", "a b=x"], 2, "label"),
    # disks, snapshots, copies
    (["vm", "resize", "old"], 2, "nothing is to change"),
    (["vm", "resize", "old", "--disk", "1M"], 2, "never made smaller"),
    (["vm", "resize", "old", "--disk", "-1G"], 2, "disk"),
    (["vm", "resize", "old", "--disk", "+0"], 2, "disk"),
    (["vm", "resize", "old", "--disk", ""], 2, "disk"),
    (["vm", "resize", "old", "--disk", "16000000T"], 2, "disk"),
    (["vm", "resize", "old", "--disk", "+9223372036854775807"], 2, "too large"),
    (["vm", "resize", "old", "--disk", "100000001"], 2, "sectors"),
    (["vm", "resize", "old", "--memory", "1K"], 2, "memory"),
    (["vm", "resize", "old", "--memory", "900T"], 2, "memory"),
    (["vm", "resize", "old", "--cpus", "0"], 2, "cpus"),
    (["vm", "resize", "old", "--cpus", "256"], 2, "cpus"),
    (["vm", "resize", "nothing", "--cpus", "2"], 3, "nothing"),
    (["vm", "disk", "add", "old", "0"], 2, "SIZE"),
    (["vm", "disk", "add", "old", "512"], 2, "size"),
    (["vm", "disk", "add", "old", "16000000T"], 2, "size"),
    (["vm", "disk", "add", "old", "1G", "--name", "root"], 2, "root"),
    (["vm", "disk", "add", "old", "1G", "--name", "../disk"], 2, "name"),
    (["vm", "disk", "add", "old", "1G", "--name", "a" * 21], 2, "too long"),
    (["vm", "disk", "add", "old", "1G", "--name", "a,serial=b"], 2, "name"),
    (["vm", "disk", "add", "nothing", "1G"], 3, "nothing"),
    (["vm", "disk", "rm", "old", "data", "--yes"], 3, "data"),
    (["vm", "disk", "rm", "old", "root", "--yes"], 2, "root"),
    (["vm", "disk", "list", "nothing"], 3, "nothing"),
    (["vm", "snapshot", "create", "old", "../x"], 2, "SNAPSHOT"),
    (["vm", "snapshot", "create", "old", "a" * 64], 2, "SNAPSHOT"),
    (["vm", "snapshot", "create", "nothing"], 3, "nothing"),
    (["vm", "snapshot", "restore", "old", "none", "--yes"], 3, "none"),
    (["vm", "snapshot", "restore", "old", "none"], 2, "--yes"),
    (["vm", "snapshot", "delete", "old", "none", "--yes"], 3, "none"),
    (["vm", "clone", "old", "old"], 4, "exists"),
    (["vm", "clone", "old", "New"], 2, "name"),
    (["vm", "clone", "nothing", "new"], 3, "nothing"),
    (["vm", "clone", "old", "new", "--publish", "19090:80"], 4, "another VM"),
    (["vm", "clone", "old", "new", "--publish", "80"], 2, "publish"),
    (["image", "publish", "old", "tiny"], 4, "exists"),
    (["image", "publish", "old", "New"], 2, "name"),
    (["image", "publish", "nothing", "new"], 3, "nothing"),
    (["image", "publish", "old"], 2, "NAME"),
    (["vm", "backup", "nothing", "new.tar.zst"], 3, "nothing"),
    (["vm", "backup", "old", "key"], 4, "exists already"),
    (["vm", "backup", "old", "folder"], 2, "regular file"),
    (["vm", "backup", "old", "-", "--force"], 2, "force"),
    (["vm", "restore", "missing"], 2, "No such file"),
    (["vm", "restore", "folder"], 2, "directory"),
    (["vm", "restore", "key"], 10, "damaged"),
    (["vm", "restore", "key", "--as", "Old"], 2, "--as"),
    (["vm", "restore", "key", "--as", "old"], 4, "exists"),
    (["vm", "restore", "key", "--network", "lan"], 2, "OLD=NEW"),
    (["vm", "restore", "key", "--publish", "80"], 2, "publish"),
    # what is not there, or is there already
    (["vm", "create", "new", "--image", "nothing", "--no-ssh-key"], 3, "nothing"),
    (named("old"), 4, "exists"),
    (["vm", "show", "nothing"], 3, "nothing"),
    (["vm", "delete", "nothing", "--yes"], 3, "nothing"),
    (["start", "nothing"], 3, "nothing"),
    (["exec", "old", "--", "true"], 4, "not running"),
    (["console", "old"], 4, "not running"),
    (["vm", "pause", "old"], 4, "not running"),
    (["image", "show", "nothing"], 3, "nothing"),
    (["image", "export", "nothing", "out.qcow2"], 3, "nothing"),
    (["image", "export", "tiny", "tiny.qcow2"], 4, "--force"),
    (["image", "export", "tiny", "folder"], 2, "regular file"),
    (["image", "export", "tiny", "/dev/null", "--force"], 2, "regular file"),
    (["image", "export", "tiny", "missing/out.qcow2"], 3, "No such file"),
    (["image", "export", "tiny", "out.vdi", "--format", "vdi"], 2, "--format"),
    (["image", "export", "tiny", "out.raw", "--compress"], 2, "--compress"),
    (["image", "export", "tiny", "-", "--force"], 2, "--force"),
    (["image", "rm", "tiny"], 4, "old"),
    (["image", "rm", "nothing", "nothing-else"], 3, "nothing-else"),
    (["vm", "show", "old", "nothing"], 2, "nothing"),
    # images
    (["image", "import", "new", "missing.qcow2"], 2, "No such file"),
    (["image", "import", "new", "folder"], 2, "directory"),
    (["image", "import", "new", "cut.qcow2"], 10, "damaged"),
    (["image", "import", "new", "backed.qcow2"], 2, "backing"),
    (["image", "import", "new", "outside.qcow2"], 2, "in another file"),
    (["image", "import", "new", "locked.qcow2"], 2, "encrypt"),
    (["image", "import", "new", "extents.vmdk"], 2, "extents"),
    (["image", "import", "new", "other.qed"], 2, "QED"),
    (["image", "import", "new", "cut.xz"], 10, "damaged"),
    (["image", "import", "new", "more.xz"], 10, "damaged"),
    (["image", "import", "new", "twice.gz"], 2, "more than once"),
    (["image", "import", "new", "up.ova"], 2, "plain files"),
    (["image", "import", "new", "link.ova"], 2, "plain files"),
    (["image", "import", "new", "two.ova"], 2, "several disks"),
    (["image", "import", "new", "no.ova"], 2, "no OVA"),
    (["image", "import", "new", "empty.ova"], 2, "no disk"),
    (["image", "import", "new", "sum.ova"], 10, "manifest"),
    (["image", "import", "new", "packed.ova.gz"], 2, "tar archive"),
    (["image", "import", "new", "/dev/null"], 2, "regular file"),
    (["image", "import", "new", "-"], 2, "empty"),
    (["image", "import", "New", "tiny.qcow2"], 2, "name"),
    (["image", "import", "tiny", "tiny.qcow2"], 4, "exists"),
    (["image", "import", "new", "tiny.qcow2", "--sha256", "00"], 2, "sha256"),
    (["image", "import", "new", "tiny.qcow2", "--sha256", "0" * 64], 10, "SHA-256"),
    (["image", "import", "new", "tiny.qcow2", "--kernel", "missing"], 2, "No such file"),
    # aliases, pins, prune
    (["image", "import", "alias", "tiny.qcow2"], 4, "exists"),
    (["image", "tag", "nothing", "new"], 3, "image nothing: does not exist"),
    (["image", "tag", "tiny", "tiny"], 4, "share one name space"),
    (["image", "tag", "tiny", "../new"], 2, "name"),
    (["image", "tag", "tiny"], 2, "ALIAS"),
    (["image", "untag", "tiny"], 3, "capsulctl image rm tiny"),
    (["image", "untag", "nothing"], 3, "nothing"),
    (["image", "pin", "nothing"], 3, "nothing"),
    (["image", "pin", "../../etc"], 2, "name"),
    (["image", "prune"], 2, "--yes"),
    (["image", "prune", "--yes", "--older-than", "30"], 2, "not a valid age"),
    (["image", "prune", "--yes", "--older-than", "-5d"], 2, "older-than"),
    (["image", "prune", "--dry-run", "--older-than", "1000000d"], 2, "not a valid age"),
    (["image", "prune", "tiny"], 2, "tiny"),
    (["image", "df", "tiny"], 2, "tiny"),
    # the command line itself
    (["vm", "strat", "old"], 2, "start"),
    (["vm", "create"], 2, "NAME"),
    (["vm", "list", "--columns", "nonsense"], 2, "nonsense"),
    (["vm", "list", "-o", "yaml"], 2, "yaml"),
])
def test_a_bad_command_is_refused(capsul, argv, code, said):
    done = capsul.ctl(*argv, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("capsulctl: ") and done.stdout == ""


def test_an_error_is_json_when_json_is_wanted(capsul):
    done = capsul.ctl("vm", "show", "nothing", "--json", check=False)
    error = json.loads(done.stderr)
    assert done.returncode == 3 and error["code"] == "not_found" and error["message"]


def test_of_several_targets_all_are_tried(capsul):
    done = capsul.ctl("start", "nothing", "old", check=False)
    assert done.returncode == 9 and "nothing" in done.stderr
    assert capsul.state("old") == "running"
    capsul.ctl("stop", "old", "--force")


def test_without_a_daemon_a_command_exits_6(capsul):
    done = capsul.ctl("vm", "list", "--socket", "/nowhere.sock", check=False)
    assert done.returncode == 6 and "hint: " in done.stderr


def curl(capsul, *args, **options):
    """(status, body) of a request to the socket."""
    done = capsul.run(["curl", "--silent", "--max-time", "60", "--unix-socket", capsul.socket, "--write-out",
                       "\n%{http_code}", *args], check=False, **options)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def post(capsul, path, body):
    return curl(capsul, "--header", "Content-Type: application/json", "--data-binary", body, f"http://capsul{path}")


@pytest.mark.parametrize("path, body, status, code", [
    ("/v1/vms", '{"name": "new", "image": "tiny", "colour": "red"}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "image": 7}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "image": "tiny", "cpus": "2"}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "image": "tiny", "cpus": 2.5}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "image": "tiny", "cpus": 4294967298}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "image": "tiny", "memory": null}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "image": "tiny", "start": 1}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "image": "tiny", "publish": "80:80"}', 400, "invalid"),
    ("/v1/vms", '{"name": "../x", "image": "tiny"}', 400, "invalid"),
    ("/v1/vms", '{"name": "new"}', 400, "invalid"),
    ("/v1/vms", '{"name": "new", "name": "other", "image": "tiny"}', 400, "invalid"),
    ("/v1/vms", '[]', 400, "invalid"),
    ("/v1/vms", '{"name": ', 400, "invalid"),
    ("/v1/vms", '"\\ud800"', 400, "invalid"),
    ("/v1/vms", "[" * 100000, 400, "invalid"),
    ("/v1/vms/old/start", '{"force": true}', 400, "invalid"),
    ("/v1/vms/%2e%2e/start", '{}', 400, "invalid"),
    ("/v1/vms/%zz/start", '{}', 400, "invalid"),
    ("/v1/vms/nothing/start", '{}', 404, "not_found"),
    ("/v1/vms/old/resize", '{"disk": 20}', 400, "invalid"),
    ("/v1/vms/old/resize", '{"cpus": 0}', 400, "invalid"),
    ("/v1/vms/old/disks", '{"size": "1G", "file": "/etc/passwd"}', 400, "invalid"),
    ("/v1/vms/old/clone", '{}', 400, "invalid"),
    ("/v1/vms/old/publish", '{}', 400, "invalid"),
    ("/v1/vms/old/publish", '{"image": "../x"}', 400, "invalid"),
    ("/v1/vms/nothing/publish", '{"image": "new"}', 404, "not_found"),
    ("/v1/vms/old/backup", '{"file": "/etc/passwd"}', 400, "invalid"),
    ("/v1/restores", '{}', 400, "invalid"),
    ("/v1/restores", '{"archive": "/etc/passwd"}', 400, "invalid"),
    ("/v1/restores", '{"archive": "00000000-0000-4000-8000-000000000000"}', 404, "not_found"),
    ("/v1/restores", '{"archive": "00000000-0000-4000-8000-000000000000", "networks": {"lan": "pub"}}', 400, "invalid"),
    ("/v1/nothing", '{}', 404, "not_found"),
    ("/v1/images", '{"name": "new", "disk": "00000000-0000-4000-8000-000000000000"}', 404, "not_found"),
    ("/v1/images/tiny/export", '{"format": "vdi"}', 400, "invalid"),
    ("/v1/images/tiny/export", '{"format": "raw", "compress": true}', 400, "invalid"),
    ("/v1/images/tiny/export", '{"file": "/etc/passwd"}', 400, "invalid"),
    ("/v1/aliases", '{"name": "new", "image": "nothing"}', 404, "not_found"),
    ("/v1/aliases", '{"name": "tiny", "image": "tiny"}', 409, "exists"),
    ("/v1/aliases", '{"name": "new"}', 400, "invalid"),
    ("/v1/images/nothing/pin", '{}', 404, "not_found"),
    ("/v1/images/tiny/pin", '{"pinned": false}', 400, "invalid"),
    ("/v1/prune", '{"older_than": 30}', 400, "invalid"),
    ("/v1/prune", '{"older_than": "30"}', 400, "invalid"),
    ("/v1/prune", '{"only": "tiny"}', 400, "invalid"),
])
def test_a_bad_request_is_answered_as_a_problem(capsul, path, body, status, code):
    answered, text = post(capsul, path, body)
    problem = json.loads(text)
    assert (answered, problem["code"], problem["status"]) == (status, code, status)
    assert problem["title"]


def test_a_hundred_megabytes_are_refused_and_not_kept(capsul):
    big = capsul.run("head -c 100000000 /dev/zero | curl --silent --max-time 60 --unix-socket $SOCKET "
                     "--header 'Content-Type: application/json' --data-binary @- --output /dev/null "
                     "--write-out '%{http_code}' http://capsul/v1/vms", env={"SOCKET": capsul.socket}, check=False)
    assert big.stdout in ("413", "000")
    peak = capsul.run(f"sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/{capsul.daemon_pid()}/status").stdout
    assert int(peak) < 200_000
    assert capsul.state("old") == "stopped"


GARBAGE = """
import os, socket, sys
for data in (os.urandom(100000), b"GET / HTTP/9.9\\r\\n\\r\\n", b"\\r\\n" * 5000, b"GET /" + b"a" * 100000,
             b"POST /v1/vms HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: -1\\r\\n\\r\\n",
             b"POST /v1/vms HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nfffffffffffffffff\\r\\n"):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(sys.argv[1])
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
"""


def test_garbage_on_the_socket_harms_nobody(capsul):
    daemon = capsul.daemon_pid()
    capsul.run(["/usr/bin/python3", "-c", GARBAGE, capsul.socket], timeout=150)
    assert capsul.state("old") == "stopped" and capsul.daemon_pid() == daemon


def test_another_user_is_refused(capsul):
    capsul.host.run("useradd --create-home mallory")
    done = capsul.host.run(["capsulctl", "--socket", capsul.socket, "vm", "list"], user="mallory", check=False)
    assert done.returncode == 7 and done.stdout == ""
    assert json.loads(capsul.host.run(["capsulctl", "--socket", capsul.socket, "vm", "list", "--json"]).stdout)


def test_a_port_that_another_program_has_is_refused(capsul):
    capsul.run("systemd-run --user --quiet --unit=taken /usr/bin/python3 -m http.server 19191 --bind 127.0.0.1; "
               "timeout 20 sh -c 'until curl --silent --output /dev/null http://127.0.0.1:19191/; do sleep 0.1; done'")
    try:
        done = capsul.ctl(*CREATE, "--publish", "19191:80", check=False)
        assert done.returncode == 4 and "19191" in done.stderr
    finally:
        capsul.run("systemctl --user stop taken")


def test_without_qemu_a_vm_is_neither_made_nor_started(capsul):
    program = "/usr/bin/qemu-system-x86_64"
    capsul.host.run(f"mv {program} {program}.away")
    try:
        for argv in (CREATE, ["start", "old"]):
            done = capsul.ctl(*argv, check=False)
            assert done.returncode == 8 and "qemu-system-x86" in done.stderr, done.stderr
        assert capsul.json("vm", "show", "old")["enabled"] is False
        assert capsul.ctl("doctor", check=False).returncode == 8
    finally:
        capsul.host.run(f"mv {program}.away {program}")


def test_a_vm_that_qemu_refuses_is_taken_back(capsul):
    """A kernel that looks like one: QEMU starts and ends at once."""
    capsul.run("{ printf '\\177ELF'; head -c 4096 /dev/zero; } >nokernel")
    capsul.ctl("image", "import", "nokernel", "tiny.qcow2", "--kernel", "nokernel")
    try:
        done = capsul.ctl("vm", "create", "new", "--image", "nokernel", "--memory", "64M", "--no-ssh-key", check=False)
        assert done.returncode == 125 and "kernel" in done.stderr
    finally:
        capsul.ctl("image", "rm", "nokernel")


@pytest.mark.parametrize("text, said", [
    ("[server]\nthreads = 'four'\n", "threads"),
    ("[server]\ncolour = 'red'\n", "colour"),
    ("[server\n", "capsuld.toml"),
    ("[vm]\nssh_port_first = 70000\n", "ssh_port_first"),
])
def test_a_bad_configuration_is_refused_with_file_and_line(capsul, text, said):
    capsul.run("mkdir -p .config/capsul && cat >.config/capsul/capsuld.toml", input=text)
    try:
        done = capsul.run(["/usr/libexec/capsul/capsuld", "--check-config"], check=False)
        assert done.returncode == 2 and said in done.stderr and "capsuld.toml:" in done.stderr
    finally:
        capsul.run("rm -r .config/capsul")


@pytest.fixture
def small_disk(capsul):
    """The daemon's data on a disk of 24 MB."""
    data = f"/home/{capsul.user}/.local/share/capsul"
    capsul.run("systemctl --user stop capsuld.service")
    capsul.host.run(f"mount -t tmpfs -o size=24m,uid={capsul.uid},mode=0700 small {data}")
    yield data
    capsul.run("systemctl --user stop capsuld.service")
    capsul.host.run(f"umount {data}")


def test_a_full_disk_while_importing_leaves_nothing(capsul, small_disk):
    capsul.run("head -c 60000000 /dev/urandom >big.raw")
    before = capsul.traces()
    for argv in (["image", "import", "new", "big.raw"], ["image", "import", "new", "-"]):
        done = capsul.ctl(*argv, check=False, input=None if argv[-1] != "-" else "x" * 60_000_000)
        assert done.returncode == 125 and "space" in done.stderr, done.stderr
        assert capsul.json("image", "list") == []
    assert [line for line in capsul.traces() if line not in before and not line.startswith("d ")] == []
    capsul.run("rm big.raw")


def test_a_full_disk_while_creating_leaves_nothing(capsul, small_disk):
    capsul.ctl("image", "import", "tiny", "tiny.qcow2")
    capsul.ctl("vm", "list")
    capsul.run(f"head -c 30000000 /dev/zero >{small_disk}/filler", check=False)
    before = capsul.traces()
    done = capsul.ctl(*CREATE, check=False)
    assert done.returncode == 125 and "space" in done.stderr, done.stderr
    assert capsul.traces() == before
    assert capsul.json("vm", "list") == []


def test_a_copy_takes_no_space_that_others_need(capsul, small_disk):
    """Guests stand still when there is none: before that whoever asks for a copy is told."""
    capsul.ctl("image", "import", "tiny", "tiny.qcow2")
    capsul.ctl(*CREATE, "--no-start")
    capsul.run(f"head -c $(($(df --output=avail -B1 {small_disk} | tail -n 1) - 12000000)) /dev/zero >{small_disk}/filler")
    before = capsul.traces()
    done = capsul.ctl("vm", "clone", CREATE[2], "copy", check=False)
    assert done.returncode == 125 and "space" in done.stderr, done.stderr
    assert capsul.traces() == before
    capsul.ctl("vm", "delete", CREATE[2], "--yes")
