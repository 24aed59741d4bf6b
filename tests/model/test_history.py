"""The history table: what goes in comes out, to its units, and malformed tables are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.model.history import History, HistoryRun, decode, decode_column, encode, encode_column
from memdiag.model.trace import Level, Pressure, Sample

KIB = 1024
sizes = st.none() | st.integers(0, 2**30).map(lambda kib: kib * KIB)
counts = st.none() | st.integers(0, 2**40)


@given(st.lists(st.none() | st.integers(-(2**50), 2**50)))
def test_a_column_survives_its_text(values: list[int | None]) -> None:
    assert decode_column(encode_column(values), len(values)) == values


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    def known(**pairs: int | None) -> dict[str, int]:
        return {key: value for key, value in pairs.items() if value is not None}

    some, cpu = draw(counts), draw(counts)
    stat = known(anon=draw(sizes), file=draw(sizes), shmem=draw(sizes), sock=draw(sizes), kernel=draw(sizes))
    return Sample(
        t=draw(st.integers(0, 2 * 10**10)) / 10,
        level=Level(
            current=draw(sizes),
            max=draw(sizes | st.just("max")),
            swap_current=draw(sizes),
            events=known(max=draw(counts)),
            stat=stat,
            pressure_some=None if some is None else Pressure(total=some * 1000),
            cpu={} if cpu is None else {"usage_usec": cpu * 1000},
            pids=draw(counts),
        ),
        net=known(rx_packets=draw(counts)),
    )


@given(st.lists(st.tuples(st.booleans(), st.lists(samples(), min_size=1, max_size=4)), min_size=1, max_size=3))
def test_runs_survive_their_table(found: list[tuple[bool, list[Sample]]]) -> None:
    runs = [
        (HistoryRun(f"c{i}", 1.5 * i, 9.5 if ended else None, ended or None, KIB), rows)
        for i, (ended, rows) in enumerate(found)
    ]
    again = decode(encode(runs))
    for (run, rows), back in zip(runs, again, strict=True):
        assert (back.container_id, back.started, back.samples) == (run.container_id, run.started, tuple(rows))
        assert (None if back.end is None else back.end.t) == run.ended
        assert [sample.demand for sample in back.samples] == [sample.demand for sample in rows]


def test_reclaimable_slab_stays_out_of_demand() -> None:
    sample = Sample(1.0, Level(stat={"anon": 8 * KIB, "kernel": 6 * KIB, "slab_reclaimable": 2 * KIB}))
    (run,) = decode(encode([(HistoryRun("c", None, None), [sample])]))
    assert run.samples[0].demand == sample.demand == 12 * KIB


@pytest.mark.parametrize(("column", "text"), [("t", "1 2"), ("t", "x"), ("run", "5"), ("anon", "a"), ("anon", "1 2 3")])
def test_a_malformed_table_is_refused(column: str, text: str) -> None:
    table = encode([(HistoryRun("c", None, None), [Sample(1.0, Level(stat={"anon": KIB}))])])
    with pytest.raises(ValueError, match=r"history|invalid literal"):
        decode(replace(table, columns={**table.columns, column: text}))


def test_an_empty_table_has_runs_without_samples() -> None:
    (run,) = decode(History((HistoryRun("c", 1.0, 2.0, True, 5),), {}))
    assert run.samples == ()
    assert run.end is not None
    assert (run.end.killed, run.end.level.peak) == (True, 5)
