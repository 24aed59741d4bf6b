"""`memdiag diagnose`: read traces and say why each container was killed."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from memdiag.diagnosis import diagnose
from memdiag.diagnosis.words import duration
from memdiag.model.quantity import human_bytes
from memdiag.model.trace import Trace
from memdiag.model.tracefile import LONGEST_LINE, TraceError, parse
from memdiag.model.verdict import Action, Diagnosis, Evidence, Forecast, Recommendation

_EXAMPLE = """
A trace is what `memdiag record` writes (JSON Lines, .gz is read as well). For example:

  memdiag record --cgroup /sys/fs/cgroup/kubepods.slice/.../cri-containerd-ID.scope -o checkout.jsonl.gz
  memdiag diagnose checkout.jsonl.gz
  memdiag diagnose --cohort replicas/*.jsonl.gz -o json | jq -r '[.trace, .cause, .confidence] | @tsv'

Exit status: 0 every trace was diagnosed, whatever the verdict; 2 a trace could not be used (the others still are).
"""
_WORTH_A_WORD = 0.05
"""Least weight of evidence that people are shown; programs get all of it."""
_GZIP = b"\x1f\x8b"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE
    parser.add_argument("traces", nargs="+", metavar="TRACE", help="a trace file; - is the standard input")
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json"),
        default="table",
        help="table is for people; json is one object a line",
    )
    parser.add_argument(
        "--cohort",
        action="store_true",
        help="take traces of one namespace, workload and container as replicas that speak for each other",
    )


@dataclass(frozen=True, slots=True)
class _Read:
    name: str
    trace: Trace


def _lines(stream: TextIO) -> Iterator[str]:
    """Yield lines, none of them much longer than the format allows, however long the file's are."""
    while line := stream.readline(LONGEST_LINE + 2):
        yield line


def _read(name: str) -> Trace:
    """Return the trace in a file. Raises TraceError with the file's name, whatever is wrong with it."""
    try:
        if name == "-":
            return parse(_lines(sys.stdin), "standard input")
        path = Path(name)
        with path.open("rb") as head:
            packed = head.read(2) == _GZIP
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as stream:
            return parse(_lines(stream), name)
    except UnicodeDecodeError as error:
        raise TraceError(name, 0, None, f"not UTF-8 text: {error.reason}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(name, 0, None, f"broken gzip: {error}") from None
    except OSError as error:
        raise TraceError(name, 0, None, error.strerror or str(error)) from None


def _siblings(one: _Read, all_read: Sequence[_Read]) -> list[Trace]:
    def key(trace: Trace) -> tuple[str | None, ...]:
        return trace.namespace, trace.workload_kind, trace.workload_name, trace.container

    named = one.trace.workload_name is not None
    return [other.trace for other in all_read if named and other is not one and key(other.trace) == key(one.trace)]


def _recommendation_object(advice: Recommendation) -> dict[str, Any]:
    gap = advice.stop_gap
    return {
        "action": advice.action.value,
        "limit_bytes": advice.limit_bytes,
        "request_bytes": advice.request_bytes,
        "range_bytes": None if advice.range_bytes is None else list(advice.range_bytes),
        "basis": advice.basis,
        "stop_gap": None if gap is None else {"limit_bytes": gap.limit_bytes, "uptime_seconds": gap.uptime_seconds},
        "clamps": list(advice.clamps),
        "warnings": list(advice.warnings),
    }


def to_object(name: str, found: Diagnosis) -> dict[str, Any]:
    """Return the documented JSON object of one diagnosis."""
    forecast, suspicion = found.forecast, found.suspicion
    return {
        "trace": name,
        "cause": None if found.cause is None else found.cause.value,
        "mechanism": None if found.mechanism is None else found.mechanism.value,
        "confidence": found.confidence,
        "summary": found.summary,
        "evidence": [
            {
                "name": piece.name,
                "for": piece.cause.value,
                "value": piece.value,
                "threshold": piece.threshold,
                "weight": piece.weight,
                "statement": piece.statement,
            }
            for piece in found.evidence
        ],
        "missing": list(found.missing),
        "next_steps": list(found.next_steps),
        "would_settle": list(found.would_settle),
        "recommendation": _recommendation_object(found.recommendation),
        "forecast": None
        if forecast is None
        else {"seconds_to_limit": forecast.seconds_to_limit, "low": forecast.low, "high": forecast.high},
        "suspicion": None
        if suspicion is None
        else {
            "cause": suspicion.cause.value,
            "mechanism": None if suspicion.mechanism is None else suspicion.mechanism.value,
            "confidence": suspicion.confidence,
        },
    }


def _safe(text: str) -> str:
    """Return text without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _evidence_text(evidence: Sequence[Evidence]) -> Iterator[str]:
    """Yield each statement once, with what it speaks for and against."""
    statements: dict[str, list[Evidence]] = {}
    for piece in evidence:
        if abs(piece.weight) < _WORTH_A_WORD:
            continue
        statements.setdefault(piece.statement, []).append(piece)
    for statement, pieces in statements.items():
        yield f"  - {statement}"
        told = ", ".join(f"{'for' if p.weight > 0 else 'against'} {p.cause.value} {p.weight:+.1f}" for p in pieces)
        yield f"      {told}"


def _advice_text(advice: Recommendation) -> Iterator[str]:
    action = advice.action.value
    if advice.limit_bytes is not None:
        to = " to" if advice.action in {Action.RAISE_LIMIT, Action.LOWER_LIMIT} else ""
        action += f"{to} {human_bytes(advice.limit_bytes)}"
    if advice.range_bytes is not None:
        low, high = advice.range_bytes
        action += f" (between {human_bytes(low)} and {human_bytes(high)})"
    if advice.request_bytes is not None:
        action += f", request {human_bytes(advice.request_bytes)}"
    yield f"Recommended: {action}"
    yield f"  {advice.basis}"
    yield from (f"  {text}" for text in advice.clamps)
    yield from (f"  Warning: {text}" for text in advice.warnings)
    if advice.stop_gap is not None:
        gap = advice.stop_gap
        lasts = duration(gap.uptime_seconds)
        yield f"  Until then: a limit of {human_bytes(gap.limit_bytes)} lasts about {lasts} from each start."


def _forecast_text(forecast: Forecast, seconds: float) -> str:
    if seconds == 0:
        return "Forecast: the limit has been reached."
    low = None if forecast.low is None else duration(forecast.low)
    high = "perhaps never" if forecast.high is None else duration(forecast.high)
    between = "" if low is None else f" (between {low} and {high})"
    return f"Forecast: the limit is reached in about {duration(seconds)}{between}."


def to_text(name: str, trace: Trace, found: Diagnosis) -> str:
    """Return one diagnosis for people."""
    where = "/".join(part for part in (trace.namespace, trace.workload_name or trace.pod, trace.container) if part)
    lines = [f"{name}: {where}" if where else name]
    if found.cause is not None:
        kind = "" if found.mechanism is None else f" ({found.mechanism.value})"
        lines.append(f"Cause: {found.cause.value}{kind}, confidence {100 * found.confidence:.0f} %")
    elif found.suspicion is not None:
        kind = "" if found.suspicion.mechanism is None else f" ({found.suspicion.mechanism.value})"
        percent = 100 * found.suspicion.confidence
        lines.append(
            f"Cause: none, nothing was killed; suspicion: {found.suspicion.cause.value}{kind}, {percent:.0f} %"
        )
    else:
        lines.append("Cause: none, nothing was killed")
    lines += [f"  {found.summary}", *_advice_text(found.recommendation)]
    if found.forecast is not None and found.forecast.seconds_to_limit is not None:
        lines.append(_forecast_text(found.forecast, found.forecast.seconds_to_limit))
    if found.next_steps:
        lines += ["Next:", *(f"  - {step}" for step in found.next_steps)]
    if found.evidence:
        lines += ["Evidence:", *_evidence_text(found.evidence)]
    if found.missing:
        lines += ["Missing:", *(f"  - {gap}" for gap in found.missing)]
    if found.would_settle:
        lines += ["To settle it:", *(f"  - {wish}" for wish in found.would_settle)]
    return "\n".join(_safe(line) for line in lines)


def run(arguments: argparse.Namespace) -> int:
    """Diagnose every trace that can be read, and return the exit status."""
    readable: list[_Read] = []
    status = 0
    for name in arguments.traces:
        try:
            readable.append(_Read(name, _read(name)))
        except TraceError as error:
            print(f"memdiag diagnose: {_safe(str(error))}", file=sys.stderr)
            status = 2
    for number, one in enumerate(readable):
        found = diagnose(one.trace, _siblings(one, readable) if arguments.cohort else ())
        if arguments.output == "json":
            print(json.dumps(to_object(one.name, found)))
        else:
            print(("\n" if number else "") + to_text(one.name, one.trace, found))
    return status
