"""Sentences of a finding that the terminal and the page share: advice, forecast, evidence, the state in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from memdiag.model.quantity import human_bytes
from memdiag.model.verdict import Action, Evidence, Forecast, Recommendation
from memdiag.report.finding import Finding
from memdiag.report.words import moment, short_duration

WORTH_A_WORD = 0.05
"""Least weight of evidence that people are shown; programs get all of it."""

_ACTIONS = {
    Action.RAISE_LIMIT: "raise the limit",
    Action.FIX_LEAK: "fix the leak",
    Action.LOWER_LIMIT: "lower the limit",
    Action.KEEP_LIMIT: "keep the limit",
    Action.MOVE_OR_ADD_MEMORY: "move it, or add memory to the node",
    Action.NONE: "no change yet",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the evidence, with what it speaks for and against and how much."""

    words: str
    weights: tuple[tuple[str, float], ...]


def statements(evidence: Sequence[Evidence]) -> list[Statement]:
    """Return each statement once, in order, without those of hardly any weight."""
    found: dict[str, list[tuple[str, float]]] = {}
    for piece in evidence:
        if abs(piece.weight) >= WORTH_A_WORD:
            found.setdefault(piece.statement, []).append((piece.cause.value, piece.weight))
    return [Statement(words, tuple(weights)) for words, weights in found.items()]


def advice(given: Recommendation) -> str:
    """Return the recommendation in one line."""
    text = _ACTIONS[given.action]
    if given.limit_bytes is not None:
        word = "to" if given.action in {Action.RAISE_LIMIT, Action.LOWER_LIMIT} else "of"
        text += f" {word} {human_bytes(given.limit_bytes)}"
    if given.range_bytes is not None:
        low, high = given.range_bytes
        text += f" (between {human_bytes(low)} and {human_bytes(high)})"
    if given.request_bytes is not None:
        text += f", request {human_bytes(given.request_bytes)}"
    return text


def short_advice(given: Recommendation) -> str:
    """Return the recommendation in a few words, without request and range."""
    return advice(replace(given, range_bytes=None, request_bytes=None))


def advice_details(given: Recommendation) -> Iterator[str]:
    """Yield what stands behind and beside the recommendation, a sentence each."""
    yield given.basis
    yield from given.clamps
    yield from (f"Warning: {text}" for text in given.warnings)
    if given.stop_gap is not None:
        lasts = short_duration(given.stop_gap.uptime_seconds)
        size = human_bytes(given.stop_gap.limit_bytes)
        yield f"Until then: a limit of {size} lasts about {lasts} from each start."


def forecast(given: Forecast | None) -> str | None:
    """Return when the limit is reached, None where nothing tells."""
    if given is None or given.seconds_to_limit is None:
        return None
    if given.seconds_to_limit == 0:
        return "the limit has been reached."
    high = "perhaps never" if given.high is None else short_duration(given.high)
    between = "" if given.low is None else f" (between {short_duration(given.low)} and {high})"
    return f"the limit is reached in about {short_duration(given.seconds_to_limit)}{between}."


def in_force(finding: Finding, now: float | None) -> str | None:
    """Return limit, request and kills in one line, None when none of them is known."""
    parts = [
        f"{name} {human_bytes(count)}"
        for name, count in (("limit", finding.limit), ("request", finding.request))
        if count is not None
    ]
    if finding.kills_total is not None:
        kills = f"{finding.kills_total} kill{'' if finding.kills_total == 1 else 's'}"
        last = moment(finding.last_kill_time)
        ago = ""
        if now is not None and finding.last_kill_time is not None and now >= finding.last_kill_time:
            ago = f", {short_duration(now - finding.last_kill_time)} ago"
        parts.append(kills + (f", the last at {last}{ago}" if last else ""))
    return "; ".join(parts) or None
