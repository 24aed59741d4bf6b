"""A finding as text for a terminal: verdict, advice, the chart of memory over runs, next steps, evidence."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from memdiag.model.verdict import Cause
from memdiag.report import phrases
from memdiag.report.chart import Style, chart, style
from memdiag.report.curve import curve_of
from memdiag.report.finding import Finding
from memdiag.report.words import moment, printable

_CAUSE_COLOURS = {
    Cause.LEAK: "1;31",
    Cause.GROWTH: "1;33",
    Cause.UNDERESTIMATED_LIMIT: "1;36",
    Cause.NODE_PRESSURE: "1;35",
    Cause.NOT_KERNEL_OOM: "1",
    Cause.INCONCLUSIVE: "1;90",
}
_BOLD = "1"


@dataclass(frozen=True, slots=True)
class Screen:
    """What is written to: its width (None is not a terminal: no line is broken), colours, and whether only ASCII."""

    width: int | None = None
    colour: bool = False
    plain: bool = False

    @property
    def style(self) -> Style:
        """The chart's style."""
        return style(colour=self.colour, plain=self.plain)

    def paint(self, code: str, text: str) -> str:
        """Return the text in a colour, where there are colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def cause(self, cause: Cause | None, text: str) -> str:
        """Return the text in a cause's colour."""
        return text if cause is None else self.paint(_CAUSE_COLOURS[cause], text)

    def wrapped(self, text: str, indent: str, first: str | None = None) -> list[str]:
        """Return a paragraph's lines, safe for a terminal."""
        begin = indent if first is None else first
        safe = printable(text)
        if self.width is None:
            return [begin + safe]
        return textwrap.wrap(
            safe,
            max(self.width, 40),
            initial_indent=begin,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [begin]


def _listed(screen: Screen, title: str, items: tuple[str, ...]) -> Iterator[str]:
    if items:
        yield screen.paint(_BOLD, f"{title}:")
        for item in items:
            yield from screen.wrapped(item, "    ", "  - ")


def _evidence(screen: Screen, finding: Finding) -> Iterator[str]:
    found = phrases.statements(finding.diagnosis.evidence)
    if found:
        yield screen.paint(_BOLD, "Evidence:")
    for one in found:
        yield from screen.wrapped(one.words, "    ", "  - ")
        told = ", ".join(f"{'for' if weight > 0 else 'against'} {cause} {weight:+.1f}" for cause, weight in one.weights)
        yield from screen.wrapped(told, "      ")


def _curves(screen: Screen, finding: Finding) -> Iterator[str]:
    """Yield the chart of the pod that was killed last, and say how many others there are."""
    if not finding.traces or not finding.traces[0].runs:
        return
    first, *others = finding.traces
    more = f" ({len(others)} other pod{'' if len(others) == 1 else 's'} not drawn)" if others else ""
    where = f" of pod {printable(first.pod)}" if first.pod else ""
    yield ""
    yield f"{screen.paint(_BOLD, 'Memory over runs')}{where}{more}:"
    yield from chart(curve_of(first, finding.diagnosis.recommendation), screen.style, width=screen.width or 100)
    yield ""


def text(finding: Finding, screen: Screen, now: float | None = None) -> str:
    """Return the finding for people; `now` (Unix seconds) lets it say how long ago the last kill was."""
    found = finding.diagnosis
    place = finding.place
    lines = screen.wrapped(f"{finding.name}: {place}" if place else finding.name, "  ", "")
    lines.append("Cause: " + screen.cause(found.cause, printable(finding.cause)))
    lines += screen.wrapped(found.summary, "  ")
    held = phrases.in_force(finding, now)
    if held is not None:
        lines += screen.wrapped(f"In force: {held}", "  ", "")
    lines.append(f"Recommended: {screen.paint(_BOLD, phrases.advice(found.recommendation))}")
    for sentence in phrases.advice_details(found.recommendation):
        lines += screen.wrapped(sentence, "  ")
    ahead = phrases.forecast(found.forecast)
    if ahead is not None:
        lines += screen.wrapped(f"Forecast: {ahead}", "  ", "")
    if finding.resolved is not None:
        lines += screen.wrapped(f"Resolved: {finding.resolved}", "  ", "")
    if finding.muted_until is not None and (now is None or finding.muted_until > now):
        lines.append(f"Muted until {moment(finding.muted_until)}: no alert is sent before.")
    lines += _curves(screen, finding)
    steps = found.next_steps
    if finding.apply_command is not None:
        steps = (*steps, f"Apply the recommended limit: {finding.apply_command}")
    lines += _listed(screen, "Next", steps)
    lines += _evidence(screen, finding)
    lines += _listed(screen, "Missing", found.missing)
    lines += _listed(screen, "To settle it", found.would_settle)
    return "\n".join(lines)
