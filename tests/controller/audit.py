"""What the API server wrote down of its callers: its audit log, one request a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITING = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource; `resource` may be RESOURCE/SUBRESOURCE."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


@dataclass(frozen=True)
class Asked:
    """One request as the API server answered it."""

    user: str
    verb: str
    uri: str
    code: int
    time: str
    """RFC 3339 with microseconds, of the answer."""
    right: Right | None
    """None for what is no resource: discovery, health."""
    namespace: str = ""
    name: str = ""


def read(log: Path, begin: int = 0) -> Iterator[Asked]:
    """Yield the requests of the log from a byte on, in the order of their answers; a watch is yielded once."""
    with log.open("rb") as lines:
        lines.seek(begin)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            event = json.loads(line)
            if event["verb"] == "watch" and event["stage"] == "ResponseComplete":
                continue
            where = event.get("objectRef") or {}
            resource = "/".join(part for part in (where.get("resource"), where.get("subresource")) if part)
            yield Asked(
                user=event["user"]["username"],
                verb=event["verb"],
                uri=event["requestURI"],
                code=int((event.get("responseStatus") or {}).get("code", 0)),
                time=event["stageTimestamp"],
                right=Right(where.get("apiGroup", ""), resource, event["verb"]) if resource else None,
                namespace=where.get("namespace", ""),
                name=where.get("name", ""),
            )
