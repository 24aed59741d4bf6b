from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memdiag.cli.main import main
from memdiag.cli.record import Recorder, below, record
from memdiag.kernel.klog import KernelLog
from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.model.trace import Level
from memdiag.model.tracefile import parse

SOURCE = Path(__file__).parents[2] / "operator"
KILL_LINES = (
    "<4>[   12.000000] app invoked oom-killer: gfp_mask=0xcc0, order=0, oom_score_adj=0\n"
    "<6>[   12.000000] oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/app,task_memcg=/app,task=app,pid=9,uid=0\n"
    "<3>[   12.000000] Memory cgroup out of memory: Killed process 9 (app) total-vm:1kB, anon-rss:1kB, file-rss:0kB, "
    "shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0\n"
)


class Cgroup:
    """A folder of files as the kernel writes them, and what happens to it at each wait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = "<6>[    1.000000] boot\n"
        self.write(kills=0, populated=1)
        (folder / "memory.stat").write_text("anon 4096\n")
        (folder / "memory.current").write_text("8192\n")

    def write(self, kills: int, populated: int) -> None:
        (self.folder / "memory.events").write_text(f"oom_kill {kills}\n")
        (self.folder / "cgroup.events").write_text(f"populated {populated}\n")

    def trace(self, *steps: Callable[[], object], between: Callable[[], object] | None = None) -> list[dict[str, Any]]:
        """Record until the steps are used up; what happens `between` happens behind the mark, before the recording."""
        lines: list[dict[str, Any]] = []
        waiting = list(steps)

        def wait(_seconds: float) -> bool:
            if not waiting:
                return True
            waiting.pop(0)()
            return False

        def ring() -> bytes:
            return self.log.encode()

        recorder = Recorder(CgroupReader(str(self.folder)), "/app", "/none", KernelLog(ring), clock=lambda: 1000.0)
        if between is not None:
            recorder.mark()
            between()
        record(recorder, lines.append, 1.0, wait)
        parse([json.dumps(line) for line in lines], "trace")
        return lines


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["type"] for line in lines]


def test_it_stops_when_told_and_leaves_the_run_open(tmp_path: Path) -> None:
    lines = Cgroup(tmp_path).trace(lambda: None)
    assert kinds(lines) == ["header", "run_started", "sample", "sample"]
    assert lines[2]["memory.stat"] == {"anon": 4096}


def test_a_program_that_died_before_the_first_sample_was_killed_all_the_same(tmp_path: Path) -> None:
    cgroup = Cgroup(tmp_path)

    def killed() -> None:
        cgroup.log += KILL_LINES
        cgroup.write(kills=2, populated=0)

    lines = cgroup.trace(lambda: None, between=killed)
    assert kinds(lines) == ["header", "run_started", "run_ended"]
    assert lines[-1]["killed"] is True
    assert any("Killed process 9" in line for line in lines[-1]["kernel_log"])


def test_a_kill_that_ends_the_run(tmp_path: Path) -> None:
    cgroup = Cgroup(tmp_path)

    def killed() -> None:
        cgroup.log += KILL_LINES
        cgroup.write(kills=1, populated=0)

    lines = cgroup.trace(killed, lambda: None)
    assert kinds(lines) == ["header", "run_started", "sample", "run_ended"]
    assert lines[-1]["killed"] is True
    assert any("Killed process 9" in line for line in lines[-1]["kernel_log"])
    assert lines[-1]["memory.events"] == {"oom_kill": 1}


@pytest.mark.parametrize(
    ("named", "killed"), [("/docker/1f/app", True), ("/docker/1f/app/x", True), ("/1f/app2", False)]
)
def test_in_a_cgroup_namespace_the_kernels_log_has_more_before_the_path(
    named: str, killed: bool, tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    (mount / "app").mkdir(parents=True)
    assert below(mount / "app", mount) == ("/app", True)
    (mount / "cgroup.events").write_text("populated 1\n")
    path, rooted = below(mount / "app", mount)
    log = KernelLog(lambda: KILL_LINES.replace("task_memcg=/app", f"task_memcg={named}").encode())
    recorder = Recorder(CgroupReader(str(mount / "app")), path, "/none", log, rooted=rooted)
    # the cgroup is gone with its counters before they could be read: the log alone tells
    ended = recorder.end(Level(), recorder.reports(), counted=False)
    assert ended["killed"] is killed


def test_a_kill_that_the_run_outlives(tmp_path: Path) -> None:
    cgroup = Cgroup(tmp_path)

    def killed() -> None:
        cgroup.log += KILL_LINES
        cgroup.write(kills=1, populated=1)

    lines = cgroup.trace(killed, lambda: None, lambda: cgroup.write(kills=1, populated=0))
    # what stands in the cgroup once it is empty is no sample of its program
    assert kinds(lines) == ["header", "run_started", "sample", "sample", "kill", "run_ended"]
    assert lines[4]["victims"][0]["pid"] == 9
    assert lines[-1]["killed"] is False


def test_a_run_that_ends_by_itself(tmp_path: Path) -> None:
    cgroup = Cgroup(tmp_path)
    lines = cgroup.trace(lambda: cgroup.write(kills=0, populated=0))
    assert lines[-1]["killed"] is False


class Gone(CgroupReader):
    """A cgroup that was removed after it was opened."""

    def light(self) -> Level:
        raise CgroupGoneError(self.path)


def test_a_cgroup_that_goes_before_its_first_reading_ended_nobody_knows_how(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    recorder = Recorder(Gone(str(tmp_path)), "/app", "/none", KernelLog(KILL_LINES.encode))
    assert record(recorder, lines.append, 1.0, lambda _seconds: True) == 0
    assert kinds(lines) == ["header", "run_started", "run_ended"]
    assert lines[-1].get("killed") is None


def test_unusable_input_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "--cgroup", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["record", "--cgroup", str(tmp_path)]) == 2
    assert "memory.current" in capsys.readouterr().err


@pytest.mark.quick_kernel
def test_it_records_a_real_kill(quick_kernel: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text(
        "set -e\n"
        "mkdir /sys/fs/cgroup/app\n"
        "echo 24M > /sys/fs/cgroup/app/memory.max\n"
        f"({sys.executable} -c 'import time\n"
        'open("/sys/fs/cgroup/app/cgroup.procs", "w").write("0")\n'
        "kept = []\n"
        "while True:\n  kept.append(bytearray(1 << 18)); time.sleep(0.03)') &\n"
        "until grep -q 'populated 1' /sys/fs/cgroup/app/cgroup.events; do sleep 0.05; done\n"
        f"{sys.executable} -m memdiag record --cgroup /sys/fs/cgroup/app --interval 0.2 -o {tmp_path}/trace.jsonl\n"
    )
    ran = quick_kernel(
        ["bash", script], tmp_path, env={"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}, timeout=90
    )
    assert ran.status == 0, ran.stderr
    (run,) = parse((tmp_path / "trace.jsonl").read_text().splitlines(), "trace").runs
    assert len(run.samples) >= 2
    assert run.end is not None
    assert run.end.killed is True
    assert run.samples[-1].level.max == 24 * 2**20
    assert any("oom-kill:" in line for line in run.end.kernel_log)
