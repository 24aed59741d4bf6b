"""One incident a kill, one diagnosis, right counts: whatever ends, hangs, comes twice, late or in another order.

The operator is a real process that reaches the real API server through a gateway on which things go wrong.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memdiag.kube.api import TransientError
from memdiag.kube.kinds import DIAGNOSIS, INCIDENT, REPORT
from memdiag.model.report import Report
from testbed.control_plane import ControlPlane, free_port
from tests.controller.gateway import Fault, Gateway
from tests.controller.installed import OPERATOR, Installed, install
from tests.controller.support import Cluster, OperatorProcess, identity, report, running, wait_for

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(300)]

HOME, SPACE = "exactly-once", "exactly-once-shop"
KEPT = 3
_numbers = itertools.count(5000)


@dataclass(frozen=True)
class Counts:
    """What stands in the API of one workload."""

    incidents: int
    kills: int
    diagnoses: int
    reports: int

    def __str__(self) -> str:
        return f"{self.incidents:9} {self.kills:5} {self.diagnoses:9} {self.reports:7}"


@dataclass
class Row:
    """One workload to which one thing happens."""

    name: str
    what: str
    """In words, for the table."""
    uid: str = ""
    runs: list[str] = field(default_factory=list)
    """Container IDs, one a kill."""
    wanted: int = 0
    """Kills that there were."""
    before: Counts | None = None
    after: Counts | None = None

    @property
    def diagnosis(self) -> str:
        """The diagnosis's name."""
        return f"deployment-{self.name}-app"

    @property
    def kept(self) -> int:
        """How many incidents are to stay."""
        return min(self.wanted, KEPT)


