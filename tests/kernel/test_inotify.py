from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from memdiag.kernel import inotify


def test_events_of_a_directory(tmp_path: Path) -> None:
    with inotify.Inotify() as watcher:
        number = watcher.add(str(tmp_path), inotify.CREATE | inotify.DELETE)
        (tmp_path / "pod").mkdir()
        (tmp_path / "pod").rmdir()
        events = watcher.read()
        assert [(event.watch, event.name) for event in events] == [(number, "pod"), (number, "pod")]
        assert events[0].mask == inotify.CREATE | inotify.IS_DIRECTORY
        assert watcher.read() == []
        assert watcher.add(str(tmp_path / "none"), inotify.MODIFY) is None
        assert number is not None
        watcher.remove(number)
        watcher.remove(number)


@given(st.binary(max_size=300))
def test_any_bytes_split(data: bytes) -> None:
    inotify.split_events(data)
