#!/usr/bin/python3
"""Runs in the host, as alice: images and disks by capsul, and by the programs that one would use without it.

Prints JSON: {"times": {"DOING": {"WAY": [seconds ...]}}, "memory": {"FILE": {"PROGRAM": MiB}}}. Every way leaves the same bytes on
the disk, written out (sync), and has computed the same digests of them.
"""

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import threading
import time
from pathlib import Path

IMAGES = Path.home() / ".local/share/capsul/images"
VMS = Path.home() / ".local/share/capsul/vms"
PROGRAMS = ("capsuld", "capsulctl", "capsul-fetch", "capsul-unpack", "qemu-img")
PAUSE = 0.02  # seconds, between two looks at how much memory is used


def run(*command):
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def shell(command):
    run("sh", "-ec", command)


def ctl(*words):
    run("capsulctl", "--quiet", *words)


def timed(work, *args):
    os.sync()
    start = time.monotonic()
    work(*args)
    return time.monotonic() - start


class Work:
    """What is measured. Each method does it once; nothing of it is left when the next one begins."""

    def __init__(self, folder, size, port):
        self.folder, self.size, self.port = folder, size, port
        self.disk = folder / "disk.qcow2"
        self.copy = folder / "copy"

    def prepare(self):
        """A qcow2 full of random bytes, a server of it, and a stopped VM that has written as much over its image."""
        raw = self.folder / "raw"
        shell(f"head -c {self.size} /dev/urandom >{raw}")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, self.disk)
        raw.unlink()
        self.sha512 = hashlib.sha512(self.disk.read_bytes()).hexdigest()
        ctl("image", "import", "base", self.disk)
        ctl("vm", "create", "source", "--image", "base", "--no-start", "--no-ssh-key")
        run("qemu-io", "-f", "qcow2", "-c", f"write -P 7 0 {self.size}", VMS / "source/disk.qcow2")
        self.overlay = VMS / "source/disk.qcow2"

    # Into the cache: nobody is measured by how fast the disk reads.
    def warm(self):
        shell(f"cat {self.disk} {self.overlay} >/dev/null")

    def import_capsul(self):
        ctl("image", "import", "measured", self.disk)

    def import_by_hand(self):
        shell(f"cp {self.disk} {self.copy} && sync {self.copy} && sha256sum {self.copy} && qemu-img check -q -f qcow2 {self.copy}")

    def pull_capsul(self):
        ctl("image", "pull", self.url(), "--sha512", self.sha512, "--as", "measured")

    def pull_by_hand(self):
        shell(f"curl --silent --fail --output {self.copy} {self.url()} && sync {self.copy} && "
              f"echo '{self.sha512}  {self.copy}' | sha512sum --check --quiet")

    def clone_capsul(self):
        ctl("vm", "clone", "source", "copied")

    def clone_by_hand(self):
        base = json.loads(subprocess.run(["qemu-img", "info", "--output=json", self.overlay], check=True,
                                         capture_output=True).stdout)["full-backing-filename"]
        shell(f"qemu-img convert -f qcow2 -O qcow2 -B {base} -F qcow2 {self.overlay} {self.copy} && sync {self.copy}")

    def snapshot_capsul(self):
        ctl("vm", "snapshot", "create", "source", "measured")

    def snapshot_by_hand(self):
        shell(f"qemu-img snapshot -c by-hand {self.overlay} && sync {self.overlay}")

    def forget(self, doing, way):
        if way == "by_hand":
            self.copy.unlink(missing_ok=True)
            if doing == "snapshot":
                run("qemu-img", "snapshot", "-d", "by-hand", self.overlay)
        elif doing in ("import", "pull"):
            ctl("image", "rm", "measured")
        elif doing == "clone":
            ctl("vm", "delete", "copied", "--yes")
        else:
            ctl("vm", "snapshot", "delete", "source", "measured", "--yes")

    def url(self):
        return f"http://127.0.0.1:{self.port}/{self.disk.name}"


def times(work, rounds):
    found = {}
    for doing in ("import", "pull", "clone", "snapshot"):
        found[doing] = {"capsul": [], "by_hand": []}
        for number in range(rounds):
            for way in ["capsul", "by_hand"][::1 if number % 2 == 0 else -1]:
                work.warm()
                found[doing][way].append(timed(getattr(work, f"{doing}_{way}")))
                work.forget(doing, way)
    return found


@contextlib.contextmanager
def most_memory(found):
    """Fills {PROGRAM: the most MiB that one of its processes had in memory}, as the kernel keeps it."""
    over = threading.Event()

    def look():
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if fields["Name"].strip() in PROGRAMS and "VmHWM" in fields:
                    name, used = fields["Name"].strip(), int(fields["VmHWM"].split()[0]) / 1024
                    found[name] = max(found.get(name, 0), used)

    def watch():
        while not over.wait(PAUSE):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
        look()
    finally:
        over.set()
        thread.join()


def memory(folder, sizes):
    """Of importing raw disks that are nearly empty, with a capsuld that has done nothing else."""
    found = {}
    for size in sizes:
        disk = folder / "sparse.raw"
        with open(disk, "wb") as file:
            file.write(os.urandom(1 << 20))
            file.truncate(size << 30)
            file.seek(-(1 << 20), os.SEEK_END)
            file.write(os.urandom(1 << 20))
        run("systemctl", "--user", "restart", "capsuld.service")
        used = found[f"{size} GiB, sparse"] = {}
        with most_memory(used):
            ctl("image", "import", "sparse", disk)
        ctl("image", "rm", "sparse")
        disk.unlink()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True, help="MiB")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--sparse", type=int, nargs="*", default=[], help="GiB")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    with subprocess.Popen([args.server, "--root", args.folder], stdout=subprocess.PIPE, text=True) as server:
        try:
            work = Work(args.folder, args.size << 20, int(server.stdout.readline()))
            work.prepare()
            result = {"times": times(work, args.rounds), "memory": memory(args.folder, args.sparse)}
        finally:
            server.kill()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
