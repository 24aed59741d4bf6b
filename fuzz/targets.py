"""Every parser as a target: any bytes in, no exception but the documented one, and what it gave is within its bounds.

A target raises on a finding and on nothing else. Hypothesis runs them in the unit ring, Atheris in `make fuzz`.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from memdiag.cli.explain import to_object, to_text
from memdiag.cli.main import main
from memdiag.controller import traces
from memdiag.controller.incidents import table
from memdiag.kernel import files, oomlog, process
from memdiag.kernel.klog import Record, escape, split_records
from memdiag.kernel.kmsg import as_line
from memdiag.kernel.logtext import LogText
from memdiag.kernel.paths import contains, identities, level_of
from memdiag.kube.memory_report import MemoryReport
from memdiag.model import tracefile
from memdiag.model.history import decode, decode_column
from memdiag.model.kill import OomReport
from memdiag.model.quantity import format_bytes, parse_bytes
from memdiag.model.runtime import SETTINGS, heap_settings

Target = Callable[[bytes], None]


class FindingError(AssertionError):
    """A parser gave what it must not give."""


def _hold(*, true: bool, what: str) -> None:
    if not true:
        raise FindingError(what)


def _clean(text: str | None) -> bool:
    return text is None or escape(text) == text


def _reports_hold(reports: list[OomReport]) -> None:
    for report in reports:
        _hold(true=0 < len(report.victims) <= oomlog.MOST_VICTIMS, what="victims")
        _hold(true=len(report.tasks) <= oomlog.MOST_TASKS, what="tasks")
        _hold(true=len(report.lines) <= oomlog.MOST_LINES, what="lines")
        texts = [report.oom_memcg, report.task_memcg, report.invoked_by, *report.lines]
        texts += [one.comm for one in report.victims] + [one.comm for one in report.tasks]
        _hold(true=all(map(_clean, texts)), what="control bytes")
        _hold(true=all(len(one.comm or "") <= oomlog.LONGEST_COMM for one in report.victims), what="a long name")
        oomlog.limit_hit(report)
        to_text(1, report)
        json.dumps(to_object(report), allow_nan=False)


def kernel_ring(data: bytes) -> None:
    """Read the ring as syslog(2) gives it."""
    records = split_records(data)
    _hold(true=all(_clean(record.text) for record in records), what="control bytes")
    _reports_hold(oomlog.parse(records))


def kernel_text(data: bytes) -> None:
    """Read records of /dev/kmsg and logs that were saved in any form."""
    text, parser = LogText(), oomlog.OomParser()
    reports = []
    for line in data.split(b"\n"):
        for record, stamp in text.split(line):
            _hold(true=_clean(record.text), what="control bytes")
            parser.feed(record, stamp)
        reports += parser.take()
    _reports_hold(reports + parser.finish())


def kernel_lines(data: bytes) -> None:
    """Read lines as if each were a record of the kernel's own: past every check of the log's form."""
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    _reports_hold(oomlog.parse(Record(index / 10, escape(line)) for index, line in enumerate(lines)))


def cgroup_paths(data: bytes) -> None:
    """Read a cgroup's path."""
    path = data.decode("utf-8", "surrogateescape")
    level_of(path)
    for one in identities(path):
        _hold(true=contains(one.path, path) or path.startswith(one.path), what="a path that is not above")
        _hold(true=one.container_id is None or len(one.container_id) == 64, what="a container's ID")
        _hold(true=len(one.pod_uid) in (32, 36), what="a pod's UID")


def cgroup_files(data: bytes) -> None:
    """Read the kernel's small text files."""
    numbers = [files.parse_number(data), files.parse_limit(data)]
    for parsed in (
        files.parse_flat(data),
        files.parse_flat(data, ("oom_kill", "anon")),
        files.parse_meminfo(data),
        files.parse_net_dev(data),
    ):
        _hold(true=len(parsed) <= files.MOST_KEYS, what="too many keys")
        numbers += parsed.values()
    for pressure in files.parse_pressure(data):
        _hold(true=pressure is None or pressure.avg10 is None or 0 <= pressure.avg10 < 1000, what="pressure")
    _hold(true=all(number is None or number == "max" or number >= 0 for number in numbers), what="below 0")


def process_files(data: bytes) -> None:
    """Read what /proc shows of a process, and a record of /dev/kmsg."""
    comm, sizes = process.parse_status(data)
    _hold(true=_clean(comm) and len(comm) <= process.LONGEST_COMM, what="a name")
    numbers = [*sizes.values(), *process.parse_stat(data), process.parse_rollup(data)]
    _hold(true=all(number is None or number >= 0 for number in numbers), what="below 0")
    process.parse_signed(data)
    line = as_line(data)
    _hold(true=line is None or len(split_records(line)) <= 1, what="a record that is several")


def trace_file(data: bytes) -> None:
    """Read a trace, and write what was read: it must read as the same."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    try:
        trace = tracefile.parse(lines, "fuzz")
    except tracefile.TraceError:
        return
    again = tracefile.parse(tracefile.lines(trace), "again")
    _hold(true=again == trace, what="a trace that is another when read again")


def _object(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def report_object(data: bytes) -> None:
    """Read an API object as a report, its history too."""
    try:
        report = MemoryReport.model_validate(_object(data))
    except ValidationError:
        return
    with contextlib.suppress(ValueError):
        if report.spec.history is not None:
            decode(table(report.spec.history))
    _hold(true=MemoryReport.model_validate(report.to_api()) == report, what="a report that is another when read again")


def incident_object(data: bytes) -> None:
    """Read an API object as an incident, and incidents as traces."""
    item = _object(data)
    if not isinstance(item, dict):
        return
    with contextlib.suppress(ValueError):
        incident = traces.read({"metadata": {"name": "fuzz"}, "spec": item.get("spec"), "status": item.get("status")})
        traces.traces("fuzz", [incident])


def history_column(data: bytes) -> None:
    """Read a column of a history."""
    text = data.decode("latin-1")
    for rows in (0, 1, 100):
        with contextlib.suppress(ValueError):
            _hold(true=len(decode_column(text, rows)) == rows, what="a column of another length")


def quantity(data: bytes) -> None:
    """Read a memory quantity."""
    try:
        count = parse_bytes(data.decode("utf-8", "surrogateescape"))
    except ValueError:
        return
    _hold(true=0 <= count < 2**63 and parse_bytes(format_bytes(count)) == count, what="another quantity")


def settings(data: bytes) -> None:
    """Read heap settings: NUL parts words, `=` a variable's name from its value."""
    words = data.decode("utf-8", "surrogateescape").split("\0")
    env = dict(word.partition("=")[::2] for word in words if "=" in word)
    for name, value in heap_settings(env, words).items():
        _hold(true=name in SETTINGS, what="a name that is not on the list")
        _hold(true=math.isfinite(value), what="a value without end")


def explain(data: bytes) -> None:
    """Run `memdiag explain` on a file."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        Path(log.name).write_bytes(data)
        for form in ("table", "json"):
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                status = main(["explain", log.name, "-o", form])
            _hold(true=status in (0, 2), what=f"exit status {status}")
            _hold(true=all(map(_clean, out.getvalue().split("\n"))), what="control bytes")


def _targets() -> Iterator[Target]:
    yield from (kernel_ring, kernel_text, kernel_lines, cgroup_paths, cgroup_files, process_files, trace_file)
    yield from (report_object, incident_object, history_column, quantity, settings, explain)


TARGETS: dict[str, Target] = {target.__name__: target for target in _targets()}
