from __future__ import annotations

import os
from pathlib import Path

from tests.agent.node_of_files import NOW, PARENT, POD, A, B, FileNode


def test_a_cgroup_that_goes_while_it_is_opened_leaves_no_file_open(tmp_path: Path) -> None:
    """Its folder can still be opened, but what is in it is no more: as in the moment of its removal."""
    node = FileNode(tmp_path, A)
    going = [node.root / PARENT[1:] / B, node.root / f"kubepods/burstable/pod{POD[::-1]}"]
    for folder in going:
        folder.mkdir()
        (folder / "memory.events").write_text("oom_kill 0\n")
        (folder / "memory.current").write_text("1\n")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open one more
    for second in range(5):
        node.node.rescan(NOW + second)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above
    assert list(node.node.pods[POD].containers) == [A]
    node.stop()
