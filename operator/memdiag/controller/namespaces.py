"""Which namespaces memdiag looks at: by name, by pattern, and by the namespaces' own labels."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any


class Namespaces:
    """Include, exclude, selector: a namespace is chosen when it passes all three. Patterns are shell patterns.

    With a selector it is the sink of a watch of the namespaces that match: the API server does the matching.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = (), *, selector: str = "") -> None:
        self._include = tuple(include)
        self._exclude = tuple(exclude)
        self.selector = selector
        self._lock = threading.Lock()
        self._matching: dict[str, str] = {}

    def chosen(self, name: str) -> bool:
        """Say whether kills in this namespace are looked at."""
        if self._include and not any(fnmatchcase(name, pattern) for pattern in self._include):
            return False
        if any(fnmatchcase(name, pattern) for pattern in self._exclude):
            return False
        with self._lock:
            return not self.selector or name in self._matching.values()

    def changed(self, item: Mapping[str, Any]) -> None:
        """Take in a namespace that matches the selector."""
        with self._lock:
            self._matching[item["metadata"]["uid"]] = item["metadata"]["name"]

    def removed(self, item: Mapping[str, Any]) -> None:
        """Take in that a namespace is gone or matches no more."""
        with self._lock:
            self._matching.pop(item["metadata"]["uid"], None)

    def listed(self, uids: set[str]) -> None:
        """Take in that a whole list was read."""
        with self._lock:
            self._matching = {uid: name for uid, name in self._matching.items() if uid in uids}
