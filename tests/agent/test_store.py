from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.agent.evidence import MOST_HISTORY_CHARACTERS, fit, history_of
from memdiag.agent.persist import Persistence
from memdiag.agent.store import (
    MOST_ROWS_OF_A_DEAD_RUN,
    MOST_RUNS_OF_A_POD,
    POD_KEPT_SECONDS,
    HistoryStore,
    RunHistory,
    kept_rows,
)
from memdiag.model.history import HistoryRun, decode
from memdiag.model.report import LONGEST_COLUMN
from memdiag.model.trace import Level, Pressure, Sample

START = 1_800_000_000.0
UID = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"


def sample(t: float, anon: int, peak: int | None = None) -> Sample:
    return Sample(
        t=t,
        level=Level(
            current=anon + 4096,
            peak=peak,
            max=2**30,
            swap_current=0,
            events={"max": 3},
            stat={"anon": anon, "file": 4096, "shmem": 0, "kernel": 8192, "slab_reclaimable": 4096, "sock": 0},
            pressure_some=Pressure(total=5000),
            cpu={"usage_usec": 7000},
            pids=4,
        ),
        net={"rx_packets": 12},
    )


def grown(run: RunHistory, seconds: int, step: int = 5) -> RunHistory:
    for second in range(0, seconds, step):
        run.add(sample(START + second, (second * 7919 % 1000) * 4096))
    return run


def test_a_run_gives_back_what_it_was_given() -> None:
    run = RunHistory(UID, "a")
    given_sample = sample(START, 40960, peak=99999)
    run.add(given_sample)
    (found,) = run.samples()
    assert found.level.stat["anon"] == 40960
    assert found.demand == given_sample.demand
    assert found.level.swap_current == 0
    assert found.level.pressure_full is None
    assert found.net == {"rx_packets": 12}
    assert run.peak == 99999


def test_unknown_stays_unknown() -> None:
    run = RunHistory(UID, "a")
    run.add(Sample(t=START, level=Level(current=8192)))
    (found,) = run.samples()
    assert found.demand is None
    assert found.level.swap_current is None
    assert found.level.max is None


def test_a_week_of_samples_stays_small_and_keeps_extremes() -> None:
    run = RunHistory(UID, "a")
    spike_at = START + 3 * 3600
    for second in range(0, 7 * 86400, 30):
        run.add(sample(START + second, 2**28 if START + second == spike_at else 2**20 + second))
        if second % 3000 == 0:
            run.thin(START + second)
    now = START + 7 * 86400
    run.thin(now)
    assert run.rows < 400
    assert max(demand for demand in run.demands() if demand is not None) >= 2**28 // 1024
    assert run.times()[0] == START
    assert run.times()[-1] == now - 30


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200, unique=True), st.data())
def test_thinning_keeps_real_rows_the_ends_and_the_extremes(seconds: list[int], data: st.DataObject) -> None:
    times = [START + second for second in sorted(seconds)]
    demands = data.draw(st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=len(times), max_size=len(times)))
    kept = kept_rows(times, demands, times[-1] + 100)
    assert kept == sorted(set(kept))
    assert {kept[0], kept[-1]} == {0, len(times) - 1}
    known = [demand for demand in demands if demand is not None]
    if known:
        left = [demands[index] for index in kept if demands[index] is not None]
        assert max(value for value in left if value is not None) == max(known)
        assert min(value for value in left if value is not None) == min(known)


def test_light_samples_fill_the_last_minute() -> None:
    run = RunHistory(UID, "a")
    for second in range(100):
        run.add_light(START + second, 4096 * second)
        if second % 5 == 0:
            run.add(sample(START + second, 4096))
    times = [found.t for found in run.samples()]
    assert times == sorted(times)
    assert len([t for t in times if t > START + 50]) == 49
    assert len(run.samples(light_seconds=0)) == 20


