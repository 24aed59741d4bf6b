"""`memdiag run` in the real kernel (see run_guest.py), and its words where there is no right to make a cgroup."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memdiag.cli import scope
from memdiag.cli.main import main
from memdiag.diagnosis import diagnose
from memdiag.model.tracefile import parse

SOURCE = Path(__file__).parents[2] / "operator"


def tree(folder: Path, controllers: str = "cpu memory pids", enabled: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.subtree_control").write_text(enabled)
    (folder / "cgroup.procs").write_text("")
    return folder


def me(folder: Path, path: str) -> Path:
    folder.mkdir()
    (folder / "cgroup").write_text(f"1:name=systemd:/old\n0::{path}\n")
    return folder


def test_without_cgroup_v2_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--memory", "64Mi", "--mount", str(tmp_path), "--", "true"]) == 2
    assert f"no cgroup v2 at {tmp_path}" in capsys.readouterr().err


def test_without_the_memory_controller_it_says_so(tmp_path: Path) -> None:
    mount = tree(tmp_path / "cgroup", controllers="cpu pids")
    with pytest.raises(scope.ScopeError, match=r"no memory controller \(it has: cpu pids\).*cgroup_enable=memory"):
        scope.parent(None, mount, me(tmp_path / "self", "/"))


def test_a_parent_that_is_no_cgroup_is_named(tmp_path: Path) -> None:
    mount = tree(tmp_path / "cgroup", enabled="memory")
    with pytest.raises(scope.ScopeError, match=r"--parent .*nowhere: no cgroup v2 there"):
        scope.parent(tmp_path / "nowhere", mount, me(tmp_path / "self", "/"))


def test_a_parent_of_another_mount_is_refused(tmp_path: Path) -> None:
    mount, other = tree(tmp_path / "cgroup"), tree(tmp_path / "other")
    with pytest.raises(scope.ScopeError, match=r"--parent .*other is not below .*cgroup: name with --mount"):
        scope.parent(other, mount, me(tmp_path / "self", "/"))


def test_what_was_not_run_leaves_no_trace_that_stands_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "a.jsonl"
    for more in (["--output", "/proc/nothing/x"], ["--mount", str(tmp_path)]):
        assert main(["run", "--memory", "64Mi", "--record", str(record), *more, "--", "true"]) == 2
        assert not record.exists()
    assert "no cgroup v2 at" in capsys.readouterr().err


def test_ones_own_cgroup_is_found_below_the_mount(tmp_path: Path) -> None:
    mount = tree(tmp_path / "cgroup")
    inner = tree(mount / "user.slice" / "a.scope")
    assert scope.own_cgroup(mount, me(tmp_path / "self", "/user.slice/a.scope")) == inner
    assert scope.own_cgroup(mount, me(tmp_path / "other", "/../../outside")) == mount


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--memory", "64Mi"], "no command"),
        (["--memory", "64Mi", "--", "no-such-command-here"], "no-such-command-here: no such command"),
        (["--memory", "64Mi", "--record", "/proc/nothing/x", "--", "true"], "--record /proc/nothing/x"),
        (["--memory", "64Mi", "--output", "/proc/nothing/x", "--", "true"], "--output /proc/nothing/x"),
    ],
)
def test_what_cannot_be_run_is_said(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words]) in (2, 127)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--memory", "lots", "--", "true"], ["--memory", "1Mi", "--runs", "0", "--", "true"]]
)
def test_bad_options_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run", *words])
    assert stopped.value.code == 2
    assert "expected a" in capsys.readouterr().err


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def result(quick_kernel: Callable[..., Any], work: Path) -> dict[str, Any]:
    guest = Path(__file__).with_name("run_guest.py")
    work.chmod(0o777)
    ran = quick_kernel(
        [sys.executable, guest, work],
        work,
        timeout=240,
        env={"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.status == 0, ran.stderr
    found: dict[str, Any] = json.loads((work / "result.json").read_text())
    return found


@pytest.mark.quick_kernel
@pytest.mark.timeout(300)
class TestOnTheKernel:
    def test_a_leak_is_killed_twice_and_diagnosed(self, result: dict[str, Any], work: Path) -> None:
        assert result["leak"]["status"] == 137
        assert result["leak"]["left"] == []
        assert "life 1 of 2" in result["leak"]["error"]
        told = json.loads((work / "leak.json").read_text())
        assert told["cause"] == "Leak", told
        trace = parse((work / "leak.jsonl").read_text().splitlines(), "leak")
        assert [run.end.exit_code for run in trace.runs if run.end is not None] == [137, 137]
        assert all(run.end is not None and run.end.killed for run in trace.runs)
        assert diagnose(trace).cause == told["cause"]

    def test_a_trace_is_never_written_over(self, result: dict[str, Any]) -> None:
        assert result["again"]["status"] == 2
        assert "leak.jsonl: File exists" in result["again"]["error"]

    def test_what_ends_by_itself_keeps_its_output_and_status(self, result: dict[str, Any]) -> None:
        assert (result["fine"]["status"], result["fine"]["out"]) == (3, "hello\n")
        assert "nothing was killed" in result["fine"]["error"]
        assert result["fine"]["left"] == []

    def test_what_it_leaves_behind_ends_with_it(self, result: dict[str, Any]) -> None:
        assert result["leaves"]["status"] == 0
        assert result["leaves"]["seconds"] < 30
        assert result["leaves"]["left"] == []

    def test_a_command_that_is_not_there(self, result: dict[str, Any]) -> None:
        assert result["absent"]["status"] == 127
        assert result["absent"]["left"] == []

    def test_a_program_that_does_not_even_start_within_the_limit(self, result: dict[str, Any]) -> None:
        assert result["tiny"]["status"] == 137
        assert "NotKernelOOM" not in result["tiny"]["error"]
        assert "Traceback" not in result["tiny"]["error"]

    def test_a_full_disk_ends_the_trace_and_not_the_command(self, result: dict[str, Any]) -> None:
        assert result["full"]["status"] == 5
        assert result["full"]["error"].count("small/a.jsonl: No space left on device: the trace ends there") == 1
        assert "nothing was killed" in result["full"]["error"]

    def test_signals_are_passed_on(self, result: dict[str, Any]) -> None:
        assert (result["stopped"]["status"], result["stopped"]["out"]) == (7, "up\n")

    def test_without_the_right_the_remedy_is_said(self, result: dict[str, Any]) -> None:
        assert result["unprivileged"]["status"] == 2
        assert "systemd-run --user --scope -p Delegate=yes" in result["unprivileged"]["error"]
        assert "Traceback" not in result["unprivileged"]["error"]

    def test_it_steps_aside_in_a_delegated_cgroup(self, result: dict[str, Any]) -> None:
        assert result["delegated"]["status"] == 4, result["delegated"]
        assert result["delegated"]["left"] == []
