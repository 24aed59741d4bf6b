"""`memdiag list`: the diagnoses of a namespace or of the cluster, the most harmful first."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence

from memdiag.cli.online import diagnoses
from memdiag.cli.output import a_list, document, table
from memdiag.cli.target import Target, online
from memdiag.cli.target import configure as configure_target
from memdiag.cli.terminal import screen_of
from memdiag.controller import resolution
from memdiag.controller.alertfacts import View
from memdiag.kube.memory_diagnosis import ConditionStatus
from memdiag.model.report import from_rfc3339
from memdiag.report.text import Screen
from memdiag.report.words import short_duration

_DAY = 86400.0
_HEADS = ("NAME", "WORKLOAD", "CONTAINER", "CAUSE", "CONFIDENCE", "LIMIT", "RECOMMENDED", "KILLS", "LAST-KILL", "AGE")
_WIDE = ("KIND", "MECHANISM", "STATE", "SUMMARY")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    configure_target(parser, everywhere=True)
    parser.add_argument("-l", "--selector", metavar="LABELS", help="only diagnoses with these labels, such as team=a")
    parser.add_argument("-o", "--output", choices=("table", "wide", "json", "yaml"), default="table")


def is_resolved(found: View) -> bool:
    """Say whether nothing is left to do about a diagnosis."""
    condition = resolution.of(found.status.conditions)
    return condition is not None and condition.status is ConditionStatus.TRUE


def weighed(kills: Iterable[tuple[float, int]], now: float) -> float:
    """Return how much kills (Unix seconds, and how many each is) hurt: each counts half for every day since."""
    return math.fsum(count * math.exp2(-max(now - moment, 0.0) / _DAY) for moment, count in kills)


def harm(found: View, now: float) -> float:
    """Return how much a diagnosis hurts, by its recent kills. `now` is Unix seconds."""
    kills = found.status.kills.recent if found.status.kills is not None else ()
    return weighed(((from_rfc3339(kill.time), kill.count or 1) for kill in kills), now)


def ordered(found: Sequence[View], now: float) -> list[View]:
    """Return diagnoses with the most harmful first: open ones before resolved ones, then by recent and by all kills."""

    def rank(one: View) -> tuple[bool, float, int, tuple[str, str]]:
        total = 0 if one.status.kills is None else one.status.kills.total
        return is_resolved(one), -round(harm(one, now), 2), -total, one.key

    return sorted(found, key=rank)


def _state(found: View, now: float) -> str:
    if is_resolved(found):
        return "resolved"
    return "muted" if found.muted_until is not None and found.muted_until > now else "open"


def _ago(moment: str | None, now: float) -> str:
    return "-" if moment is None else short_duration(round(max(now - from_rfc3339(moment), 0.0)))


def _row(found: View, now: float) -> tuple[str, ...]:
    status, target = found.status, found.spec.target_ref
    kills = status.kills
    return (
        found.name,
        target.name,
        found.spec.container,
        status.cause or "-",
        "-" if status.confidence_percent is None else str(status.confidence_percent),
        status.limit or "-",
        status.recommended or "-",
        "0" if kills is None else str(kills.total),
        _ago(None if kills is None else kills.last_time, now),
        _ago(found.item["metadata"].get("creationTimestamp"), now),
    )


def rows(found: Sequence[View], screen: Screen, now: float, *, wide: bool, everywhere: bool) -> list[str]:
    """Return the lines of the table."""
    heads = (*(("NAMESPACE",) if everywhere else ()), *_HEADS, *(_WIDE if wide else ()))
    lines = []
    for one in found:
        status = one.status
        more = (one.spec.target_ref.kind, status.mechanism or "-", _state(one, now), status.summary or "-")
        lines.append((*((one.namespace,) if everywhere else ()), *_row(one, now), *(more if wide else ())))
    return table(screen, heads, lines, [is_resolved(one) for one in found])


def listed(arguments: argparse.Namespace, target: Target) -> int:
    """Print the diagnoses."""
    now = time.time()
    found = ordered(diagnoses(target, arguments.selector), now)
    if arguments.output in ("json", "yaml"):
        print(document(arguments.output, a_list([one.item for one in found])), end="")
    elif found:
        screen = screen_of(sys.stdout, os.environ)
        wide, everywhere = arguments.output == "wide", target.namespace is None
        print("\n".join(rows(found, screen, now, wide=wide, everywhere=everywhere)))
    else:
        print(f"No diagnosis in {target.where}.", file=sys.stderr)
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return online(arguments, listed)
