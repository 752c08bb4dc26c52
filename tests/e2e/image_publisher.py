"""A publisher of images for tests: a server on loopback that behaves as badly as it is told to (image_server.py)."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from conftest import Capsul, wait_until

SERVER = Path(__file__).parent / "image_server.py"
BUILT_IN = ("debian", "ubuntu", "fedora", "alpine", "rocky", "opensuse", "arch")
DISK = 24 << 20  # bytes


@dataclass
class Publisher:
    """A server of images on alice's host, whose capsuld has it for its only source, as long as a `with` lasts."""

    capsul: Capsul
    port: int = 0
    entries: list = field(default_factory=list)

    def __enter__(self):
        self.capsul.run("mkdir -p published && cat >image_server.py", input=SERVER.read_text())
        self.before = {image["name"] for image in self.capsul.json("image", "list")}
        self.serve()
        self.configure()
        return self

    def __exit__(self, *_):
        self.capsul.run("systemctl --user stop publisher; rm -rf published image_server.py port log "
                        ".config/capsul/capsuld.toml .local/share/capsul/catalogue.json; systemctl --user restart capsuld.service")

    def serve(self):
        """On the port that it had, so that what was written of it stays true."""
        run = self.capsul.run
        run("rm -f port && systemd-run --user --quiet --unit=publisher --property=StandardOutput=file:$HOME/port "
            f"--working-directory=$HOME python3 image_server.py --root published --log log --port {self.port}")
        wait_until(lambda: run("cat port 2>/dev/null", check=False).stdout.strip())
        self.port = int(run("cat port").stdout)

    def configure(self, source="", limits=""):
        """`source`: more of the source \"lab\"."""
        sources = "".join(f'[[image.source]]\nname = "{name}"\nenabled = false\n' for name in BUILT_IN)
        lab = source if "url" in source else f'kind = "index"\nurl = "{self.url("index.json")}"\n{source}'
        self.capsul.run("mkdir -p .config/capsul && cat >.config/capsul/capsuld.toml && "
                        "systemctl --user reset-failed && systemctl --user restart capsuld.service",
                        input=f'[image]\n{limits}\n{sources}[[image.source]]\nname = "lab"\n{lab}')

    def forget(self):
        """What was published, and what was pulled."""
        for image in self.capsul.json("image", "list"):
            if image["name"] not in self.before:
                self.capsul.ctl("image", "rm", *image.get("aliases", []), image["name"])
        self.capsul.run("rm -rf published/* log .local/share/capsul/fetches/* .local/share/capsul/catalogue.json")
        self.entries = []

    def pulled(self):
        return [image["name"] for image in self.capsul.json("image", "list") if image["name"] not in self.before]

    def leftovers(self):
        """Files that hold what was downloaded, and are no image."""
        return self.capsul.run("find .local/share/capsul -name '*.part' -o -name disk", check=False).stdout.splitlines()

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def size(self, file):
        return int(self.capsul.run(f"stat -c %s published/{file}").stdout)

    def publish(self, name, version, query="", **options):
        """A qcow2 of random content; its SHA-256."""
        file = f"{name}-{version}.qcow2"
        self.capsul.run(f"cd published && head -c {DISK} /dev/urandom >raw && qemu-img convert -f raw -O qcow2 raw {file} && rm raw")
        return self.offer(name, version, file, query, **options)

    def offer(self, name, version, file, query="", **options):
        """Has a file that is there in the index; its SHA-256."""
        digest = self.capsul.run(f"sha256sum published/{file}").stdout.split()[0]
        self.entries = [entry for entry in self.entries if entry["name"] != name]
        self.entries.append({"name": name, "version": version, "architecture": "x86_64", "url": self.url(file + query),
                             "sha256": digest, **options})
        self.write_index()
        return digest

    def write_index(self):
        self.capsul.run("cat >published/index.json", input=json.dumps({"format": 1, "images": self.entries}))

    def answers(self, file):
        """What the server has answered to those who asked for it, each as its log has it."""
        lines = self.capsul.run("cat log 2>/dev/null", check=False).stdout.splitlines()
        return [line for line in map(json.loads, lines) if line["path"] == f"/{file}"]
