#!/usr/bin/python3
"""Who may include what: folders of the project, and each third-party library only in the files that wrap it."""

import fnmatch
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A folder's files never include these.
FOLDERS = {
    "lib": ["daemon", "cli", "tests"],
    "daemon": ["cli", "tests"],
    "cli": ["daemon", "tests"],
}

# Beginning of the header's name -> the only files (beside tests) that may include it. fmt is used everywhere.
LIBRARIES = {
    "boost/asio": ["lib/asio.cpp", "lib/client.cpp", "daemon/server.cpp", "daemon/listener.cpp",
                   "daemon/http_session.hpp"],
    "boost/beast": ["lib/asio.cpp", "lib/client.cpp", "daemon/server.cpp", "daemon/listener.cpp",
                    "daemon/http_*.?pp"],
    "boost/": [],
    "nlohmann/": ["lib/fields.hpp", "lib/json.?pp"],
    "toml++/": ["lib/toml.cpp"],
    "yaml.h": ["daemon/yaml.cpp"],
    "CLI/": ["cli/command.hpp", "cli/help.hpp"],
    "libsmartcols/": ["cli/table.cpp"],
    "archive": ["daemon/seed_iso.cpp", "daemon/tar_writer.cpp", "daemon/unpack/archive_reader.cpp"],
    "zstd": ["daemon/zstd_writer.cpp"],
    "curl/": ["daemon/fetch/transfer.cpp"],
    "openssl/": ["daemon/digest.cpp", "lib/vpn_key.cpp", "lib/join_code.cpp", "lib/tls.cpp"],
    "seccomp.h": ["daemon/launcher/call_filter.cpp"],
    "linux/landlock.h": ["daemon/launcher/file_rules.cpp"],
    "systemd/sd-bus.h": ["daemon/systemd_*.?pp"],
    "systemd/sd-id128.h": ["daemon/journal.cpp"],
    "systemd/sd-journal.h": ["daemon/journal.cpp", "daemon/main.cpp"],
    "systemd/sd-daemon.h": ["daemon/main.cpp", "daemon/relay/main.cpp", "daemon/peer/main.cpp"],
    "systemd/": [],
    "netlink/": ["daemon/netlink.cpp", "daemon/nethelper/*.?pp"],
    "gtest/": [],
    "gmock/": [],
}

# Whoever includes a header of lib/ pays for none of these.
NEVER_IN_LIB_HEADERS = ["boost/", "systemd/", "netlink/", "toml++/", "openssl/"]

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")', re.MULTILINE)


def complaint(file, header, local):
    folder = file.split("/")[0]
    if local:
        if header.split("/")[0] in FOLDERS.get(folder, []):
            return f"{folder}/ must not depend on {header.split('/')[0]}/"
        return None
    if folder == "lib" and file.endswith(".hpp") and any(header.startswith(b) for b in NEVER_IN_LIB_HEADERS):
        return "not in a header of lib/"
    if folder == "tests":
        return None
    for beginning, files in LIBRARIES.items():
        if header.startswith(beginning):
            if any(fnmatch.fnmatch(file, pattern) for pattern in files):
                return None
            return f"only in {', '.join(files) or 'the tests'}"
    return None


def main():
    bad = 0
    for folder in ("lib", "daemon", "cli", "tests"):
        for path in sorted((ROOT / folder).rglob("*.[ch]pp")):
            file = str(path.relative_to(ROOT))
            for match in INCLUDE.finditer(path.read_text()):
                header = match[1] or match[2]
                why = complaint(file, header, local=match[2] is not None)
                if why:
                    line = path.read_text()[:match.start()].count("\n") + 1
                    print(f"{file}:{line}: {header}: {why}")
                    bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
