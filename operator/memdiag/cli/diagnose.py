"""`memdiag diagnose`: read traces and say why each container was killed."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import yaml

from memdiag import __version__
from memdiag.cli.offline import finding_of
from memdiag.cli.source import opened
from memdiag.cli.terminal import Progress, screen_of
from memdiag.diagnosis import diagnose
from memdiag.model.trace import Trace
from memdiag.model.tracefile import LONGEST_LINE, TraceError, parse
from memdiag.model.verdict import Diagnosis, Recommendation
from memdiag.report.finding import Finding
from memdiag.report.page import page
from memdiag.report.text import text
from memdiag.report.words import moment, printable

_EXAMPLE = """
A trace is what `memdiag record` writes (JSON Lines, .gz is read as well). For example:

  memdiag record --cgroup /sys/fs/cgroup/kubepods.slice/.../cri-containerd-ID.scope -o checkout.jsonl
  memdiag diagnose checkout.jsonl
  memdiag diagnose checkout.jsonl -o html > checkout.html
  memdiag diagnose --cohort replicas/*.jsonl.gz -o json | jq -r '[.trace, .cause, .confidence] | @tsv'

Exit status: 0 every trace was diagnosed, whatever the verdict; 2 a trace could not be used (the others still are).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE
    parser.add_argument("traces", nargs="+", metavar="TRACE", help="a trace file; - is the standard input")
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml", "html"),
        default="table",
        help="table is for people, html a page for a browser; json is one object a line, yaml one document a trace",
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
        with opened(name) as file:
            stream = io.TextIOWrapper(file, encoding="utf-8")
            try:
                return parse(_lines(stream), "standard input" if name == "-" else name)
            finally:
                stream.detach()  # the standard input stays open
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


def page_of(findings: Sequence[Finding], now: float) -> str:
    """Return the HTML page of findings, made now (Unix seconds)."""
    return page(findings, f"Made by memdiag {__version__} at {moment(now)}.", now)


def _written(arguments: argparse.Namespace, named: Sequence[tuple[str, Diagnosis]], findings: list[Finding]) -> None:
    """Print what was found in the form that is asked for."""
    if arguments.output == "html":
        print(page_of(findings, time.time()), end="")
        return
    for number, (name, found) in enumerate(named):
        if arguments.output == "json":
            print(json.dumps(to_object(name, found)))
        elif arguments.output == "yaml":
            print("---\n" + yaml.safe_dump(to_object(name, found), sort_keys=False, allow_unicode=True), end="")
        else:
            print(("\n" if number else "") + text(findings[number], screen_of(sys.stdout, os.environ)))


def run(arguments: argparse.Namespace) -> int:
    """Diagnose every trace that can be read, and return the exit status."""
    readable: list[_Read] = []
    status = 0
    for name in arguments.traces:
        try:
            readable.append(_Read(name, _read(name)))
        except TraceError as error:
            print(f"memdiag diagnose: {printable(str(error))}", file=sys.stderr)
            status = 2
    named: list[tuple[str, Diagnosis]] = []
    findings: list[Finding] = []
    with Progress(sys.stderr, "diagnosing", len(readable)) as progress:
        for one in readable:
            siblings = _siblings(one, readable) if arguments.cohort else []
            found = diagnose(one.trace, siblings)
            named.append((one.name, found))
            findings.append(finding_of(one.name, one.trace, found, siblings))
            progress.step()
    if findings:
        _written(arguments, named, findings)
    return status
