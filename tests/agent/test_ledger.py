"""A disk that is full is played by the limit of a file's size: a write is cut short, and the next one fails."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memdiag.agent.ledger import MOST_LINES, Entry, Ledger

ID = "a" * 64
BOOT = "boot-1"


@contextmanager
def full_at(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def entry(ordinal: int) -> Entry:
    return Entry("pod", ID, ordinal, (float(ordinal), 7), 1, ordinal, ordinal, time=600.0 * ordinal)


def test_what_a_full_disk_did_not_take_is_written_before_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path, BOOT)
    ledger.write(entry(1))
    with full_at(path.stat().st_size + 30):
        for ordinal in range(2, 60):
            with pytest.raises(OSError, match="File too large"):
                ledger.write(entry(ordinal))
    ledger.write(entry(60))
    ledger.close()
    again = Ledger(path, BOOT)
    assert len(again.seen) == 60
    assert (again.next_ordinal(ID), again.leaf_told(ID)) == (61, 60)
    again.close()


def test_a_ledger_that_cannot_be_cut_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path, BOOT)
    ledger.write(*map(entry, range(1, MOST_LINES + 1)))
    cut = tmp_path / ".ledger.new"
    cut.mkdir()  # no file can be put there
    ledger.write(entry(MOST_LINES + 1))
    ledger.write(entry(MOST_LINES + 2))
    ledger.close()
    assert "ledger not cut" in capsys.readouterr().err
    cut.rmdir()
    again = Ledger(path, BOOT)
    assert again.next_ordinal(ID) == MOST_LINES + 3
    again.close()


def test_an_agent_that_starts_on_a_full_disk_knows_what_was_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path, BOOT)
    ledger.write(*map(entry, range(1, 20)))
    ledger.close()
    with path.open("ab") as file:
        file.write(b'{"boot":"boot-1","is":"ki')
    with full_at(100):
        started = Ledger(path, BOOT)
        assert started.next_ordinal(ID) == 20
        assert list(tmp_path.iterdir()) == [path], "no half of a file is left in the way"
    assert "ledger not cut" in capsys.readouterr().err
    started.write(entry(20))
    started.close()
    again = Ledger(path, BOOT)
    assert again.next_ordinal(ID) == 21
    again.close()


def test_a_line_that_an_older_agent_wrote_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text(f'{{"boot":"{BOOT}","is":"container","id":"{ID}","ordinal":7,"told":9}}\n')
    ledger = Ledger(path, BOOT)
    assert (ledger.next_ordinal(ID), ledger.leaf_told(ID)) == (8, 9)
    assert not ledger.told_blind(ID, 1.0)
    ledger.close()
