from __future__ import annotations

import os
import resource
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


def test_where_the_kernel_gives_no_instance_no_event_comes(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))  # as fs.inotify.max_user_instances fails
    try:
        watcher = inotify.Inotify()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with watcher:
        assert watcher.missing is not None
        assert "Too many open files" in watcher.missing
        assert watcher.add(str(tmp_path), inotify.CREATE) is None
        (tmp_path / "pod").mkdir()
        assert watcher.read() == []
        assert watcher.refused == 1


@given(st.binary(max_size=300))
def test_any_bytes_split(data: bytes) -> None:
    inotify.split_events(data)
