#!/usr/bin/python3
"""clang-tidy over lib, daemon and cli, by the flags of build/tidy, in which up to eight files are one unit; a unit that passed
is not looked at again until a file of it, a header of the project, the checks or its flags change. With names of files: the
units that they are in."""

import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capsul-checks"
TIDY = shutil.which("clang-tidy-19") or sys.exit("clang-tidy-19 is missing: tests/install-deps.sh")
JOBS = min(2, os.cpu_count() or 1)  # each takes up to a gigabyte
# g++ knows these, clang does not.
FOREIGN_FLAGS = {"-Wuseless-cast", "-Wduplicated-cond", "-Wlogical-op", "-Wno-maybe-uninitialized", "-Wno-tsan",
                 "-Wno-subobject-linkage"}

# The analyzer takes what g++ makes of a coroutine's frame for uninitialized.
COROUTINES = ("daemon/server.cpp", "-clang-analyzer-core.*")


def digest(*parts):
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part if isinstance(part, bytes) else part.encode())
        sha.update(b"\0")
    return sha.hexdigest()


def what_all_depend_on():
    headers = sorted(p for folder in ("lib", "daemon", "cli") for p in (ROOT / folder).rglob("*.hpp"))
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    return digest(version, (ROOT / ".clang-tidy").read_bytes(), *(p.read_bytes() for p in headers))


def flags_of(entry):
    words = shlex.split(entry["command"])
    start = next(i for i, word in enumerate(words) if word.endswith(("g++", "c++"))) + 1
    words = words[start:]
    for option in ("-o", "-c"):
        at = words.index(option)
        del words[at:at + 2]
    return [word for word in words if word not in FOREIGN_FLAGS]


def sources_of(entry):
    """The project's files that are compiled as one, of which a unit is nothing but a list."""
    file = Path(entry["file"])
    if not file.is_relative_to(ROOT / "build"):
        return [file]
    return [Path(name) for name in re.findall(r'^#include "(.*)"$', file.read_text(), re.M)]


def check(entry, common):
    sources = sources_of(entry)
    names = [str(source.relative_to(ROOT)) for source in sources]
    flags = flags_of(entry)
    checks = [f"--checks={COROUTINES[1]}"] if COROUTINES[0] in names else []
    stamp = CACHE / digest(common, *names, *(source.read_bytes() for source in sources),
                           " ".join(checks + flags).replace(str(ROOT), ""))
    if stamp.exists():
        stamp.touch()
        return names, True, ""
    done = subprocess.run([TIDY, "--quiet", *checks, entry["file"], "--", *flags], cwd=entry["directory"],
                          text=True, capture_output=True)
    if done.returncode == 0:
        stamp.touch()
    return names, done.returncode == 0, done.stdout + (done.stderr if done.returncode else "")


def main():
    CACHE.mkdir(parents=True, exist_ok=True)
    entries = json.loads((ROOT / "build/tidy/compile_commands.json").read_text())
    if only := {(ROOT / name).resolve() for name in sys.argv[1:]}:
        entries = [entry for entry in entries if only.intersection(sources_of(entry))]
    common = what_all_depend_on()
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for names, passed, text in pool.map(lambda entry: check(entry, common), entries):
            if not passed:
                failed += 1
                print(f"{', '.join(names)}:\n{text}", flush=True)
    print(f"{len(entries)} units, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
