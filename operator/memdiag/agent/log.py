"""The agent's log: one JSON object a line on standard error. JSON escapes whatever text a pod controls."""

from __future__ import annotations

import json
import sys
import time


def log(event: str, /, **fields: object) -> None:
    """Write one event with its fields and the time (Unix seconds)."""
    line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}, default=str)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
