#!/usr/bin/env python3
"""Makes base/watchstate.yaml, what `kubectl apply -k charts/base` applies, by rendering the chart.

    python3 charts/base.py HELM            writes it
    python3 charts/base.py HELM --check    fails if it is not up to date

What is Helm's own is left out: its labels, and the namespace, which kubectl or a kustomization gives.
"""

import re
import subprocess
import sys
from pathlib import Path

CHARTS = Path(__file__).parent
TARGET = CHARTS / "base" / "watchstate.yaml"
NAMESPACE = "left-to-the-user"
HEADER = "# Made by rendering the chart with base/values.yaml: python3 charts/base.py HELM\n"
HELMS_OWN = re.compile(rf"^(# Source: .*|\s+namespace: {NAMESPACE}|\s+helm\.sh/chart: .*|\s+app\.kubernetes\.io/managed-by: Helm)\n", re.MULTILINE)


def render(helm):
    # The version is named, since helm takes an old one for granted where it sees no cluster and was built without its release's flags.
    command = [helm, "template", "watchstate", CHARTS / "watchstate", "--values", CHARTS / "base" / "values.yaml"]
    command += ["--namespace", NAMESPACE, "--no-hooks", "--kube-version", "1.34.0"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    text = HELMS_OWN.sub("", text)
    if NAMESPACE in text:
        raise SystemExit("the namespace stands in a place that base.py doesn't know")
    return HEADER + text


def main():
    helm, *rest = sys.argv[1:]
    text = render(helm)
    if rest == ["--check"]:
        if not TARGET.exists() or TARGET.read_text() != text:
            print(f"{TARGET} is not up to date: run python3 charts/base.py {helm}", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
