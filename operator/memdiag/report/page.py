"""Findings as one self-contained HTML page: no script, no request, every text escaped by the serializer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from memdiag.model.process import Process
from memdiag.model.quantity import human_bytes
from memdiag.model.trace import Trace
from memdiag.report import phrases
from memdiag.report.curve import Curve, curve_of
from memdiag.report.drawing import NARROW, draw
from memdiag.report.finding import Finding
from memdiag.report.style import style_sheet
from memdiag.report.svg import svg
from memdiag.report.words import moment, printable, short_duration

MOST_PODS = 6
"""Pods whose curves are drawn."""
MOST_TASKS = 30
_MINUS = "\N{MINUS SIGN}"


def _add(parent: Element, tag: str, words: str | None = None, **attributes: str) -> Element:
    """Add an element; `class_` is its class. Its text loses whatever a page might obey."""
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    element = SubElement(parent, tag, names)
    if words is not None:
        element.text = printable(words)
    return element


def _section(parent: Element, title: str, *, long: bool = False) -> Element:
    section = _add(parent, "section", **({"class_": "long"} if long else {}))
    _add(section, "h2", title)
    return section


def _with_code(element: Element, words: str) -> None:
    """Give an element a text whose parts between backticks are code."""
    parts = printable(words).split("`")
    if len(parts) % 2 == 0:  # one of them has no partner
        parts = [printable(words)]
    element.text = parts[0]
    for code, rest in zip(parts[1::2], parts[2::2], strict=True):
        _add(element, "code", code).tail = rest


def _list(parent: Element, items: Iterable[str], tag: str = "ul") -> None:
    found = _add(parent, tag)
    for item in items:
        _with_code(_add(found, "li"), item)


def _table(parent: Element, heads: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
    """Add a table; a head that ends with a blank is a number's column."""
    table = _add(parent, "table", class_="stacks")
    row = _add(_add(table, "thead"), "tr")
    for head in heads:
        _add(row, "th", head.strip(), **({"class_": "number"} if head.endswith(" ") else {}))
    body = _add(table, "tbody")
    for cells in rows:
        row = _add(body, "tr")
        for head, cell in zip(heads, cells, strict=True):
            _add(row, "td", cell, data_name=head.strip(), **({"class_": "number"} if head.endswith(" ") else {}))


def _size(count: int | None) -> str | None:
    return None if count is None else human_bytes(count)


def _head(article: Element, finding: Finding, now: float | None) -> None:
    found = finding.diagnosis
    doubt = found.suspicion
    cause = found.cause.value if found.cause else "No kill"
    name = found.cause.value.lower() if found.cause else "none"
    header = _add(article, "header", class_=f"edge-{name}")
    workload = " ".join(part for part in (finding.workload_kind, finding.workload_name) if part)
    parts = [finding.namespace, workload, f"container {finding.container}" if finding.container else None]
    _add(header, "h1", " · ".join(part for part in parts if part) or finding.name)
    verdict = _add(header, "p", f"{cause} ", class_=f"verdict ink-{name}")
    kind = "" if found.mechanism is None else f"{found.mechanism.value}, "
    if found.cause is not None:
        _add(verdict, "small", f"{kind}{100 * found.confidence:.0f} % sure")
    elif doubt is not None:
        kind = "" if doubt.mechanism is None else f" ({doubt.mechanism.value})"
        _add(verdict, "small", f"suspicion: {doubt.cause.value}{kind}, {100 * doubt.confidence:.0f} %")
    _add(header, "p", found.summary)
    ahead = phrases.forecast(found.forecast)
    if ahead is not None:
        _add(header, "p", f"Forecast: {ahead}")
    if finding.resolved is not None:
        _add(header, "p", f"Resolved: {finding.resolved}")
    facts = [
        ("Limit now", _size(finding.limit)),
        ("Request now", _size(finding.request)),
        ("Recommended", phrases.short_advice(found.recommendation)),
        ("Kills", None if finding.kills_total is None else str(finding.kills_total)),
        ("Last kill", moment(finding.last_kill_time)),
    ]
    if finding.muted_until is not None and (now is None or finding.muted_until > now):
        facts.append(("Muted until", moment(finding.muted_until)))
    listed = _add(header, "dl")
    for term, value in facts:
        if value is not None:
            group = _add(listed, "div")
            _add(group, "dt", term)
            _add(group, "dd", value)


