"""From facts to a message of five lines: what died, why, what to do, the picture, where to look."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from memdiag.alerts.message import Colour, Facts, Line, Message
from memdiag.alerts.text import clean
from memdiag.model.kill import LimitHit
from memdiag.model.occasion import Occasion, Severity
from memdiag.model.verdict import Action, Cause

LISTED = 20
"""Workloads that a summary names."""
_COLOURS = {Severity.INFO: Colour.INFO, Severity.WARNING: Colour.WARNING, Severity.CRITICAL: Colour.CRITICAL}
_WHOSE = {
    LimitHit.CONTAINER: "its own limit",
    LimitHit.POD: "its pod's limit",
    LimitHit.ANCESTOR: "a limit above its pod",
    LimitHit.NODE: "the node's memory",
}
_DO = {
    Action.KEEP_LIMIT: "Keep the limit.",
    Action.MOVE_OR_ADD_MEMORY: "Do not raise the limit: the node ran out of memory. Add memory or move pods away.",
    Action.NONE: "Do not raise the limit blindly: the evidence does not settle what it should be.",
}


def head(facts: Facts, *, pictured: bool) -> Message:
    """Return the first message of a diagnosis, or what it says by now; `pictured`: a chart comes in its thread."""
    what = "Evicted" if facts.evicted else "OOM-killed"
    title = f"{'Resolved' if facts.resolved else what}: {_short(facts)}"
    lines = [_died(facts), _why(facts), _do(facts)]
    if facts.resolved and facts.resolution:
        lines.insert(0, Line("Resolved", clean(facts.resolution)))
    if pictured:
        lines.append(Line("Picture", "Memory of its runs, limit and kills: see the chart in this thread."))
    return Message(_colour(facts), title, (*lines, _where(facts)), _footer(facts))


def change(facts: Facts, occasion: Occasion, before: Cause | None) -> Message:
    """Return the message that something about a diagnosis changed since the last one."""
    short = _short(facts)
    lines: tuple[Line, ...]
    if occasion is Occasion.RESOLVED:
        said = clean(facts.resolution or "Its workload changed and lived on without a kill.")
        lines = (Line("Resolved", said), _counted(facts), _where(facts))
        return Message(Colour.RESOLVED, f"Resolved: {short}", lines, _footer(facts))
    if occasion is Occasion.CAUSE_CHANGED:
        lines = (Line("Was", before or "not known"), _why(facts), _do(facts), _counted(facts), _where(facts))
        return Message(_colour(facts), f"Now {facts.cause}: {short}", lines, _footer(facts))
    if occasion is Occasion.ESCALATED:
        lines = (_counted(facts), _why(facts), _do(facts), _where(facts))
        return Message(_colour(facts), f"{facts.severity}: {short}", lines, _footer(facts))
    if occasion is Occasion.REOPENED:
        lines = (_died(facts), _why(facts), _do(facts), _where(facts))
        return Message(_colour(facts), f"Killed again: {short}", lines, _footer(facts))
    return head(facts, pictured=False)


def summary(every: Sequence[Facts], node: str | None) -> Message:
    """Return one message for many diagnoses: of a node that ran out of memory, else of one namespace."""
    first = every[0]
    place = f"on node {node}" if node is not None else f"in namespace {first.namespace}"
    kills = sum(facts.kills for facts in every)
    noun = "container" if len(every) == 1 else "containers"
    what = f"{len(every)} {noun}, {_times(kills)}"
    text = f"{what} {place}{_cluster(first)}, within a short time."
    if node is not None:
        text += " The node ran out of memory: a container's own limit was not what it died of."
    lines = [Line("What died", text)]
    lines += [Line("", f"{_listed(facts, named=node is not None)}; {_brief(facts)}") for facts in every[:LISTED]]
    if len(every) > LISTED:
        lines.append(Line("", f"and {len(every) - LISTED} more"))
    scope = ["-n", first.namespace] if len({facts.namespace for facts in every}) == 1 else ["-A"]
    lines.append(Line("Where to look", "", shlex.join(["kubectl", "get", "memorydiagnosis", *scope])))
    title = f"{len(every)} {noun} OOM-killed {place}"
    return Message(Colour.CRITICAL, title, tuple(lines), _footer(first))


def sample(cluster: str | None) -> Message:
    """Return the message by which a user sees that the way to Slack works."""
    lines = (
        Line("What died", "Nothing: this is a test that somebody asked for with `memdiag alert test`."),
        Line("Why", "It shows that memdiag's credential, the channel and the way to Slack work."),
        Line("Where to look", "All that memdiag found so far:", "kubectl get memorydiagnosis -A"),
    )
    return Message(Colour.INFO, "Test: memdiag can reach this channel", lines, f"memdiag{_on(cluster)}")


def _died(facts: Facts) -> Line:
    how = "was evicted for the node's memory" if facts.evicted else "was OOM-killed"
    text = f"{_place(facts)} in namespace {facts.namespace}{_cluster(facts)} {how}: {_count(facts)}"
    about = []
    if facts.victim is not None:
        held = "" if facts.victim_rss is None else f" with {facts.victim_rss} resident"
        about.append(f"victim {facts.victim}{held}")
    if facts.pod is not None:
        about.append(f"pod {facts.pod}" + ("" if facts.node is None else f" on node {facts.node}"))
    whose = _WHOSE.get(facts.limit_hit) if facts.limit_hit is not None else None
    if whose is not None:
        about.append(f"it hit {whose}")
    if facts.limit is not None:
        about.append(f"limit {facts.limit}")
    return Line("What died", clean(text + "".join(f"; {one}" for one in about) + "."))


def _counted(facts: Facts) -> Line:
    return Line("Kills", clean(f"{_place(facts)} in namespace {facts.namespace}{_cluster(facts)}: {_count(facts)}."))


def _why(facts: Facts) -> Line:
    said = "" if not facts.evidence else f" {clean(facts.evidence)}"
    return Line("Why", f"{_verdict(facts)}, confidence {facts.confidence_percent} %.{said}")


def _do(facts: Facts) -> Line:
    advice = facts.advice
    if advice.action in {Action.RAISE_LIMIT, Action.LOWER_LIMIT} and advice.limit is not None:
        now = "none is set" if facts.limit is None else f"now {facts.limit}"
        fits = "" if advice.low is None or advice.high is None else f"; {advice.low} to {advice.high} fit the evidence"
        return Line("What to do", f"Set the memory limit to {advice.limit} ({now}{fits}).", _patch(facts))
    if advice.action is Action.FIX_LEAK:
        text = "Do not raise the limit: fix the leak."
        if advice.stop_gap is not None and advice.stop_gap_seconds is not None:
            uptime = _duration(advice.stop_gap_seconds)
            text += f" As a stop-gap {advice.stop_gap} buys about {uptime} from start to kill."
    else:
        text = _DO.get(advice.action, _DO[Action.NONE])
    hint = advice.next_step or advice.would_settle
    return Line("What to do", clean(f"{text} {hint}") if hint else text, _steps(facts))


def _where(facts: Facts) -> Line:
    words = ["kubectl", "-n", facts.namespace, "describe", "memorydiagnosis", facts.diagnosis]
    return Line("Where to look", "All evidence, for and against:", shlex.join(words))


def _patch(facts: Facts) -> str | None:
    if facts.advice.patch is None:
        return None
    words = ["kubectl", "-n", facts.namespace, "patch", f"{facts.workload_kind.lower()}/{facts.workload}"]
    return shlex.join([*words, "--type", "strategic", "-p", facts.advice.patch])


def _steps(facts: Facts) -> str:
    words = ["kubectl", "-n", facts.namespace, "get", "memorydiagnosis", facts.diagnosis]
    return shlex.join([*words, "-o", r'jsonpath={range .status.nextSteps[*]}{@}{"\n"}{end}'])


def _brief(facts: Facts) -> str:
    advice = facts.advice
    if advice.action is Action.FIX_LEAK:
        do = "fix the leak"
    elif advice.action in {Action.RAISE_LIMIT, Action.LOWER_LIMIT} and advice.limit is not None:
        do = f"set {advice.limit}"
    else:
        do = {Action.KEEP_LIMIT: "keep the limit", Action.MOVE_OR_ADD_MEMORY: "add node memory"}.get(
            advice.action, "no advice yet"
        )
    return f"{_times(facts.kills)}, limit {facts.limit or 'none'}, {do}"


def _short(facts: Facts) -> str:
    return clean(f"{facts.namespace}/{facts.workload} ({facts.container})")


def _place(facts: Facts) -> str:
    return f"container {facts.container} of {facts.workload_kind} {facts.workload}"


def _listed(facts: Facts, *, named: bool) -> str:
    return f"{_place(facts)}{f' in namespace {facts.namespace}' if named else ''}: {_verdict(facts)}"


def _verdict(facts: Facts) -> str:
    return f"{facts.cause}" if facts.mechanism is None else f"{facts.cause} ({facts.mechanism})"


def _colour(facts: Facts) -> Colour:
    return Colour.RESOLVED if facts.resolved else _COLOURS[facts.severity]


def _cluster(facts: Facts) -> str:
    return f" of cluster {facts.cluster}" if facts.cluster else ""


def _on(cluster: str | None) -> str:
    return f" on cluster {clean(cluster)}" if cluster else ""


def _footer(facts: Facts) -> str:
    return f"memdiag{_on(facts.cluster)} · severity {facts.severity}"


def _count(facts: Facts) -> str:
    if facts.last_kill is None:
        return _times(facts.kills)
    moment = datetime.fromtimestamp(facts.last_kill, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{_times(facts.kills)}, the last at {moment}"


def _times(kills: int) -> str:
    return "1 kill" if kills == 1 else f"{kills} kills"


def _duration(seconds: float) -> str:
    for size, word in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"
