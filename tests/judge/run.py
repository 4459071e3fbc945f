#!/usr/bin/env python3
"""Lets other people's client libraries judge the simulated servers.

    python3 tests/judge/run.py [--only plex] [--sim target/debug/watchstate-sim]

Installs the clients (see install.py), builds and starts `watchstate-sim` with one server of each kind, and runs every
judge against the servers it is for. One line a check, then `N passed, N failed`; the exit status is 1 if any failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from install import HERE, install

ROOT = HERE.parent.parent
# Script -> beginning of the names of the servers it judges.
JUDGES = {
    "judge_plexapi.py": "plex",
    "judge_ctrl_plex.js": "plex",
    "judge_jellyfin_sdk.js": "jellyfin",
    "judge_jellyfin_pydantic.py": "jellyfin",
    "judge_jellyfin_apiclient.py": "jellyfin",
    "judge_embyclient.py": "emby",
}
# Longer than any judge takes; one that hangs has failed.
TIMEOUT = 300


def build():
    """Builds the simulators; answers the binary."""
    command = ["cargo", "build", "--quiet", "--package", "watchstate-tests", "--bin", "watchstate-sim"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return ROOT / target / "debug/watchstate-sim"


def judge(script, server, clients):
    """Runs one judge against one server; answers how many checks passed and failed."""
    if script.endswith(".js"):
        # Node looks for packages beside the script, so the script goes where they are.
        for name in ("checks.js", script):
            shutil.copy(HERE / name, clients / name)
        command, cwd = ["node", clients / script], clients
    else:
        command, cwd = [clients / "venv/bin/python", "-B", HERE / script], HERE
    environment = {**os.environ, "JUDGE_SERVER": json.dumps(server)}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT
        )
        output, noise, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        output, noise, status = (late.stdout or b"").decode(), f"still running after {TIMEOUT} s", 1
    print(output, end="", flush=True)
    passed = sum(line.startswith("ok ") for line in output.splitlines())
    failed = sum(line.startswith("FAIL ") for line in output.splitlines())
    # A judge that broke down, or said nothing, did not pass.
    if (status and not failed) or not passed + failed:
        print(f"FAIL {script} on {server['slug']}: the judge itself broke down\n{noise}", flush=True)
        failed += 1
    return passed, failed


def main():
    """Everything, in order."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default="", help="only judges whose script, or servers whose name, contains this")
    parser.add_argument("--sim", type=Path, help="the simulators' binary, if it is built already")
    options = parser.parse_args()
    clients = install()
    binary = options.sim or build()
    with subprocess.Popen([binary], stdout=subprocess.PIPE, text=True) as simulators:
        try:
            facts = json.loads(simulators.stdout.readline())
            passed = failed = 0
            for script, kind in JUDGES.items():
                for server in facts["servers"]:
                    named = options.only in script or options.only in server["slug"]
                    if named and server["slug"].startswith(kind):
                        good, bad = judge(script, {**server, "plexTv": facts["plexTv"]}, clients)
                        passed, failed = passed + good, failed + bad
        finally:
            simulators.terminate()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