def _described(curve: Curve, pod: str | None) -> str:
    kills = f"{curve.kills} OOM kill{'' if curve.kills == 1 else 's'}"
    limit = "" if curve.limit is None else f", limit {human_bytes(curve.limit)}"
    return f"Memory of {len(curve.runs)} runs{f' of pod {pod}' if pod else ''}: {kills}{limit}"


def _figure(section: Element, trace: Trace, finding: Finding) -> None:
    curve = curve_of(trace, finding.diagnosis.recommendation)
    if trace.pod:
        _add(section, "h3", f"Pod {trace.pod}" + (f" on {trace.node}" if trace.node else ""))
    if not curve.runs:
        _add(section, "p", "No run of it was recorded.", class_="soft")
        return
    figure = _add(section, "figure")
    words = _described(curve, trace.pod)
    for name, drawing in (("wide", draw(curve)), ("narrow", draw(curve, NARROW))):
        element = svg(drawing, words)
        element.set("class", name)
        figure.append(element)
    rows = [
        (
            str(run.number),
            moment(run.started) or "",
            short_duration(run.duration),
            _size(run.peak) or "not known",
            run.end.value + ("" if run.exit_code is None else f" (exit code {run.exit_code})"),
        )
        for run in curve.runs
    ]
    _table(section, ("Run ", "Started", "Lasted ", "Most memory ", "How it ended"), rows)
    if curve.left_out:
        _add(section, "p", f"{curve.left_out} older runs are not shown.", class_="soft")


def _curves(article: Element, finding: Finding) -> None:
    section = _section(article, "Memory over runs", long=True)
    if not finding.traces:
        _add(section, "p", "No run was recorded: there is no curve to draw.", class_="soft")
    for trace in finding.traces[:MOST_PODS]:
        _figure(section, trace, finding)
    more = len(finding.traces) - MOST_PODS
    if more > 0:
        _add(section, "p", f"{more} more pods are not shown.", class_="soft")


def _pretty(patch: str) -> str:
    try:
        return json.dumps(json.loads(patch), indent=2)
    except ValueError:
        return patch


def _advice(article: Element, finding: Finding) -> None:
    found = finding.diagnosis
    section = _section(article, "What to do")
    words = phrases.advice(found.recommendation)
    _add(section, "p", words[0].upper() + words[1:], class_="mark")
    for sentence in phrases.advice_details(found.recommendation):
        _add(section, "p", sentence)
    if found.next_steps:
        _add(section, "h3", "Next steps")
        _list(section, found.next_steps, "ol")
    if finding.apply_command is not None:
        _add(section, "h3", "Apply the recommended limit")
        _add(section, "pre", finding.apply_command)
    if finding.patch is not None:
        _add(section, "h3", "The change of the workload")
        pre = _add(section, "pre")
        pre.text = "\n".join(printable(line) for line in _pretty(finding.patch).splitlines())
    if found.would_settle:
        _add(section, "h3", "What would settle it")
        _list(section, found.would_settle)


def _statements(section: Element, found: Sequence[phrases.Statement]) -> None:
    table = _add(section, "table", class_="stacks")
    row = _add(_add(table, "thead"), "tr")
    for head in ("What was measured", "Speaks for", "Speaks against"):
        _add(row, "th", head)
    body = _add(table, "tbody")
    for one in found:
        row = _add(body, "tr")
        _add(row, "td", one.words)
        for name, sign in (("for", 1), ("against", -1)):
            cell = _add(row, "td", class_=f"speaks {name}", data_name=name)
            for cause, weight in one.weights:
                if weight * sign > 0:
                    _add(cell, "span", f"{'+' if sign > 0 else _MINUS}{abs(weight):.1f} {cause}")


def _evidence(article: Element, finding: Finding) -> None:
    found = phrases.statements(finding.diagnosis.evidence)
    section = _section(article, "Evidence for and against", long=True)
    if found:
        _statements(section, found)
    else:
        _add(section, "p", "There is none.", class_="soft")
    if finding.diagnosis.missing:
        _add(section, "h3", "What was missing")
        _list(section, finding.diagnosis.missing)


