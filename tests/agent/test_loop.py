from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from memdiag.agent.loop import Agent
from memdiag.agent.spool import Spool
from tests.agent.node_of_files import A, FileNode


def test_without_inotify_a_kill_is_told_by_the_counters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs of one user share 128 instances by default: a node may have none left."""
    node = FileNode(tmp_path, A)
    node.stop()
    spool = Spool(node.state)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    # The ledger is the one file that stays open before.
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, before[1]))
    try:
        agent = Agent(node.config(), spool)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "max_user_instances" in capsys.readouterr().err
    agent.start()
    node.rise(A)
    limit = time.monotonic() + 20
    agent.run(lambda: bool(spool.waiting()) or time.monotonic() > limit)
    assert len(spool.waiting()) == 1
    assert agent.signals().watches_refused
