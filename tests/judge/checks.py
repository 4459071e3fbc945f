"""What the Python judges share: a list of checks against one simulated server, one line each.

The server under judgement comes in the environment variable JUDGE_SERVER as JSON:
{"slug", "url", "serverId", "token", "plexTv", "users": [{"id", "uuid", "name", "password", "token", ...}]}.
"""

import json
import os
import sys
import traceback


class Server:
    """The simulated server that is judged."""

    def __init__(self):
        facts = json.loads(os.environ["JUDGE_SERVER"])
        self.slug = facts["slug"]
        self.url = facts["url"].rstrip("/")
        self.server_id = facts["serverId"]
        self.token = facts["token"]
        self.plex_tv = (facts.get("plexTv") or "").rstrip("/")
        self.users = facts["users"]

    def admin(self):
        """The owner or administrator."""
        return next(user for user in self.users if user["admin"])

    def others(self):
        """Everybody else."""
        return [user for user in self.users if not user["admin"]]


class Checks:
    """Runs checks in the order they are declared; a failed one does not stop the next."""

    def __init__(self, judge):
        self.judge = judge
        self.server = Server()
        self.failed = 0

    def that(self, sentence):
        """Decorator: runs the function at once and prints one line about it."""

        def run(check):
            line = f"{self.judge} on {self.server.slug}: {sentence}"
            try:
                check()
                print(f"ok   {line}", flush=True)
            except Exception as error:  # a judge's verdict, whatever its kind
                self.failed += 1
                reason = str(error).strip().replace("\n", " ")[:600] or "assertion failed"
                where = traceback.extract_tb(error.__traceback__)
                own = [frame for frame in where if os.path.basename(frame.filename).startswith("judge_")]
                at = f"{os.path.basename(own[-1].filename)}:{own[-1].lineno}" if own else "?"
                print(f"FAIL {line}\n     {type(error).__name__} at {at}: {reason}", flush=True)
                if os.environ.get("JUDGE_VERBOSE"):
                    traceback.print_exc()
            return check

        return run

    def done(self):
        """Ends the judge with its verdict."""
        sys.exit(1 if self.failed else 0)


def equal(found, expected, what="value"):
    """Fails with both values in the message."""
    assert found == expected, f"{what}: found {found!r}, expected {expected!r}"


def raises(kind, action):
    """Fails unless `action` raises an exception of that kind; returns it."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"nothing raised, expected {kind}")
