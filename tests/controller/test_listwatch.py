"""A collection is followed over pages, broken streams and versions that are too old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memdiag.controller.listwatch import ListWatch
from memdiag.kube.api import TransientError
from tests.controller.support import MemoryApi


def item(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": uid, "resourceVersion": str(version)}}


class Script(MemoryApi):
    """Plays lists and streams in order; the last stream stops the watch."""

    def __init__(self, lists: list[list[dict[str, Any]]], streams: list[list[Any]]) -> None:
        super().__init__()
        self.lists = lists
        self.streams = streams
        self.asked: list[str] = []
        self.watcher: ListWatch | None = None

    def pages(self, path: str, query: Any = None) -> Iterator[dict[str, Any]]:
        assert (path, query) == ("/api/v1/pods", {})
        yield from self.lists.pop(0)

    def watch(self, path: str, query: Any, read_timeout: float) -> Iterator[dict[str, Any]]:
        assert path == "/api/v1/pods"
        assert read_timeout > 60
        assert query["allowWatchBookmarks"] == "true"
        self.asked.append(query["resourceVersion"])
        for event in self.streams.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event
        if not self.streams:
            assert self.watcher is not None
            self.watcher.stop()


class Seen:
    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def changed(self, item: Mapping[str, Any]) -> None:
        self.told.append(("changed", item["metadata"]["uid"]))

    def removed(self, item: Mapping[str, Any]) -> None:
        self.told.append(("removed", item["metadata"]["uid"]))

    def listed(self, uids: set[str]) -> None:
        self.told.append(("listed", sorted(uids)))


def follow(script: Script) -> tuple[ListWatch, Seen]:
    seen = Seen()
    watcher = ListWatch(script, "/api/v1/pods", seen)
    script.watcher = watcher
    watcher.run()
    return watcher, seen


def page(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


def test_pages_then_events_then_resumed_where_it_broke() -> None:
    script = Script(
        [[page(10, item("a", 1)), page(10, item("b", 2))]],
        [
            [
                {"type": "MODIFIED", "object": item("a", 11)},
                {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "15"}}},
                TransientError("cut"),
            ],
            [{"type": "DELETED", "object": item("b", 16)}],
            [],
        ],
    )
    watcher, seen = follow(script)
    assert script.asked == ["10", "15", "16"]
    assert seen.told == [
        ("changed", "a"),
        ("changed", "b"),
        ("listed", ["a", "b"]),
        ("changed", "a"),
        ("removed", "b"),
    ]
    assert watcher.synced
    assert not watcher.ended()


def test_a_version_that_is_too_old_is_listed_again() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
    script = Script([[page(10, item("a", 1))], [page(50, item("c", 40))]], [[gone], []])
    _, seen = follow(script)
    assert script.asked == ["10", "50"]
    assert seen.told[-1] == ("listed", ["c"])


def test_any_other_error_in_the_stream_is_tried_again() -> None:
    overloaded = {"type": "ERROR", "object": {"code": 500, "message": "storage is (re)initializing"}}
    script = Script([[page(10)]], [[overloaded], []])
    follow(script)
    assert script.asked == ["10", "10"]


def test_the_age_is_since_the_last_message() -> None:
    now = [100.0]
    watcher = ListWatch(MemoryApi(), "/api/v1/pods", Seen(), clock=lambda: now[0])
    now[0] = 130.0
    assert watcher.age() == 30.0


def test_an_object_that_cannot_be_read_is_left_out() -> None:
    class Strict(Seen):
        def changed(self, item: Mapping[str, Any]) -> None:
            if item["metadata"]["uid"] == "odd":
                raise ArithmeticError
            super().changed(item)

    events = [{"type": "MODIFIED", "object": item(uid, 6)} for uid in ("odd", "b")]
    script = Script([[{"metadata": {"resourceVersion": "5"}, "items": [item("odd", 1), item("a", 1)]}]], [events])
    seen = Strict()
    script.watcher = ListWatch(script, "/api/v1/pods", seen)
    script.watcher.run()
    assert seen.told == [("changed", "a"), ("listed", ["a", "odd"]), ("changed", "b")]
