#!/usr/bin/env python3
"""Runs test_chart.py: python3 charts/tests/run.py [HELM]

PyYAML is installed into a folder of its own, ${XDG_CACHE_HOME:-~/.cache}/watchstate-chart-tests, where this Python hasn't got it.
"""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

PYYAML = "PyYAML==6.0.3"
TESTS = Path(__file__).resolve().parent / "test_chart.py"


def python():
    """A Python with PyYAML."""
    if importlib.util.find_spec("yaml"):
        return sys.executable
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "watchstate-chart-tests" / f"{sys.version_info.major}.{sys.version_info.minor}-{PYYAML}"
    if not (place / "complete").exists():
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", PYYAML], check=True)
        (place / "complete").touch()
    return place / "bin/python"


if __name__ == "__main__":
    sys.exit(subprocess.run([python(), TESTS, *(sys.argv[1:] or ["helm"])]).returncode)
