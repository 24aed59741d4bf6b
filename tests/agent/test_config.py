"""What the agent refuses to start with, and what it tells to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from memdiag.cli.main import main


def node(root: Path, *, version: int = 2) -> list[str]:
    (root / "proc/sys/kernel/random").mkdir(parents=True)
    (root / "proc/sys/kernel/random/boot_id").write_text("00000000-0000-0000-0000-000000000000\n")
    cgroup = root / "cgroup"
    (cgroup / "memory").mkdir(parents=True)
    if version == 2:
        (cgroup / "cgroup.controllers").write_text("memory\n")
    return ["--cgroup-root", str(cgroup), "--proc-root", str(root / "proc"), "--state-dir", str(root / "state")]


@pytest.mark.parametrize(
    ("version", "words", "said"),
    [
        (1, ("--node", "a"), "is no cgroup v2 root"),
        (2, (), "give --node or set NODE_NAME"),
        (2, ("--node", "a"), "give --namespace"),
        (2, ("--node", "a", "--namespace", "m", "--api-server", "ftp://a"), "expected https://host:port"),
        (2, ("--node", "a", "--namespace", "m", "--proc-root", "/nowhere"), "--proc-root /nowhere is no /proc"),
        (2, ("--node", "a", "--namespace", "m", "--state-dir", "/dev/null/x"), "is --state-dir /dev/null/x a writable"),
    ],
)
def test_it_names_option_and_remedy(
    version: int, words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", *node(tmp_path, version=version), *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("memdiag agent: ")
    assert said in told
