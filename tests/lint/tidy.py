#!/usr/bin/python3
"""clang-tidy over lib, daemon and cli, by the flags of build/dev; a file that passed is not looked at again until it, a
header of the project, the checks or its flags change."""

import concurrent.futures
import hashlib
import json
import os
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
FOREIGN_FLAGS = {"-Wuseless-cast", "-Wduplicated-cond", "-Wlogical-op", "-Wno-maybe-uninitialized", "-Wno-tsan"}

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


def check(entry, common):
    file = Path(entry["file"])
    flags = flags_of(entry)
    checks = [f"--checks={COROUTINES[1]}"] if str(file.relative_to(ROOT)) == COROUTINES[0] else []
    stamp = CACHE / digest(common, str(file.relative_to(ROOT)), file.read_bytes(),
                           " ".join(checks + flags).replace(str(ROOT), ""))
    if stamp.exists():
        stamp.touch()
        return file, True, ""
    done = subprocess.run([TIDY, "--quiet", *checks, str(file), "--", *flags], cwd=entry["directory"],
                          text=True, capture_output=True)
    if done.returncode == 0:
        stamp.touch()
    return file, done.returncode == 0, done.stdout + (done.stderr if done.returncode else "")


def wanted(entry, only):
    file = Path(entry["file"])
    mine = file.is_relative_to(ROOT) and file.relative_to(ROOT).parts[0] in ("lib", "daemon", "cli")
    return mine and (not only or str(file.relative_to(ROOT)) in only)


def main():
    CACHE.mkdir(parents=True, exist_ok=True)
    database = json.loads((ROOT / "build/dev/compile_commands.json").read_text())
    entries = [entry for entry in database if wanted(entry, sys.argv[1:])]
    common = what_all_depend_on()
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for file, passed, text in pool.map(lambda entry: check(entry, common), entries):
            if not passed:
                failed += 1
                print(f"{file.relative_to(ROOT)}:\n{text}", flush=True)
    print(f"{len(entries)} files, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
