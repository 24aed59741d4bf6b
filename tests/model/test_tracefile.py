"""The trace format: round trips, legal gaps, and errors that name their place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.model.kill import LimitHit
from memdiag.model.trace import Level, Pressure, Run, RunEnd, Sample, Trace, TraceKill, Victim
from memdiag.model.tracefile import (
    LONGEST_LINE,
    MOST_LINES,
    TraceError,
    header_line,
    lines,
    parse,
    run_ended_line,
    sample_line,
)

HEADER = '{"type":"header","version":"memdiag.trace/v1"}\n'

counts = st.integers(0, 2**63)
times = st.floats(0, 4e9, allow_nan=False)
words = st.text(min_size=1, max_size=12)
tables = st.dictionaries(words, counts, max_size=3)


def maybe(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | strategy


pressures = st.none() | st.builds(Pressure, avg10=st.none() | st.floats(0, 100), total=maybe(counts))
levels = st.builds(
    Level,
    current=maybe(counts),
    peak=maybe(counts),
    max=st.none() | st.just("max") | counts,
    swap_current=maybe(counts),
    events=tables,
    events_local=tables,
    stat=tables,
    pressure_some=pressures,
    pressure_full=pressures,
    cpu=tables,
    pids=maybe(counts),
)
samples = st.builds(
    Sample,
    t=times,
    level=levels,
    pod=st.none() | levels,
    ancestors=st.dictionaries(words, levels, max_size=2),
    node=tables,
    net=tables,
)
victims = st.builds(
    Victim,
    pid=maybe(counts),
    comm=st.none() | words,
    anon_rss=maybe(counts),
    file_rss=maybe(counts),
    shmem_rss=maybe(counts),
    pgtables=maybe(counts),
    oom_score_adj=st.none() | st.integers(-1000, 1000),
)
kills = st.builds(
    TraceKill,
    t=times,
    victims=st.lists(victims, max_size=2).map(tuple),
    kernel_log=st.lists(words, max_size=2).map(tuple),
    limit_hit=st.none() | st.sampled_from(LimitHit),
)
ends = st.builds(
    RunEnd,
    t=st.floats(4e9, 5e9),
    exit_code=st.none() | st.integers(-255, 255),
    reason=st.none() | words,
    level=levels,
    kernel_log=st.lists(words, max_size=2).map(tuple),
    killed=st.none() | st.booleans(),
    limit_hit=st.none() | st.sampled_from(LimitHit),
)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    ids = draw(st.lists(words, unique=True, max_size=3))
    runs = tuple(
        Run(
            container_id=container_id,
            started=draw(st.none() | times),
            image=draw(st.none() | words),
            revision=draw(st.none() | words),
            samples=tuple(sorted(draw(st.lists(samples, max_size=3)), key=lambda sample: sample.t)),
            kills=tuple(sorted(draw(st.lists(kills, max_size=2)), key=lambda kill: kill.t)),
            end=draw(st.none() | ends),
        )
        for container_id in ids
    )
    return Trace(
        runs=runs,
        namespace=draw(st.none() | words),
        pod=draw(st.none() | words),
        container=draw(st.none() | words),
        workload_kind=draw(st.none() | words),
        workload_name=draw(st.none() | words),
        node=draw(st.none() | words),
        limit_bytes=draw(maybe(counts)),
        request_bytes=draw(maybe(counts)),
    )


@given(traces())
def test_a_trace_survives_its_own_text(trace: Trace) -> None:
    assert parse(lines(trace), "again") == trace


DOCUMENTED = """
{"type":"header","version":"memdiag.trace/v1","namespace":"shop","pod":"p","container":"c",\
"workload":{"kind":"Deployment","name":"checkout"},"node":"n","limit_bytes":100,"request_bytes":50,"new":[1]}
{"type":"run_started","t":1.5,"container_id":"abc","image":"i","revision":"r"}
{"type":"sample","t":2,"memory.current":7,"memory.peak":8,"memory.max":"max","memory.swap.current":1,\
"memory.events":{"max":3},"memory.events.local":{"oom":1},"memory.stat":{"anon":5,"kernel":2},\
"memory.pressure":{"some":{"avg10":1.5,"total":9},"full":{"avg10":0,"total":0}},\
"cpu.stat":{"usage_usec":11},"pids.current":4,"pod":{"memory.max":200},\
"ancestors":{"/kubepods":{"memory.current":9}},"node":{"MemFree":12},"net":{"rx_packets":13}}
{"type":"a line of tomorrow","t":"whatever"}
{"type":"kill","t":3,"container_id":"abc","victims":[{"pid":9,"comm":"w","anon_rss_bytes":4}],\
"kernel_log":["Killed process 9 (w)"]}
{"type":"run_ended","t":4,"container_id":"abc","exit_code":137,"reason":"OOMKilled",\
"memory.events":{"oom_kill":1},"memory.peak":99,"memory.stat":{"anon":90},"kernel_log":["x"]}
"""


def test_the_documented_lines_are_read() -> None:
    trace = parse(DOCUMENTED.splitlines(), "t")
    assert (trace.namespace, trace.workload_kind, trace.workload_name) == ("shop", "Deployment", "checkout")
    (run,) = trace.runs
    assert (run.container_id, run.started, run.image, run.revision) == ("abc", 1.5, "i", "r")
    (sample,) = run.samples
    assert sample.demand == 5 + 2 + 1
    assert sample.level.max == "max"
    assert sample.level.pressure_some == Pressure(1.5, 9)
    assert sample.pod is not None
    assert sample.pod.max == 200
    assert sample.ancestors["/kubepods"].current == 9
    assert sample.net == {"rx_packets": 13}
    assert run.kills[0].victims[0].rss == 4
    assert run.end is not None
    assert (run.end.exit_code, run.end.reason, run.end.level.peak) == (137, "OOMKilled", 99)


def test_samples_before_any_start_and_after_an_unseen_restart_are_runs_of_their_own() -> None:
    text = [
        HEADER,
        '{"type":"sample","t":1}',
        '{"type":"run_ended","t":2,"container_id":"a","exit_code":null,"reason":null}',
        '{"type":"sample","t":3}',
        '{"type":"run_started","t":4,"container_id":"b"}',
        '{"type":"sample","t":5}',
    ]
    found = [(run.container_id, len(run.samples), run.end is not None) for run in parse(text, "t").runs]
    assert found == [("a", 1, True), (None, 1, False), ("b", 1, False)]


def test_a_line_that_names_its_container_is_put_with_it() -> None:
    text = [
        HEADER,
        '{"type":"run_started","t":1,"container_id":"a"}',
        '{"type":"run_started","t":3,"container_id":"b"}',
        '{"type":"sample","t":2,"container_id":"a"}',
        '{"type":"run_ended","t":2.5,"container_id":"a"}',
        '{"type":"run_started","t":9,"container_id":"b"}',
        '{"type":"sample","t":4}',
    ]
    runs = parse(text, "t").runs
    assert [(run.container_id, run.started, [s.t for s in run.samples]) for run in runs] == [
        ("a", 1, [2]),
        ("b", 3, [4]),
    ]


def test_samples_out_of_order_are_put_in_order() -> None:
    text = [HEADER, '{"type":"sample","t":2}', "\n", '{"type":"sample","t":1}']
    assert [sample.t for sample in parse(text, "t").runs[0].samples] == [1, 2]


def test_a_recorder_that_was_started_again_may_repeat_its_header_but_no_other() -> None:
    assert parse([HEADER, HEADER], "t").runs == ()
    with pytest.raises(TraceError, match=r"^t:2: type: a second header"):
        parse([HEADER, '{"type":"header","version":"memdiag.trace/v1","pod":"q"}'], "t")


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        ("{", None, "not JSON"),
        ("[]", None, "expected a JSON object"),
        (nested(200_000), None, "deep nesting"),
        ('{"t":1' + "0" * 5000 + "}", None, "absurdly long number"),
        ('{"t":1}', "type", "expected a text"),
        ('{"type":"sample"}', "t", "is missing"),
        ('{"type":"sample","t":"1"}', "t", "expected a number, found '1'"),
        ('{"type":"sample","t":true}', "t", "expected a number"),
        ('{"type":"sample","t":NaN}', "t", "expected a number"),
        ('{"type":"sample","t":1' + "0" * 400 + "}", "t", "expected a number"),
        ('{"type":"sample","t":1e300}', "t", "expected Unix seconds"),
        ('{"type":"sample","t":1,"memory.current":-1}', "memory.current", "not below 0"),
        ('{"type":"sample","t":1,"memory.current":1.5}', "memory.current", "whole number"),
        ('{"type":"sample","t":1,"memory.max":"much"}', "memory.max", "expected a number, found 'much'"),
        ('{"type":"sample","t":1,"memory.stat":[]}', "memory.stat", "expected an object"),
        ('{"type":"sample","t":1,"memory.stat":{"anon":"x"}}', "memory.stat.anon", "expected a number"),
        ('{"type":"sample","t":1,"pod":{"memory.peak":"x"}}', "pod.memory.peak", "expected a number"),
        ('{"type":"sample","t":1,"memory.pressure":{"some":{"avg10":"x"}}}', "memory.pressure.some.avg10", "number"),
        ('{"type":"run_started","t":1,"container_id":7}', "container_id", "expected a text"),
        ('{"type":"run_started","t":1,"image":"' + "x" * 5000 + '"}', "image", "expected a text of at most"),
        ('{"type":"run_ended","t":1,"killed":"yes"}', "killed", "expected true, false or null"),
        ('{"type":"run_ended","t":1,"limit_hit":"Me"}', "limit_hit", "expected one of Container, Pod, "),
        ('{"type":"run_ended","t":1,"kernel_log":"x"}', "kernel_log", "expected a list"),
        ('{"type":"run_ended","t":1,"kernel_log":[1]}', "kernel_log", "expected texts"),
        ('{"type":"kill","t":1,"victims":[1]}', "victims", "expected objects"),
        ('{"type":"kill","t":1,"victims":[{"pid":"x"}]}', "victims[0].pid", "expected a number"),
        ('{"type":"header","version":"memdiag.trace/v9"}', "version", "expected 'memdiag.trace/v1'"),
    ],
)
def test_an_error_names_file_line_and_field(line: str, field: str | None, problem: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse([HEADER, line], "checkout.jsonl")
    assert (caught.value.name, caught.value.line, caught.value.field) == ("checkout.jsonl", 2, field)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("checkout.jsonl:2: ")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", [[], ["\n"], ['{"type":"sample","t":1}']])
def test_a_file_without_a_header_is_no_trace(text: list[str]) -> None:
    with pytest.raises(TraceError, match="first line must be"):
        parse(text, "t")


def test_absurd_sizes_are_refused() -> None:
    with pytest.raises(TraceError, match="longer than"):
        parse([HEADER, " " * (LONGEST_LINE + 1)], "t")
    with pytest.raises(TraceError, match="more than"):
        parse((HEADER for _ in range(MOST_LINES + 1)), "t")


def test_what_is_not_known_is_not_written() -> None:
    assert header_line(Trace(())) == {"type": "header", "version": "memdiag.trace/v1"}
    assert sample_line(Sample(1.0, Level()), "a") == {"type": "sample", "t": 1.0, "container_id": "a"}
    assert json.loads(json.dumps(run_ended_line(RunEnd(2.0)))) == {
        "type": "run_ended",
        "t": 2.0,
        "exit_code": None,
        "reason": None,
    }
