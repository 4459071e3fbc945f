#!/usr/bin/env python3
"""Makes the table of values in watchstate/README.md, and watchstate/values.schema.json, from the comments in watchstate/values.yaml.

    python3 charts/readme.py            writes both
    python3 charts/readme.py --check    fails if one of them is not up to date

A key is described by the lines above it that begin with "# --"; a line "# @schema {...}" adds to its schema; a line "## " begins a section.
A map whose keys are not described is one row: what stands in it is up to the user. So are the keys of a map that stands in its own key's line,
`{a: b}`: there is no line above them that isn't its. Needs PyYAML.
"""

import json
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).parent / "watchstate"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


class Undescribed(Exception):
    """A key of values.yaml without a description."""


class Key:
    """One key of values.yaml, with what its comments say."""

    def __init__(self, path, node, value, lines):
        self.path, self.value, self.line = path, value, node.start_mark.line
        self.description, self.hints, self.section = comments(lines, self.line)


def comments(lines, at):
    """The comment lines straight above a key: its description, its schema, and the section that begins there."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    above = []
    for line in reversed(lines[:at]):
        text = line.strip()
        # A section's title stands apart from what it is above of.
        if text and (not text.startswith("#") or len(line) - len(line.lstrip()) != indent):
            break
        above.append(text)
        if text.startswith("## "):
            break
    description, hints, section, open_ = [], {}, None, False
    for text in reversed(above):
        if text.startswith("## "):
            section, open_ = text[3:], False
        elif text.startswith("# @schema "):
            hints, open_ = json.loads(text[len("# @schema "):]), False
        elif text.startswith("# -- "):
            description, open_ = [text[5:]], True
        elif text.startswith("# ") and open_:
            description.append(text[2:])
        else:
            open_ = False
    return " ".join(description), hints, section


def children(node, value, path, lines, parent=None):
    """The keys of a map, except those in the line of its own key, `parent`: what is said above that line is said of the map."""
    apart = [(key, below) for key, below in node.value if key.start_mark.line != parent]
    return [(Key((*path, key.value), key, value[key.value], lines), below) for key, below in apart]


def walk(node, value, path, lines, parent=None):
    """Rows for the README, and the schema of a map."""
    rows, properties = [], {}
    for key, below in children(node, value, path, lines, parent):
        name = key.path[-1]
        if key.section:
            rows.append(key.section)
        inner = children(below, key.value, key.path, lines, key.line) if isinstance(key.value, dict) else []
        if key.description and not any(child.description for child, _ in inner):
            rows.append(key)
            properties[name] = {"description": key.description, "type": TYPES[type(key.value)], "default": key.value, **key.hints}
        elif inner:
            more, schema = walk(below, key.value, key.path, lines, key.line)
            rows += more
            properties[name] = {"description": key.description, **schema} if key.description else schema
        else:
            raise Undescribed(".".join(key.path))
    return rows, {"type": "object", "additionalProperties": False, "properties": properties}


def generate():
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows, schema = walk(yaml.compose(text), values, (), text.splitlines())
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart watchstate", **schema}
    # Helm gives these to a chart that is part of another: the one always, the other where that turns its parts on and off.
    schema["properties"]["global"] = {"description": "Values of the chart that this one is part of; not used.", "type": "object"}
    schema["properties"]["enabled"] = {"description": "Whether the chart that this one is part of wants it; not used here.", "type": "boolean"}
    table, heads = [], 0
    for row in rows:
        if isinstance(row, str):
            heads += 1
            table += ([""] if heads > 1 else []) + [f"### {row}", "", "| key | default | |", "|---|---|---|"]
        else:
            default = json.dumps(row.value, ensure_ascii=False).replace("|", "\\|")
            description = row.description.replace("|", "\\|")
            table.append(f"| `{'.'.join(row.path)}` | `{default}` | {description} |")
    readme = (CHART / "README.md").read_text()
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return {
        CHART / "README.md": head + "\n".join([BEGIN, *table, END]) + tail,
        CHART / "values.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    }


def main():
    stale = {path: text for path, text in generate().items() if not path.exists() or path.read_text() != text}
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"{path} is not up to date: run python3 charts/readme.py", file=sys.stderr)
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text)
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