class Bench:
    """The cluster, the operator, and the rows."""

    def __init__(self, installed: Installed, cluster: Cluster, folder: Path) -> None:
        self.plane = installed.plane
        self.cluster = cluster
        self.gateway = Gateway(installed.plane)
        self.rows: list[Row] = []
        self._port = free_port()
        direct = installed.kubeconfig(OPERATOR, folder / "direct")
        config = self.gateway.kubeconfig(direct, folder / "through")
        words = ("--keep-per-workload", str(KEPT))
        health = ("--health-port", str(self._port))
        self.operator = OperatorProcess(config, folder / "operator.log", *words, *health, namespace=HOME)
        self.twin = OperatorProcess(config, folder / "twin.log", *words, namespace=HOME)

    def row(self, name: str, what: str) -> Row:
        """Add a workload with one pod."""
        row = Row(name, what)
        owner = self.cluster.deployment(SPACE, name)
        row.uid = self.cluster.pod(SPACE, f"{name}-abc-1", ["app"], owner)
        row.before = self.counts(row)
        self.rows.append(row)
        return row

    def kill(self, row: Row, *, tell: bool = True) -> Report:
        """Let the pod's container be killed; return the report, which is delivered unless `tell` says no."""
        row.runs.append(identity(next(_numbers)))
        self.cluster.pod_status(SPACE, f"{row.name}-abc-1", running("app", row.runs[-1], restarts=len(row.runs) - 1))
        row.wanted += 1
        found = report(row.uid, row.runs[-1], time.time())
        if tell:
            self.tell(row, found)
        return found

    def tell(self, row: Row, found: Report, suffix: str = "") -> None:
        """Deliver a report; the suffix makes it another object with the same content."""
        self.cluster.report(f"kill-{row.name}-{found.container_id[-4:]}{suffix}", found, HOME)

    def counts(self, row: Row) -> Counts:
        """Return what stands in the API."""
        api = self.cluster.api
        mine = [
            item for item in api.get(DIAGNOSIS.path(SPACE))["items"] if item["spec"]["targetRef"]["name"] == row.name
        ]
        return Counts(
            incidents=sum(item["spec"]["pod"]["uid"] == row.uid for item in api.get(INCIDENT.path(SPACE))["items"]),
            kills=sum(item.get("status", {}).get("kills", {}).get("total", 0) for item in mine),
            diagnoses=len(mine),
            reports=sum(item["spec"]["podUID"] == row.uid for item in api.get(REPORT.path(HOME))["items"]),
        )

    def served(self) -> bool:
        """Say whether the API server answers for each of memdiag's kinds."""
        try:
            for kind in (REPORT, INCIDENT, DIAGNOSIS):
                self.cluster.api.get(kind.path())
        except TransientError:
            return False
        return True

    def right(self, row: Row) -> bool:
        """Say whether every kill of a row was worked off."""
        return self.counts(row) == Counts(row.kept, row.wanted, 1, 0)

    def settled(self, rows: Sequence[Row], seconds: float = 30.0) -> None:
        """Wait until rows are worked off; what is not right by then says so."""
        deadline = time.monotonic() + seconds
        while not all(map(self.right, rows)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for row in rows:
            row.after = self.counts(row)
            assert row.after == Counts(row.kept, row.wanted, 1, 0), f"{row.what}\n{self.operator.log()[-4000:]}"

    def counter(self, name: str) -> float:
        """Return the sum of one metric's series."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(map(float, re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)))

    def start(self) -> None:
        """Start the operator and wait until it watches."""
        already = self.operator.log().count("operator watches")
        self.operator.start()
        wait_for(lambda: self.operator.log().count("operator watches") > already, 120)


@contextlib.contextmanager
def benched(plane: ControlPlane, helm: Path, folder: Path) -> Iterator[Bench]:
    installed = install(plane, helm, HOME, policy=False)
    cluster = Cluster(installed.api)
    cluster.namespace(SPACE)
    found = Bench(installed, cluster, folder)
    try:
        found.start()
        yield found
    finally:
        found.operator.kill()
        found.gateway.close()
        installed.remove()


@pytest.fixture(scope="module")
def bench(api_server: ControlPlane, helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with benched(api_server, helm, tmp_path_factory.mktemp("once")) as found:
        yield found


@pytest.fixture(scope="module")
def elsewhere() -> list[Row]:
    """Give the rows of clusters that are gone."""
    return []


STEPS = {
    "before the incident is written": ("POST", "memoryincidents", False),
    "after the incident is written": ("POST", "memoryincidents", True),
    "before the diagnosis is made": ("POST", "memorydiagnoses", False),
    "after the diagnosis is made": ("POST", "memorydiagnoses", True),
    "before the verdict is written": ("PUT", "memorydiagnoses/status", False),
    "after the verdict is written": ("PUT", "memorydiagnoses/status", True),
    "before the report is deleted": ("DELETE", "memoryreports", False),
    "after it is deleted": ("DELETE", "memoryreports", True),
}
"""Each step of a kill's way, by the request that makes it, and whether the API server got to do it."""


def struck(bench: Bench, short: str, who: str, strike: Callable[[], None]) -> None:
    """Bring a workload to each step, strike while all are held there, and see what comes of it."""
    release = threading.Event()
    rows, faults = [], []
    for number, (what, (method, collection, answered)) in enumerate(STEPS.items()):
        row = bench.row(f"{short}{number}", f"{who} {what}")
        subject = f"kill-{row.name}-" if method == "DELETE" else row.diagnosis
        rows.append(row)
        faults.append(Fault(method, collection, subject, answered, act=lambda: _wait(release), lost=True))
    bench.gateway.arm(*faults)
    try:
        # the last step first: few diagnoses are written at a time, and those that are held keep their places
        for row, fault in reversed(list(zip(rows, faults, strict=True))):
            bench.kill(row)
            wait_for(fault.reached, 30)
        strike()
    finally:
        release.set()
    bench.settled(rows, 40)
    for row in rows:
        bench.kill(row)
    bench.settled(rows, 40)


def _wait(release: threading.Event) -> None:
    release.wait(90)


def test_the_operator_is_killed_at_each_step(bench: Bench) -> None:
    def strike() -> None:
        bench.operator.kill()
        bench.start()

    struck(bench, "op", "operator killed", strike)


def test_the_api_server_is_killed_at_each_step(
    own_api_server: ControlPlane, helm: Path, tmp_path: Path, elsewhere: list[Row]
) -> None:
    with benched(own_api_server, helm, tmp_path) as bench:

        def strike() -> None:
            own_api_server.restart_apiserver()
            # for a moment it answers that the storage of kinds is being made ready (429)
            wait_for(bench.served, 60)

        struck(bench, "api", "API server killed", strike)
        assert "Traceback" not in bench.operator.log()
        elsewhere += bench.rows


def test_the_operator_is_killed_around_the_deletion_of_what_is_not_kept(bench: Bench) -> None:
    release, rows, faults = threading.Event(), [], []
    for name, what, answered in (("prune0", "before", False), ("prune1", "after", True)):
        row = bench.row(name, f"operator killed {what} a surplus incident is deleted")
        for _ in range(KEPT):
            bench.kill(row)
        rows.append(row)
        faults.append(Fault("DELETE", "memoryincidents", f"/{name}-abc", answered, lambda: _wait(release), lost=True))
    bench.settled(rows)
    bench.gateway.arm(*faults)
    for row in rows:
        bench.kill(row)
    wait_for(lambda: all(fault.reached() for fault in faults))
    bench.operator.kill()
    release.set()
    bench.start()
    bench.settled(rows)


def test_others_write_meanwhile(bench: Bench) -> None:
    row = bench.row("conflict", "a user changes the diagnosis between read and write, three times (409)")

    def change() -> None:
        path = DIAGNOSIS.path(SPACE, row.diagnosis)
        bench.cluster.api.patch(path, {"spec": {"headroomPercent": next(_numbers) % 100}})

    bench.gateway.arm(Fault("PUT", "memorydiagnoses/status", row.diagnosis, act=change, times=3))
    before = bench.counter("memdiag_api_errors_total")
    bench.kill(row)
    bench.settled([row])
    assert bench.counter("memdiag_api_errors_total") >= before + 3


def test_an_overloaded_api_server(bench: Bench) -> None:
    row = bench.row("busy", "each write refused once (429, Retry-After)")
    faults = [
        Fault(method, collection, f"kill-{row.name}-" if method == "DELETE" else row.diagnosis, status=429)
        for method, collection, answered in STEPS.values()
        if not answered
    ]
    bench.gateway.arm(*faults)
    bench.kill(row)
    bench.settled([row])
    assert [fault.seen for fault in faults] == [1, 1, 1, 1]


def test_watches_that_come_too_late(bench: Bench) -> None:
    row = bench.row("gone", "watches cut off; kills and a pod's end meanwhile; resumed too late (410)")
    release = threading.Event()
    bench.kill(row)
    bench.settled([row])
    collections = ("pods", "memorydiagnoses", "memoryreports")
    faults = [Fault("GET", one, "watch=true", act=lambda: _wait(release), expired=True) for one in collections]
    bench.gateway.arm(*faults)
    bench.gateway.cut()
    wait_for(lambda: all(fault.reached() for fault in faults))
    bench.kill(row)
    bench.kill(row)
    bench.plane.kubectl("delete", "pod", f"{row.name}-abc-1", "-n", SPACE, "--force", "--grace-period=0")
    release.set()
    # the pod was seen before its watch was cut off, and is remembered though its end fell into the gap
    bench.settled([row], 60)


def test_a_report_that_comes_more_than_once(bench: Bench) -> None:
    row = bench.row("twice", "each report delivered three times: at once, and after it was worked off")
    incidents, reports = bench.counter("memdiag_incidents_total"), bench.counter("memdiag_reports_total")
    for _ in range(2):
        found = bench.kill(row)
        bench.tell(row, found, "-b")
        bench.settled([row])
        bench.tell(row, found, "-c")
        bench.settled([row])
    assert bench.counter("memdiag_incidents_total") == incidents + 2
    assert bench.counter("memdiag_reports_total") == reports + 6


def test_reports_in_another_order(bench: Bench) -> None:
    row = bench.row("order", "three reports, the last kill's first")
    found = [bench.kill(row, tell=False) for _ in range(3)]
    for one in reversed(found):
        bench.tell(row, one)
        time.sleep(0.3)
    bench.settled([row])
    kills = bench.cluster.diagnosis(SPACE, row.diagnosis)
    assert kills is not None
    newest = [one["time"] for one in kills["status"]["kills"]["recent"]]
    assert newest == sorted(newest, reverse=True)


def test_a_report_whose_pod_is_gone(bench: Bench) -> None:
    row = bench.row("late", "report delivered after the pod is gone")
    bench.kill(row)
    bench.settled([row])
    found = bench.kill(row, tell=False)
    bench.plane.kubectl("delete", "pod", f"{row.name}-abc-1", "-n", SPACE, "--force", "--grace-period=0")
    bench.tell(row, found)
    bench.settled([row])


def test_two_operators_at_once(bench: Bench) -> None:
    row = bench.row("twins", "two operators by mistake, no Lease")
    bench.twin.start()
    try:
        wait_for(lambda: "operator watches" in bench.twin.log(), 120)
        for _ in range(5):
            found = bench.kill(row)
            bench.tell(row, found, "-b")
        bench.settled([row])
    finally:
        assert bench.twin.stop() == 0


def test_nothing_changes_any_more(bench: Bench) -> None:
    """Start the operator once more: it looks at everything anew, and every count stays."""
    bench.operator.kill()
    bench.start()
    row = bench.row("last", "operator started once more, nothing else")
    bench.kill(row)
    bench.settled([row])
    bench.settled(bench.rows)
    assert "Traceback" not in bench.operator.log()


def test_the_matrix(bench: Bench, elsewhere: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    """Print what was counted; incidents are at most as many as are kept."""
    columns = "incidents kills diagnoses reports"
    head = f"{'what happens':<78}  before: {columns}   after: {columns}"
    lines = [f"{row.what:<78}          {row.before}          {row.after}" for row in [*bench.rows, *elsewhere]]
    with capsys.disabled():
        print("\n" + "\n".join([head, *lines]))
    assert len(lines) >= 2 * len(STEPS)