def test_a_pod_keeps_sixteen_runs_and_a_gone_pod_an_hour() -> None:
    store = HistoryStore()
    for index in range(40):
        run = store.run(UID, f"{index}", START + index)
        grown(run, 3000)
        store.end(run, START + 5000 + index)
        assert run.rows <= MOST_ROWS_OF_A_DEAD_RUN
    assert list(store.pods[UID].runs) == [str(index) for index in range(40 - MOST_RUNS_OF_A_POD, 40)]
    store.pod_gone(UID, START)
    store.evict(START + POD_KEPT_SECONDS - 1)
    assert UID in store.pods
    store.evict(START + POD_KEPT_SECONDS + 1)
    assert UID not in store.pods


def test_the_history_fits_and_shows_the_last_runs() -> None:
    store = HistoryStore()
    for index in range(20):
        run = store.run(UID, f"{index:064x}", START)
        grown(run, 3600)
        store.end(run, START + 3600 + index)
    victim = grown(store.run(UID, "f" * 64, START), 36000)
    history = history_of(store.pods[UID], victim)
    assert history is not None
    assert max(len(text) for text in history.columns.values()) <= LONGEST_COLUMN
    assert sum(len(text) for text in history.columns.values()) <= MOST_HISTORY_CHARACTERS
    assert history.runs[-1].container_id == "f" * 64
    runs = decode(history)
    assert len(runs[-1].samples) > 20
    assert runs[-1].samples[-1].t == START + 35995


@given(st.lists(st.lists(st.integers(0, 2**40), max_size=60), max_size=6))
def test_any_history_fits(runs: list[list[int]]) -> None:
    table = [
        (HistoryRun(str(index), None, None), [sample(START + second, anon) for second, anon in enumerate(values)])
        for index, values in enumerate(runs)
    ]
    history = fit(table)
    if history is not None:
        assert sum(len(text) for text in history.columns.values()) <= MOST_HISTORY_CHARACTERS
        decode(history)


def test_nothing_is_lost_over_a_restart(tmp_path: Path) -> None:
    store = HistoryStore()
    persistence = Persistence(tmp_path)
    first = grown(store.run(UID, "a", START), 100)
    persistence.save(store, START)
    first.add(sample(START + 100, 4096))
    second = grown(store.run(UID, "b", START + 50), 50)
    persistence.save(store, START + 10)
    store.end(first, START + 101)
    persistence.save(store, START + 20)
    loaded = HistoryStore()
    Persistence(tmp_path).load(loaded)
    runs = loaded.pods[UID].runs
    assert runs["a"].times() == first.times()
    assert runs["a"].sizes == first.sizes
    assert runs["a"].ended == START + 101
    assert runs["b"].times() == second.times()
    assert runs["b"].ended is None


def test_torn_and_foreign_lines_lose_only_themselves(tmp_path: Path) -> None:
    store = HistoryStore()
    persistence = Persistence(tmp_path)
    grown(store.run(UID, "a", START), 100)
    persistence.save(store, START)
    journal = tmp_path / "history.journal"
    with journal.open("ab") as file:
        file.write(b'{"pod": 3}\n\xff\xfe\n{"pod":"x","id":"y","sizes":"AAAA","counters":""}\n{"pod":"0f2f')
    loaded = HistoryStore()
    Persistence(tmp_path).load(loaded)
    assert loaded.pods[UID].runs["a"].rows == 20
    (tmp_path / "history").write_text(json.dumps({"format": "other"}) + "\n")
    journal.unlink()
    empty = HistoryStore()
    Persistence(tmp_path).load(empty)
    assert empty.pods == {}


def test_what_a_full_disk_tore_loses_nothing_of_what_comes_behind_it(tmp_path: Path) -> None:
    store = HistoryStore()
    persistence = Persistence(tmp_path)
    runs = [grown(store.run(UID, name, START), 100) for name in ("a", "b")]
    persistence.save(store, START)
    for run in runs:
        run.add(sample(START + 100, 4096))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "history.journal").stat().st_size + 40, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            persistence.save(store, START + 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    persistence.save(store, START + 20)
    loaded = HistoryStore()
    Persistence(tmp_path).load(loaded)
    assert [loaded.pods[UID].runs[name].rows for name in ("a", "b")] == [21, 21]
