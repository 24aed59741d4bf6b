"""The memdiag command itself."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.verdict.simulated import FAMILIES, simulate
from memdiag import __version__
from memdiag.cli.main import main
from memdiag.model.tracefile import lines

OPERATOR = Path(__file__).parents[2] / "operator"
TRACE = Path(__file__).parents[1] / "diagnosis/fixtures/leak-1.jsonl.gz"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for command in ("diagnose", "record", "agent", "operator"):
        assert command in text


def test_help_of_diagnose_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    assert "memdiag diagnose checkout.jsonl" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"memdiag {__version__}\n"


@pytest.mark.parametrize("words", [[], ["dance"], ["diagnose"]])
def test_a_wrong_call_ends_with_2_and_no_stack_trace(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    trace = tmp_path / "a.jsonl"
    trace.write_text("".join(lines(simulate(FAMILIES[0], 1))), encoding="utf-8")
    many = [str(trace)] * 60
    program = [sys.executable, "-m", "memdiag", "diagnose", "-o", "json", *many]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    program = shlex.join([sys.executable, "-m", "memdiag"])
    command = ["sh", "-c", line.replace("memdiag", program, 1)]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(OPERATOR), **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ("memdiag explain - <&-", 2, "memdiag explain: standard input: nothing in it."),
        (f"memdiag diagnose {TRACE} >&-", 0, ""),
        (f"memdiag diagnose {TRACE} 2>&-", 0, ""),
        (f"memdiag diagnose {TRACE} >/dev/full", 2, "memdiag diagnose: the output cannot be written: No space left"),
        (f"memdiag diagnose {TRACE} -o html >/dev/full", 2, "memdiag diagnose: the output cannot be written"),
    ],
)
def test_closed_streams_and_full_disks_give_no_stack_trace(line: str, status: int, error: str) -> None:
    done = shell(line)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert done.stderr.startswith(error)


def test_a_page_is_whole_in_any_encoding_of_the_terminal() -> None:
    pages = [shell(f"memdiag diagnose {TRACE} -o html", PYTHONIOENCODING=name) for name in ("utf-8", "latin-1")]
    assert [page.returncode for page in pages] == [0, 0], pages[1].stderr
    first, second = (page.stdout.partition("Made by memdiag")[0] for page in pages)
    assert first == second
    assert first.isascii()
    assert " &#183; container " in first


def test_an_interrupt_is_no_error() -> None:
    # a shell lets what it starts in the background ignore the signal, and whatever that starts
    program = ["env", "--default-signal=INT", sys.executable, "-m", "memdiag", "diagnose", "-"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"\n" * 200_000)  # more than a pipe holds: it is being read
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""
