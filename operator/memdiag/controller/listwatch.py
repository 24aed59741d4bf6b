"""List and watch one collection in a thread: paged, resumed by resource version, listed again when that is too old."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from memdiag.controller.metrics import WatchEnd
from memdiag.kube.api import Api, ApiError, ExpiredError, TransientError

_log = logging.getLogger(__name__)
_SERVER_TIMEOUT = 540
"""Seconds after which the server ends a watch and it is resumed."""
_SILENCE = 130.0
"""Seconds without a message after which a stream counts as dead: a bookmark comes each minute, the first one later."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0


class Sink(Protocol):
    """Who is told, always from the watching thread."""

    def changed(self, item: Mapping[str, Any]) -> None:
        """Take in an object that is there, new or not."""

    def removed(self, item: Mapping[str, Any]) -> None:
        """Take in the last state of an object that is gone."""

    def listed(self, uids: set[str]) -> None:
        """Take in that a whole list was read: what is not in it is gone."""


class ListWatch:
    """One collection, followed until `stop`. `age` and `synced` are its signs of life."""

    def __init__(
        self,
        api: Api,
        path: str,
        sink: Sink,
        clock: Callable[[], float] = time.monotonic,
        *,
        selector: str = "",
        began_anew: Callable[[WatchEnd], None] = lambda _why: None,
    ) -> None:
        self._api = api
        self._path = path
        self._sink = sink
        self._clock = clock
        self._selected = {"labelSelector": selector} if selector else {}
        self._began_anew = began_anew
        self._stopped = threading.Event()
        self._heard = clock()
        self._version: str | None = None
        self.synced = False
        self._thread = threading.Thread(target=self.run, name=f"watch {path}", daemon=True)

    def start(self) -> None:
        """Begin in a thread of its own, which ends with the process."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end after the next message."""
        self._stopped.set()

    def ended(self) -> bool:
        """Say whether the thread was started and is no more, though nobody asked it to end."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._stopped.is_set()

    def age(self) -> float:
        """Return the seconds since the server last said anything."""
        return self._clock() - self._heard

    def run(self) -> None:
        """Follow the collection; what the API server refuses or breaks off is logged and tried again."""
        pause = _FIRST_PAUSE
        version: str | None = None
        while not self._stopped.is_set():
            try:
                if version is None:
                    version = self._list()
                version = self._follow(version)
                pause = _FIRST_PAUSE
                self._began_anew(WatchEnd.TIMEOUT)
            except ExpiredError:
                self._began_anew(WatchEnd.EXPIRED)
                version = None
            except ApiError as error:
                self._began_anew(WatchEnd.ERROR)
                _log.warning("watch of %s broke, trying again in %.1f s: %s", self._path, pause, error)
                self._stopped.wait(max(pause, error.retry_after or 0) if isinstance(error, TransientError) else pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                version = self._version

    def _list(self) -> str:
        uids: set[str] = set()
        version = ""
        self._version = None
        for page in self._api.pages(self._path, self._selected):
            self._heard = self._clock()
            version = version or str(page["metadata"]["resourceVersion"])
            for item in page.get("items") or ():
                uids.add(item["metadata"]["uid"])
                self._tell(self._sink.changed, item)
        self._sink.listed(uids)
        self.synced = True
        return version

    def _follow(self, version: str) -> str:
        self._version = version
        query = {
            **self._selected,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_SERVER_TIMEOUT),
        }
        for event in self._api.watch(self._path, query, _SILENCE):
            if self._stopped.is_set():
                break
            self._heard = self._clock()
            item = event.get("object") or {}
            if event.get("type") == "ERROR":
                if item.get("code") == 410:
                    raise ExpiredError(f"watch {self._path}: {item.get('message')}", 410)
                raise TransientError(f"watch {self._path}: {item.get('message')}", item.get("code"))
            self._version = str(item["metadata"]["resourceVersion"])
            if event.get("type") == "DELETED":
                self._tell(self._sink.removed, item)
            elif event.get("type") != "BOOKMARK":
                self._tell(self._sink.changed, item)
        return self._version

    def _tell(self, take: Callable[[Mapping[str, Any]], None], item: Mapping[str, Any]) -> None:
        try:
            take(item)
        except Exception:  # noqa: BLE001  # one object that cannot be read must not end the watch of all others
            _log.exception("object %s of %s cannot be read, it is left out", item["metadata"].get("name"), self._path)