def _grown(section: Element, processes: Sequence[Process]) -> None:
    """Add the table of processes as they were before the kill: who grew, and how fast."""
    if not processes:
        return
    _add(section, "h3", "Processes of the container shortly before")
    rows = [
        (str(one.pid), one.comm, _size(one.rss), _size(one.swap), _text(one.threads), _growth(one)) for one in processes
    ]
    _table(section, ("PID ", "Task", "Resident ", "Swap ", "Threads ", "Grew "), rows)


def _growth(one: Process) -> str | None:
    if one.grew is None:
        return None
    sign = _MINUS if one.grew < 0 else "+"
    over = "" if one.over is None else f" in {short_duration(one.over)}"
    return f"{sign}{human_bytes(abs(one.grew))}{over}"


def _last_kill(article: Element, finding: Finding) -> None:
    kill = finding.last_kill
    section = _section(article, "The last kill", long=True)
    said = [
        part for part in (moment(kill.time), kill.pod and f"pod {kill.pod}", kill.node and f"node {kill.node}") if part
    ]
    if said:
        _add(section, "p", ", ".join(said), class_="soft")
    if kill.limit_hit is not None:
        _add(section, "p", f"Whose limit was hit: {kill.limit_hit}. {kill.explanation or ''}".strip())
    for victim in kill.victims:
        rss = "memory not known" if victim.rss is None else f"{human_bytes(victim.rss)} resident"
        _add(section, "p", f"Killed: {victim.comm or 'a task'} (pid {victim.pid}), {rss}")
    if kill.tasks:
        _add(section, "h3", "Processes of the pod at the kill")
        ordered = sorted(kill.tasks, key=lambda task: task.rss or 0, reverse=True)
        rows = [
            (
                str(task.pid),
                task.comm,
                _size(task.rss),
                _size(task.swap),
                _size(task.pgtables),
                _text(task.oom_score_adj),
            )
            for task in ordered[:MOST_TASKS]
        ]
        _table(section, ("PID ", "Task", "Resident ", "Swap ", "Page tables ", "oom_score_adj "), rows)
        if len(ordered) > MOST_TASKS:
            _add(section, "p", f"{len(ordered) - MOST_TASKS} smaller ones are not shown.", class_="soft")
    _grown(section, kill.processes)
    if kill.others is not None:
        tasks, held = kill.others
        _add(section, "p", f"Other pods: {tasks} tasks, {human_bytes(held)} resident.", class_="soft")
    if kill.kernel_log:
        _add(section, "h3", "The kernel's report")
        pre = _add(section, "pre")
        pre.text = "\n".join(printable(line) for line in kill.kernel_log)
    else:
        _add(section, "p", "No report of the kernel is kept of it.", class_="soft")


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _recent(article: Element, finding: Finding) -> None:
    if not finding.recent:
        return
    section = _section(article, "Recent kills", long=True)
    rows = [(moment(kill.time), kill.pod, kill.what, str(kill.count)) for kill in finding.recent]
    _table(section, ("Time", "Pod", "What was killed", "Kills "), rows)


def page(findings: Sequence[Finding], made: str, now: float | None = None) -> str:
    """Return the page. `made` is the footer's line; `now` is Unix seconds, for what is in force until some time."""
    style = style_sheet() + "".join(
        f".edge-{name}{{border-left-color:var(--{name})}}.ink-{name}{{color:var(--{name})}}"
        for name in ("leak", "growth", "underestimatedlimit", "nodepressure", "notkerneloom", "inconclusive", "none")
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    root = Element("html", {"lang": "en"})
    head = _add(root, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    _add(head, "meta", name="referrer", content="no-referrer")
    title = findings[0].place or findings[0].name if findings else "no trace"
    _add(head, "title", f"memdiag: {title}")
    SubElement(head, "style").text = style
    main = _add(_add(root, "body"), "main")
    for finding in findings:
        article = _add(main, "article")
        _head(article, finding, now)
        _curves(article, finding)
        _advice(article, finding)
        _evidence(article, finding)
        _last_kill(article, finding)
        _recent(article, finding)
    _add(main, "footer", made)
    # whatever encoding it is written in: what is beyond ASCII stands as a reference
    return f"<!DOCTYPE html>\n{tostring(root, encoding='us-ascii', method='html').decode('ascii')}\n"
