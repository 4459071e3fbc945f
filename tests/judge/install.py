#!/usr/bin/env python3
"""Installs the judges' clients (pip, npm) into a folder of their own, named after their pinned versions.

The folder is ${XDG_CACHE_HOME:-~/.cache}/watchstate-judge/<hash>, so that it is made once for each set of versions.
Prints its path. Registries are the ones that pip and npm are configured with.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINNED = ("requirements.txt", "package.json", "package-lock.json")


def home():
    """Where the clients of these versions are, or will be."""
    digest = hashlib.sha256()
    for name in PINNED:
        digest.update((HERE / name).read_bytes())
    digest.update(f"python {sys.version_info.major}.{sys.version_info.minor}".encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "watchstate-judge" / digest.hexdigest()[:16]


def run(*command, cwd):
    """Runs a command; its output is shown only if it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))} failed with status {done.returncode}")


def install():
    """Installs what is not there yet; answers the folder."""
    place = home()
    if (place / "complete").exists():
        return place
    if sys.version_info < (3, 11):
        sys.exit("the judges need Python 3.11 or newer")
    if not shutil.which("npm"):
        sys.exit("the judges need node 20 or newer and npm: install them, then start again")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    print(f"installing the judges' clients into {place}", file=sys.stderr)
    venv.create(place / "venv", with_pip=True)
    run(place / "venv/bin/pip", "install", "--quiet", "--no-deps", "-r", HERE / "requirements.txt", cwd=place)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, place / name)
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=place)
    (place / "complete").touch()
    return place


if __name__ == "__main__":
    print(install())
