"""Two weeks from a store: which pods, which runs, what of them is stale, and how they join an agent's traces."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from memdiag.controller.longhistory import (
    KEPT_SECONDS,
    MOST_POINTS,
    SILENT_SECONDS,
    WINDOW,
    HistoryReader,
    LongHistory,
    Question,
    container_id,
    joined,
    runs_of,
    selector,
    step_for,
)
from memdiag.controller.prometheus import Prometheus, Series, StoreError, StoreOptions, TooLongError
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace
from tests.controller.support import MIB, identity

NOW = 1_700_000_000.0
STEP = 300
WEB = Question("shop", "Deployment", "web.v1", "app", 2)


def usage(pod: str, number: int, begin: float, values: list[float], label: str = "id") -> Series:
    path = f"/kubepods.slice/kubepods-pod6f1d.slice/cri-containerd-{identity(number)}.scope"
    labels = {"pod": pod, label: path if label == "id" else identity(number)}
    return Series(labels, tuple((begin + place * STEP, value) for place, value in enumerate(values)))


def runs(*series: Series, limits: tuple[Series, ...] = (), starts: tuple[Series, ...] = ()) -> dict[str, Any]:
    return runs_of(series, limits, starts, NOW, STEP)


def values(run: Run) -> list[int | None]:
    return [sample.level.current for sample in run.samples]


@pytest.mark.parametrize(
    ("kind", "pod", "other"),
    [
        ("Deployment", "web.v1-6d4b75cb6d-hwxpq", "web.v1-api-6d4b75cb6d-hwxpq"),
        ("StatefulSet", "web.v1-0", "web.v1-a"),
        ("DaemonSet", "web.v1-x7k2p", "web.v1-x7k2p-x7k2p"),
        ("CronJob", "web.v1-28461230-abcde", "web.v1-28461230"),
        ("Job", "web.v1-abcde", "webxv1-abcde"),
        ("Pod", "web.v1", "webxv1"),
        ("Rollout", "web.v1-abc-def", "web.v2-abc-def"),
    ],
)
def test_the_pods_of_a_workload_are_known_by_name(kind: str, pod: str, other: str) -> None:
    asked = selector(dataclasses.replace(WEB, kind=kind))
    assert asked.startswith('namespace="shop",container="app",pod=~"')
    pattern = asked.partition('pod=~"')[2][:-1].replace("\\\\", "\\")
    assert re.fullmatch(pattern, pod)
    assert not re.fullmatch(pattern, other)


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "DaemonSet"])
@pytest.mark.parametrize("length", [20, 45, 46, 47, 50, 57, 58, 63])
def test_pods_whose_name_was_cut_are_known(kind: str, length: int) -> None:
    name = "w" * length
    below = {"Deployment": f"{name}-6d4b75cb6d-", "CronJob": f"{name}-28461230-", "DaemonSet": f"{name}-"}[kind]
    asked = selector(dataclasses.replace(WEB, kind=kind, workload=name)).partition('pod=~"')[2][:-1]
    assert re.fullmatch(asked, f"{below[:58]}hwxpq")
    assert not re.fullmatch(asked, f"{name}-api-hwxpq-hwxpq-1")


def test_quotes_cannot_leave_their_place() -> None:
    asked = selector(Question('a"}', "Pod", "b", 'c"\\'))
    assert asked == 'namespace="a\\"}",container="c\\"\\\\",pod=~"b"'


def test_the_step_keeps_the_answer_small() -> None:
    for replicas in (0, 1, 7, 500):
        step = step_for(replicas)
        assert step >= STEP
        assert step % 60 == 0
        assert WINDOW / step * replicas <= MOST_POINTS


def test_a_series_is_keyed_by_container_id() -> None:
    assert container_id({"id": f"/kubepods/burstable/pod1/{identity(7)}"}) == identity(7)
    assert container_id({"name": identity(7)}) == identity(7)
    assert container_id({"id": "/kubepods/burstable/pod1", "name": "k8s_app"}) is None


def test_each_container_id_is_a_run_with_its_limits_and_start() -> None:
    begin = NOW - 20 * STEP
    series = usage("web-1", 1, begin, [10.0 * MIB, 20.0 * MIB, 30.0 * MIB])
    resized = usage("web-1", 1, begin, [64.0 * MIB, 0.0])
    starts = usage("web-1", 1, begin, [begin - 60])
    (run,) = runs(series, limits=(resized,), starts=(starts,))["web-1"]
    assert (run.container_id, run.started) == (identity(1), begin - 60)
    assert values(run) == [10 * MIB, 20 * MIB, 30 * MIB]
    assert [sample.level.max for sample in run.samples] == [64 * MIB, "max", "max"]
    assert not run.samples[0].level.stat, "a working set is no demand and is not called so"


def test_what_is_told_of_a_run_after_the_next_began_is_stale() -> None:
    begin = NOW - 100 * STEP
    old = usage("web-1", 1, begin, [10.0, 20.0, 30.0, 30.0, 30.0])
    new = usage("web-1", 2, begin + 2.5 * STEP, [5.0, 6.0])
    first, second = runs(new, old)["web-1"]
    assert values(first) == [10, 20, 30]
    assert first.end == RunEnd(t=begin + 2 * STEP)
    assert values(second) == [5, 6]


def test_the_repeated_tail_of_the_last_run_is_dropped_and_a_plateau_is_not() -> None:
    begin = NOW - 100 * STEP
    (gone,) = runs(usage("web-1", 1, begin, [10.0, 20.0, 30.0, 30.0]))["web-1"]
    assert values(gone) == [10, 20, 30]
    assert gone.end is not None
    (flat,) = runs(usage("web-1", 1, begin, [30.0] * 20))["web-1"]
    assert len(flat.samples) >= 17
    (alive,) = runs(usage("web-1", 1, NOW - 3 * STEP, [30.0] * 4))["web-1"]
    assert len(alive.samples) == 4
    assert alive.end is None


def test_traces_get_the_runs_that_no_agent_saw() -> None:
    seen = Run(identity(3), samples=(Sample(NOW - 100, Level(stat={"anon": 7})),), end=RunEnd(NOW, killed=True))
    dark = Run(identity(4), end=RunEnd(NOW + STEP, killed=None))
    mine = Trace((seen, dark), namespace="shop", pod="web-1", container="app", node="node-a", limit_bytes=64 * MIB)
    history = LongHistory(
        {
            "web-1": (
                Run(identity(1), samples=(Sample(NOW - 9000, Level(current=1)),)),
                Run(identity(3), samples=(Sample(NOW - 200, Level(current=99)),)),
                Run(
                    identity(4),
                    started=NOW + 1,
                    samples=(Sample(NOW + 9, Level(current=5)), Sample(NOW + 2 * STEP, Level(current=5))),
                ),
            ),
            "web-2": (Run(identity(8), samples=(Sample(NOW, Level(current=3)),)),),
        }
    )
    first, second = joined([mine], history)
    assert [run.container_id for run in first.runs] == [identity(1), identity(3), identity(4)]
    assert first.runs[1] is seen, "what an agent measured stays"
    assert values(first.runs[2]) == [5], "and nothing after the end"
    assert (second.pod, second.node, second.limit_bytes) == ("web-2", None, 64 * MIB)
    assert joined([mine], LongHistory({})) == [mine]


class Store:
    """A store of answers; `down` says why it gives none."""

    name = "prometheus:9090"

    def __init__(self, usage: list[Series], restarts: float = 0.0) -> None:
        self.usage = usage
        self.restarts = restarts
        self.down: str | None = None
        self.asked: list[str] = []

    def over(self, query: str, start: float, end: float, step: int) -> list[Series]:
        self.asked.append(query)
        if self.down:
            raise StoreError(self.down)
        assert (end - start, step % 60) == (WINDOW, 0)
        return self.usage if "working_set" in query else []

    def at(self, query: str, moment: float) -> list[Series]:
        self.asked.append(query)
        return [Series({"pod": "web-1"}, ((moment, self.restarts),))] if "restarts" in query else []


class Time:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reader(store: Store, clock: Time) -> HistoryReader:
    found: Any = store
    return HistoryReader(found, wall=lambda: NOW, clock=clock)


def test_an_answer_is_used_again_and_a_failure_is_not_waited_for_twice() -> None:
    clock, store = Time(), Store([usage("web-1", 1, NOW - 10 * STEP, [1.0, 2.0])], restarts=2.0)
    asks = reader(store, clock)
    trace = Trace((Run(identity(1), end=RunEnd(NOW)),), pod="web-1")
    (longer,), missing = asks.extend([trace], WEB)
    assert values(longer.runs[0]) == [1, 2]
    assert missing == ("long history: 2 runs were too short to be scraped, or are older than two weeks",)
    asked = len(store.asked)
    asks.extend([trace], WEB)
    assert len(store.asked) == asked

    clock.now += KEPT_SECONDS + 1
    store.down = "prometheus:9090 does not answer: TimeoutError"
    found, missing = asks.extend([trace], WEB)
    assert found == [trace]
    assert missing == ("long history: prometheus:9090 does not answer: TimeoutError",)
    asked = len(store.asked)
    assert asks.extend([trace], dataclasses.replace(WEB, workload="other"))[1] == missing
    assert len(store.asked) == asked
    clock.now += SILENT_SECONDS + 1
    store.down = None
    assert asks.extend([trace], WEB)[0] != [trace]


def many(pods: int, points: int) -> list[Series]:
    return [
        usage(f"web-{pod}", pod, NOW - points * STEP, [float(place) for place in range(points)]) for pod in range(pods)
    ]


def test_what_is_kept_takes_little_memory_and_goes_with_its_time() -> None:
    clock, store = Time(), Store(many(5, 800))
    asks = reader(store, clock)
    once = asks.of(WEB)
    assert asks.of(WEB) == once
    tracemalloc.start()
    try:
        for number in range(6):
            asks.of(dataclasses.replace(WEB, workload=f"web-{number}"))
        kept = tracemalloc.get_traced_memory()[0]
        assert kept < 6 * 4_000 * 40
        clock.now += KEPT_SECONDS + 1
        asks.of(WEB)
        assert tracemalloc.get_traced_memory()[0] < kept / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1e30, -5.0])
def test_a_size_that_no_container_has_is_kept_as_the_nearest(size: float) -> None:
    asks = reader(Store([usage("web-1", 1, NOW - 10 * STEP, [7.0, size])]), Time())
    asks.of(WEB)
    (again,) = asks.of(WEB).pods["web-1"]
    assert values(again) == [7, 2**63 - 1 if size > 0 else 0]


def test_more_pods_than_live_now_are_asked_for_at_a_longer_step() -> None:
    class Long(Store):
        def over(self, query: str, start: float, end: float, step: int) -> list[Series]:
            super().over(query, start, end, step)
            if "working_set" in query and step < 4 * STEP:
                raise TooLongError("too long")
            return many(50, 3000 if step < 16 * STEP else 10)

    store = Long([])
    history = reader(store, Time()).of(dataclasses.replace(WEB, replicas=1))
    assert len(history.pods) == 50
    assert [f"[{STEP * longer}s]" in query for longer, query in zip((1, 4, 16), store.asked, strict=False)] == [
        True
    ] * 3
    assert f"[{16 * STEP}s]" in store.asked[3], "limits come no closer than what they bound"

    class Endless(Store):
        def over(self, query: str, start: float, end: float, step: int) -> list[Series]:
            raise TooLongError(str(super().over(query, start, end, step)))

    assert reader(Endless([]), Time()).of(WEB).missing == (
        "long history: prometheus:9090 has too many series of this workload",
    )


def test_series_that_cannot_be_told_apart_are_left_out_and_counted() -> None:
    nobody = Series({"pod": "web-1"}, ((NOW, 1.0),))
    trace = Trace((Run(identity(1), end=RunEnd(NOW)),), pod="web-1")
    found, missing = reader(Store([nobody]), Time()).extend([trace], WEB)
    assert found == [trace]
    assert missing == ("long history: 1 series carry no container ID (labels id and name) and are left out",)
    assert "no series of this workload" in reader(Store([]), Time()).extend([trace], WEB)[1][0]


def test_a_start_that_is_none_and_a_count_that_is_none_are_left_out() -> None:
    begin = NOW - 20 * STEP
    for started in (-62135596800.0, 0.0, float("nan"), float("inf")):
        (run,) = runs(usage("web-1", 1, begin, [1.0, 2.0]), starts=(usage("web-1", 1, begin, [started]),))["web-1"]
        assert run.started is None


def test_a_count_that_is_no_number_says_nothing() -> None:
    series = [usage("web-1", 1, NOW - 10 * STEP, [1.0, 2.0])]
    trace = Trace((Run(identity(1), end=RunEnd(NOW)),), pod="web-1")
    assert reader(Store(series, restarts=float("nan")), Time()).extend([trace], WEB)[1] == ()


@pytest.mark.parametrize("item", [{"metric": {}}, {"metric": {}, "values": [[1, "2", 3]]}, {"values": []}, 5])
def test_a_series_that_is_none_is_a_store_that_does_not_answer(item: Any) -> None:
    class Odd(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps({"data": {"resultType": "matrix", "result": [item]}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a test says what it finds."""

    with HTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        store = Prometheus(StoreOptions(f"http://127.0.0.1:{server.server_port}"))
        with pytest.raises(StoreError, match="malformed"):
            store.over("up", 0.0, 1.0, 60)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tenant": "a\nb"}, "the tenant, or the token in its file, has a character"),
        ({"token_file": "two\nlines"}, "the tenant, or the token in its file, has a character"),
        ({"ca_file": Path("/nowhere/ca.crt")}, "the authority's file /nowhere/ca.crt cannot be used: No such file"),
        ({"ca_file": "no certificate"}, "the authority's file .* cannot be used: "),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    for name, value in change.items():
        if name.endswith("_file") and isinstance(value, str):
            (tmp_path / name).write_text(value)
            change = {name: tmp_path / name}
    store = Prometheus(StoreOptions(f"{'https' if 'ca_file' in change else 'http'}://127.0.0.1:1", **change))
    with pytest.raises(StoreError, match=said) as found:
        store.at("up", NOW)
    assert "lines" not in str(found.value)
