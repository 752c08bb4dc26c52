#!/usr/bin/python3
"""An HTTP server of files that behaves as badly as it is told to, for tests of downloads.

    image_server.py --root FOLDER [--bind ADDRESS] [--port PORT] [--log FILE]

Prints its port when it listens. How it answers is said by the query of each URL, such as /disk.raw?cut=1000&cuts=3:

    cut=N           closes the connection after N bytes of each answer's content (reset=1: resets it)
    stall=N         sends nothing more after N bytes of each answer's content
    cuts=N          cut and stall only so many answers to this URL, and behave from then on
    rate=N          bytes a second
    ranges=no       takes no Range, and says so by answering with all
    ranges=ignore_if  answers a Range even if the file is another one by now
    range_shift=N   answers a Range with one that begins N bytes later
    etag=TEXT       that one; none: none; weak: a weak one; new: another one each time
    modified=no     no Last-Modified
    length=N        says that the content has N bytes, whatever it has; none: does not say
    chunked=1       sends it in chunks, without a length
    extra=N         N bytes after the end
    status=N        that status; statuses=N: only so many times
    retry_after=N   goes with a status
    type=TEXT       Content-Type
    redirect=URL    leads there; loop=1: leads back to itself
    endless=1       content without end

Each answer is a line of JSON in the log: path, query, range, if_range, if_none_match, status, sent (bytes of content).
"""

import argparse
import collections
import email.utils
import hashlib
import http.server
import json
import os
import re
import socket
import struct
import threading
import time
import urllib.parse
from pathlib import Path

PIECE = 16 * 1024


class Cut(Exception):
    """The connection ends here, as the query wants it."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "image-server"
    times = collections.Counter()
    lock = threading.Lock()
    root = Path()
    log_file = None

    def log_message(self, *_):
        pass

    def option(self, name, default=None):
        return self.options.get(name, [default])[0]

    def number(self, name):
        value = self.option(name)
        return None if value is None else int(value)

    def how_often(self, what):
        """Counts this answer among those of its URL."""
        with self.lock:
            self.times[what, self.path] += 1
            return self.times[what, self.path]

    def within(self, limit, what):
        """Whether this answer is one of the first so many, if there is such a limit."""
        most = self.number(limit)
        return most is None or self.how_often(what) <= most

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        self.options = urllib.parse.parse_qs(parts.query)
        self.sent, self.status = 0, 0
        try:
            self.answer(urllib.parse.unquote(parts.path))
        except (Cut, OSError):
            self.close_connection = True
        finally:
            self.write_log(parts)

    def write_log(self, parts):
        if self.log_file is None:
            return
        line = {"path": parts.path, "query": parts.query, "range": self.headers["Range"],
                "if_range": self.headers["If-Range"], "if_none_match": self.headers["If-None-Match"],
                "status": self.status, "sent": self.sent}
        with self.lock, open(self.log_file, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def answer(self, path):
        if self.option("loop"):
            return self.say(302, {"Location": self.path})
        if self.option("redirect"):
            return self.say(302, {"Location": self.option("redirect")})
        if self.option("status") and self.within("statuses", "status"):
            headers = {"Retry-After": self.option("retry_after")} if self.option("retry_after") else {}
            return self.say(int(self.option("status")), headers)
        if self.option("endless"):
            return self.send_without_end()
        file = self.root / path.lstrip("/")
        if not file.is_file():
            return self.say(404, {})
        return self.send_file(file)

    def begin(self, status, headers):
        self.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def say(self, status, headers):
        """With a page for people, as servers do."""
        page = f"<!DOCTYPE html><html><body>{status}</body></html>".encode()
        self.begin(status, headers | {"Content-Type": "text/html", "Content-Length": str(len(page))})
        self.wfile.write(page)

    def etag_of(self, file):
        wanted = self.option("etag", "")
        if wanted == "none":
            return None
        if wanted == "new":
            return f'"{self.how_often("etag")}"'
        content = f"{file.stat().st_size}-{file.stat().st_mtime_ns}-{wanted}".encode()
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        return "W/" + tag if wanted == "weak" else tag

    def headers_of(self, file, etag):
        headers = {"Content-Type": self.option("type", "application/octet-stream"), "Accept-Ranges": "bytes"}
        if etag:
            headers["ETag"] = etag
        if self.option("modified") != "no":
            headers["Last-Modified"] = email.utils.formatdate(int(file.stat().st_mtime), usegmt=True)
        return headers

    def first_wanted(self, headers):
        """The byte from which on the file is wanted; None = all of it."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not found or self.option("ranges") == "no":
            return None
        condition = self.headers["If-Range"]
        is_same = condition is None or condition in (headers.get("ETag"), headers.get("Last-Modified"))
        return int(found[1]) if is_same or self.option("ranges") == "ignore_if" else None

    def send_file(self, file):
        size = file.stat().st_size
        etag = self.etag_of(file)
        headers = self.headers_of(file, etag)
        if etag and self.headers["If-None-Match"] == etag:
            return self.begin(304, headers)
        first = self.first_wanted(headers)
        if first is not None and first >= size:
            return self.say(416, headers | {"Content-Range": f"bytes */{size}"})
        status = 200 if first is None else 206
        begin = first or 0
        if first is not None:
            begin += self.number("range_shift") or 0
            headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
        if self.option("chunked"):
            headers["Transfer-Encoding"] = "chunked"
        elif self.option("length") == "none":
            headers["Connection"] = "close"
            self.close_connection = True
        else:
            headers["Content-Length"] = self.option("length", str(size - begin))
        self.begin(status, headers)
        with open(file, "rb") as opened:
            opened.seek(begin)
            self.send_pieces(iter(lambda: opened.read(PIECE), b""))
        if self.number("extra"):
            self.wfile.write(b"\0" * self.number("extra"))
        if self.number("length"):
            raise Cut  # it said something else, and says no more
        return None

    def send_without_end(self):
        self.begin(200, {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"})
        self.send_pieces(iter(lambda: b"x" * PIECE, b""), chunked=True)

    def send_pieces(self, pieces, chunked=False):
        chunked = chunked or bool(self.option("chunked"))
        stop = self.number("cut") if self.option("cut") else self.number("stall")
        if stop is not None and not self.within("cuts", "cut"):
            stop = None
        rate = self.number("rate")
        for piece in pieces:
            if stop is not None and self.sent + len(piece) >= stop:
                self.send_piece(piece[:stop - self.sent], chunked)
                self.end_early()
            self.send_piece(piece, chunked)
            if rate:
                time.sleep(len(piece) / rate)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def send_piece(self, piece, chunked):
        if not piece:
            return
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        self.sent += len(piece)

    def end_early(self):
        if self.option("stall"):
            # Until the client has had enough: it sends nothing but its end.
            self.connection.recv(1)
        if self.option("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        raise Cut


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    chosen = parser.parse_args()
    Handler.root, Handler.log_file = chosen.root, chosen.log
    with Server((chosen.bind, chosen.port), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
