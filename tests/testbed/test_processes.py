import os
import signal
import socket
import sys
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


_SERVER_WHOSE_FIRST_THREAD_ENDS = """
import ctypes, socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(60,)).start()
print(server.getsockname()[1], flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_first_thread_is_dead_still_runs_and_holds_its_port(tmp_path: Path) -> None:
    process = Process("headless", tmp_path)
    process.start([sys.executable, "-c", _SERVER_WHOSE_FIRST_THREAD_ENDS])
    pid = process.pid
    while ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.01)
    assert runs(process)
    port = int(process.log.read_text())
    process.stop(grace=0)
    assert not runs(process)
    socket.create_server(("127.0.0.1", port)).close()


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
