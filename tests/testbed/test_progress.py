import io
import threading

import pytest

from testbed.progress import Progress, Step
from testbed.shell import TestbedError


def test_steps_run_after_what_they_need_and_side_by_side_where_they_can() -> None:
    order: list[str] = []
    together = threading.Barrier(2, timeout=5)

    def act(name: str, *, meets: bool = False) -> None:
        if meets:
            together.wait()
        order.append(name)

    out = io.StringIO()
    steps = [
        Step("last", lambda: act("last"), ("left", "right")),
        Step("left", lambda: act("left", meets=True)),
        Step("right", lambda: act("right", meets=True), usual=5),
    ]
    Progress(steps, out).run()
    assert order[-1] == "last"
    assert set(order[:2]) == {"left", "right"}
    assert "right  (about 5 s)" in out.getvalue()
    assert "3/3" in out.getvalue()


def test_a_failed_step_is_named_and_what_needs_it_never_runs() -> None:
    def fail() -> None:
        raise TestbedError("no disk")

    ran: list[str] = []
    out = io.StringIO()
    steps = [Step("build", fail), Step("boot", lambda: ran.append("boot"), ("build",))]
    with pytest.raises(TestbedError, match="build: no disk"):
        Progress(steps, out).run()
    assert ran == []
    assert "FAIL build" in out.getvalue()


def test_a_cached_step_says_so() -> None:
    out = io.StringIO()
    Progress([Step("kernel", lambda: "built", usual=300, cached=lambda: True)], out).run()
    assert "cached" in out.getvalue()
    assert "about" not in out.getvalue()
