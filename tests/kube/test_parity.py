"""What the agent writes is what the kind takes, and nothing of it is lost on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from memdiag.kube.memory_report import MemoryReport, MemoryReportSpec
from memdiag.model.history import COLUMNS, HistoryRun, encode
from memdiag.model.kill import Constraint, LimitHit, OomReport, Task
from memdiag.model.report import (
    LONGEST_LINE,
    MOST_LOG_LINES,
    OtherPods,
    Report,
    printable,
    to_object,
    to_spec,
)
from memdiag.model.trace import Level, Pressure, Sample, Victim

FULL = Level(
    current=1,
    peak=2,
    max="max",
    swap_current=0,
    events={"max": 3, "oom_kill": 1},
    events_local={"max": 0},
    stat={f"key_{number}": number for number in range(80)} | {"k" * 25: 1},
    pressure_some=Pressure(1.5, 10),
    pressure_full=Pressure(0.0, 0),
    cpu={"usage_usec": 7},
    pids=9,
)


def full_report(text: str = "weird \x1b[31m\u00e9 name") -> Report:
    """Return a report in which everything is known and every list is too long."""
    return Report(
        node="node-a",
        boot_id="5a0e3d1c-0000-4000-8000-000000000001",
        pod_uid="5a0e3d1c-0000-4000-8000-000000000002",
        container_id="f" * 64,
        ordinal=7,
        time=1_700_000_000.123456,
        kill=OomReport(
            time=1.0,
            constraint=Constraint.MEMCG,
            oom_memcg=text * 100,
            task_memcg=text * 100,
            group_kill=True,
            victims=tuple(Victim(number, text, 1, 2, 3, 4, -1000) for number in range(40)),
            tasks=tuple(Task(number, text * 20, 1, 2, 3, 4, 1000) for number in range(40)),
            usage_bytes=5,
            limit_bytes=6,
            invoked_by=text,
            lines=(text * 50,) * 50,
        ),
        limit_hit=LimitHit.ANCESTOR,
        limit_hit_cgroup=text * 100,
        cgroup_path=text * 100,
        container_died=False,
        found_late=True,
        victim_count=40,
        shares={f"{number:064x}": number for number in range(9)},
        container=FULL,
        pod=FULL,
        ancestors={f"/{number}{text}": FULL for number in range(9)},
        node_memory={f"Key{number}": number for number in range(99)},
        other_pods=OtherPods(3, 4),
        history=encode([(HistoryRun("a", 1.0, 2.0, killed=True, peak=3), [Sample(1.0, FULL)])]),
        missing=(text * 50,) * 50,
    )


def test_everything_known_comes_through() -> None:
    body = to_object(full_report(), "kill-1", "memdiag")
    spec = MemoryReport.model_validate(body).spec
    assert spec.to_api() == body["spec"]


def test_little_known_comes_through() -> None:
    kill = OomReport(None, None, None, None, group_kill=False, victims=())
    body = to_spec(Report("n", "b", "p", "c", 1, 0.0, kill, LimitHit.UNKNOWN))
    spec = MemoryReportSpec.model_validate(body)
    assert spec.kill.container_died is None
    assert spec.history is None


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_no_text_of_a_kernel_is_refused(text: str) -> None:
    spec = MemoryReportSpec.model_validate(to_spec(full_report(text)))
    assert len(spec.kill.kernel_log) <= MOST_LOG_LINES
    assert all(len(line) <= LONGEST_LINE for line in spec.kill.kernel_log)


def test_printable() -> None:
    assert printable("a\x1b\u00e9\udcff~", 99) == "a\\x1b\\xc3\\xa9\\xff~"
    assert printable("a" * 9, 3) == "aaa"


def test_every_column_of_the_history_has_a_place() -> None:
    columns = dict.fromkeys(COLUMNS, "1 -2 x")
    body = {**to_spec(full_report()), "history": {"runs": [], "columns": columns}}
    assert MemoryReportSpec.model_validate(body).to_api()["history"]["columns"] == columns
