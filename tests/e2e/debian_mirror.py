"""A way for a host, which has none to the outside, to Debian's mirror: through a socket in a folder that both see.

    with host_with_mirror(name, lab, binds, folder) as capsul:   # a folder of this machine's, which asks deb.debian.org
        Mirror.url, Mirror.security_url                          # or $DEBIAN_MIRROR; these are for the host
"""

import contextlib
import http.server
import os
import shutil
import socketserver
import threading
import urllib.error
import urllib.request

from conftest import hosts, install_capsul

DEBIAN = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
SECURITY = os.environ.get("DEBIAN_SECURITY_MIRROR", "http://deb.debian.org/debian-security")
PORT = 19142
PROXY = "/usr/lib/systemd/systemd-socket-proxyd"
IN_HOST = "/srv/mirror"  # the folder


class Handler(http.server.BaseHTTPRequestHandler):
    """Passes on what it is asked for; apt verifies it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        for begin, upstream in (("/debian-security/", SECURITY), ("/debian/", DEBIAN)):
            if self.path.startswith(begin):
                return self.pass_on(f"{upstream}/{self.path.removeprefix(begin)}")
        return self.send_error(404)

    def pass_on(self, url):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                self.send_response(200)
                self.send_header("Content-Length", answer.headers["Content-Length"])
                self.end_headers()
                shutil.copyfileobj(answer, self.wfile)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)

    def address_string(self):
        return "a host"  # a Unix socket has none

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class Mirror:
    url = f"http://127.0.0.1:{PORT}/debian"
    security_url = f"http://127.0.0.1:{PORT}/debian-security"

    def __init__(self, folder):
        self.server = Server(str(folder / "mirror.sock"), Handler)
        (folder / "mirror.sock").chmod(0o666)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def open_in(capsul):
        """A unit of the user's listens on a port."""
        capsul.run("mkdir -p .config/systemd/user && cat >.config/systemd/user/mirror.socket", input=f"[Socket]\nListenStream=127.0.0.1:{PORT}\n")
        capsul.run("cat >.config/systemd/user/mirror.service", input=f"[Service]\nExecStart={PROXY} {IN_HOST}/mirror.sock\n")
        capsul.run("systemctl --user daemon-reload && systemctl --user start mirror.socket")


@contextlib.contextmanager
def host_with_mirror(name, lab, binds, folder):
    """capsul on a host of its own, which sees Debian's mirror."""
    folder.chmod(0o755)
    with Mirror(folder), hosts.Host.boot(name, users=("alice",), binds=[*binds, f"{folder}:{IN_HOST}"], lab=lab, tied=True) as host:
        capsul = install_capsul(host)
        Mirror.open_in(capsul)
        yield capsul
