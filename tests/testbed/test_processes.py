import os
import signal
import time
from pathlib import Path

from testbed.processes import Process


def runs(process: Process) -> bool:
    return process.pid is not None


def test_a_process_is_started_known_and_ended(tmp_path: Path) -> None:
    process = Process("sleeper", tmp_path)
    assert not runs(process)
    process.start(["sh", "-c", "echo awake; sleep 60"])
    pid = process.pid
    assert pid is not None
    while "awake" not in process.log.read_text():
        time.sleep(0.01)
    process.stop()
    assert not runs(process)
    assert not Path(f"/proc/{pid}").exists()
    process.stop()


def test_one_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    process = Process("stubborn", tmp_path)
    process.start(["sh", "-c", "trap '' TERM; sleep 60 & wait; wait"])
    process.stop(grace=0.2)
    assert not runs(process)


def test_a_number_that_now_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gone.pid").write_text(f"{os.getpid()} 1\n")
    process = Process("gone", tmp_path)
    received: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        assert not runs(process)
        process.stop()
    finally:
        signal.signal(signal.SIGTERM, former)
    assert received == []
