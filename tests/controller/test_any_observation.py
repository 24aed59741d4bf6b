"""Whatever an agent may have seen becomes a status that the API takes, in whole words and true numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from memdiag.controller import diagnoses
from memdiag.controller.incidents import from_report
from memdiag.controller.kills import tally
from memdiag.controller.resolve import by_status
from memdiag.controller.traces import Incident, read, traces
from memdiag.diagnosis import diagnose
from memdiag.kube.memory_diagnosis import Kills, MemoryDiagnosisSpec, MemoryDiagnosisStatus, TargetReference
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import project
from memdiag.kube.workload import Workload
from memdiag.model.history import HistoryRun, encode
from memdiag.model.kill import LimitHit
from memdiag.model.quantity import parse_bytes
from memdiag.model.report import to_spec
from memdiag.model.surroundings import Bound, Surroundings
from memdiag.model.trace import Level, Limit, Pressure, Sample
from memdiag.model.verdict import Action, Cause
from tests.controller.support import MIB, identity, pod_object, report, running

NOW = 1_700_000_000.0
WEB = Workload("apps/v1", "Deployment", "web", "uid-web")
SPEC = MemoryDiagnosisSpec(
    target_ref=TargetReference(api_version="apps/v1", kind="Deployment", name="web"), container="app"
)
NO_WORD = re.compile(r"\b(None|nan|inf)\b|(?<![\w.,-])-\d|  |\.\.")
"""What a sentence never holds: a value that is none, a size or a time below 0, two blanks or full stops."""
NO_SENTENCE = {"action", "patch", "value", "threshold", "weight", "lastTransitionTime", "counted", "incident"}

SHAPES: dict[str, Callable[[float, float], float]] = {
    "nothing": lambda _x, _noise: 0.0,
    "level": lambda _x, noise: 0.6 + 0.02 * noise,
    "rise": lambda x, noise: 0.1 + 0.85 * x + 0.01 * noise,
    "rest": lambda x, noise: 0.98 * (1 - (1 - x) ** 4) + 0.01 * noise,
    "burst": lambda x, noise: 0.3 + 0.02 * noise if x < 0.95 else 0.99,
    "saw": lambda x, _noise: 0.2 + 0.7 * (7 * x % 1),
    "fall": lambda x, _noise: 0.95 - 0.9 * x,
    "any": lambda _x, noise: (1 + noise) / 2,
}
HEAPS: tuple[list[str], ...] = (
    [],
    ["-Xmx2g"],
    ["-XX:MaxRAMPercentage=100"],
    ["--max-old-space-size=64"],
    ["GOMEMLIMIT=90MiB"],
)
COMMS = ("java", "node", "redis-server", "postgres", "python3", "x", "ap\\x1bp")


@st.composite
def seen_runs(draw: st.DrawFn, limit: int, end: float) -> list[Sample]:
    """Return samples of one run up to its end: of any shape, pace and length, by a clock that may step."""
    rng = draw(st.randoms(use_true_random=False))
    shape = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    count = draw(st.sampled_from([0, 1, 3, 5, 13, 40]))
    step = draw(st.sampled_from([0.0, 0.1, 1.0, 600.0]))
    jump, lost = draw(st.sampled_from([0.0, 0.0, -3600.0, 1e7])), draw(st.sampled_from([0.0, 0.5]))
    limits: list[Limit] = [limit, limit, "max", None]
    bare, in_force = draw(st.booleans()), draw(st.sampled_from(limits))
    busy = rng.choice([0, 0, 1])
    samples = []
    for place in range(count):
        if rng.random() < lost:
            continue
        x = place / max(count - 1, 1)
        size = int(max(shape(x, rng.uniform(-1, 1)), 0.0) * limit)
        stat = {} if bare else {"anon": size // 2, "kernel": size // 4, "file": size // 3, "shmem": size // 4}
        at = end - (count - place) * step + (jump if x > 0.5 else 0.0)
        level = Level(
            current=size,
            max=in_force,
            stat={**stat, "workingset_refault_file": place * rng.randint(0, 500)},
            swap_current=0 if bare else size // 10,
            events={"max": place},
            pressure_some=Pressure(total=place * rng.randint(0, 10**6)),
            cpu={"usage_usec": place * busy * 10**6},
            pids=place,
        )
        samples.append(Sample(at, level, net={"rx_packets": place * 7} if busy else {}))
    return samples


@st.composite
def incidents(draw: st.DrawFn) -> list[Incident]:
    """Return up to three kills of one container, each with what an agent and the API would have said of it."""
    limit = draw(st.sampled_from([4 * MIB, 16 * MIB, 128 * MIB, 4 * 2**30, 500 * 2**30]))
    found = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        when = NOW + number * draw(st.sampled_from([1.0, 3600.0, 86400.0]))
        samples = draw(seen_runs(limit, when))
        pod = pod_object("shop", "web-abc-1", ["app"], None)
        pod["metadata"]["uid"] = "uid-1"
        (container,) = pod["spec"]["containers"]
        container["command"] = draw(st.sampled_from(HEAPS))
        request = draw(st.sampled_from([limit, limit // 2, None]))
        container["resources"] = {
            "limits": {} if draw(st.integers(0, 4)) == 0 else {"memory": str(limit)},
            "requests": {} if request is None else {"memory": str(request)},
        }
        pod["status"] = {"containerStatuses": [running("app", identity(number), number)]}
        died = draw(st.sampled_from([True, True, False, None]))
        plain = report("uid-1", identity(number), when)
        victims = (replace(plain.kill.victims[0], comm=draw(st.sampled_from(COMMS)), anon_rss=limit // 2),)
        begin = draw(st.sampled_from([None, when - 40 * 600]))
        told = report(
            "uid-1",
            identity(number),
            when,
            kill=replace(
                plain.kill, victims=victims, limit_bytes=limit, lines=draw(st.sampled_from([(), plain.kill.lines]))
            ),
            limit_hit=draw(st.sampled_from([LimitHit.CONTAINER, LimitHit.POD, LimitHit.UNKNOWN, LimitHit.NODE])),
            container_died=died,
            container=draw(st.sampled_from([None, Level(peak=limit, max=limit, events={"oom": 1, "oom_kill": 1})])),
            history=encode([(HistoryRun(identity(number), begin, when, killed=died, peak=limit), samples)]),
        )
        spec = MemoryReportSpec.model_validate(to_spec(told))
        projected = project(pod)
        resolved = by_status(identity(number), projected, {})
        assert resolved is not None
        found.append(read(from_report(spec, projected, resolved, WEB, {}, died=spec.kill.container_died is not False)))
        limit = draw(st.sampled_from([limit, limit, 2 * limit]))
    return found


bounds = st.builds(
    Bound,
    st.just("LimitRange defaults"),
    most=st.none() | st.integers(1, 2**40),
    least=st.none() | st.integers(1, 2**40),
    most_ratio=st.none() | st.floats(1, 10),
)
around = st.builds(
    Surroundings,
    headroom_percent=st.none() | st.integers(0, 1000),
    bounds=st.lists(bounds, max_size=2).map(tuple),
)


def sentences(thing: Any) -> Iterator[str]:
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict):
        for key, part in thing.items():
            if key not in NO_SENTENCE:
                yield from sentences(part)
    elif isinstance(thing, list):
        for part in thing:
            yield from sentences(part)


@settings(max_examples=60, deadline=None)
@given(incidents(), around)
def test_whatever_was_seen_becomes_a_status_of_whole_words(found: Sequence[Incident], limits: Surroundings) -> None:
    first, *others = traces("shop", found)
    last = max(found, key=lambda one: one.time)
    hit = None if last.limit_hit is LimitHit.UNKNOWN else last.limit_hit
    said = diagnose(first, others, limit_hit=hit, surroundings=limits)
    status = diagnoses.status(
        MemoryDiagnosisStatus(),
        SPEC,
        generation=1,
        incidents=found,
        kills=tally(Kills(), found).kills,
        found=said,
        now=NOW,
    ).to_api()
    for text in sentences(status):
        assert not NO_WORD.search(text), text
    advice = status["recommendation"]
    if said.cause is Cause.LEAK:
        assert (advice["action"], advice.get("limit")) == (Action.FIX_LEAK, None)
    if advice["action"] == Action.RAISE_LIMIT:
        assert parse_bytes(advice["limit"]) > parse_bytes(status.get("limit", "0"))
    if "request" in advice and "limit" in advice:
        assert parse_bytes(advice["request"]) <= parse_bytes(advice["limit"])
