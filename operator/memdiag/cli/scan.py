"""`memdiag scan`: what would be diagnosed of the last two weeks of OOM kills; nothing is installed or written."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from memdiag.cli.diagnose import page_of, to_object
from memdiag.cli.list import weighed
from memdiag.cli.oomkills import Killed, kills_of, look
from memdiag.cli.output import table
from memdiag.cli.storekills import add, silent
from memdiag.cli.target import Refused, Target, online
from memdiag.cli.target import configure as configure_target
from memdiag.cli.terminal import Progress, screen_of
from memdiag.cli.wouldbe import WouldBe, would_be
from memdiag.controller.diagnoses import recommended
from memdiag.controller.longhistory import HistoryReader
from memdiag.controller.options import url
from memdiag.controller.prometheus import Prometheus, StoreError, StoreOptions
from memdiag.controller.surroundings import SurroundingsReader
from memdiag.model.quantity import format_bytes
from memdiag.model.report import rfc3339
from memdiag.report.words import printable, short_duration

_HEADS = ("WORKLOAD", "CONTAINER", "CAUSE", "CONFIDENCE", "LIMIT", "RECOMMENDED", "KILLS", "LAST-KILL", "SUMMARY")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    configure_target(parser, everywhere=True)
    parser.add_argument(
        "--prometheus",
        type=url,
        metavar="URL",
        help="a Prometheus-compatible store with the series of cAdvisor and kube-state-metrics: two weeks of memory, "
        "limits, restarts and OOM kills; without it only the last kill of each container that is still there is known",
    )
    parser.add_argument("--prometheus-ca-file", type=Path, metavar="FILE", help="authority that signed its certificate")
    parser.add_argument("--prometheus-token-file", type=Path, metavar="FILE", help="bearer token")
    parser.add_argument("--prometheus-tenant", metavar="NAME", help="tenant, sent as X-Scope-OrgID")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml", "html"), default="table")


def _store(arguments: argparse.Namespace) -> Prometheus | None:
    if arguments.prometheus is None:
        return None
    return Prometheus(
        StoreOptions(
            arguments.prometheus,
            arguments.prometheus_ca_file,
            arguments.prometheus_token_file,
            arguments.prometheus_tenant,
        )
    )


def _killed(target: Target, store: Prometheus | None, progress: Progress, now: float) -> tuple[int, list[Killed]]:
    """Return how many pods there are, and what was killed. Raises ApiError, and Refused for a store that is none."""
    seen = look(target, now, progress.step)
    found = kills_of(seen)
    if store is not None:
        progress.begin("asking the store", None)
        try:
            add(found, store, seen)
            if silent(store, now):
                said = f"{store.name} has no series of kube-state-metrics: kills are known from the pods' status only"
                print(f"memdiag scan: {said}", file=sys.stderr)
        except StoreError as error:
            raise Refused(f"--prometheus: {error}") from None
    return len(seen.book), list(found.values())


def _ordered(found: Sequence[WouldBe], now: float) -> list[WouldBe]:
    return sorted(found, key=lambda one: (-weighed(((kill, 1) for kill in one.kills), now), one.finding.place))


def _row(one: WouldBe, now: float, *, everywhere: bool) -> tuple[str, ...]:
    finding, found = one.finding, one.finding.diagnosis
    last = finding.last_kill_time
    return (
        *((one.subject.namespace,) if everywhere else ()),
        f"{one.subject.workload.kind.lower()}/{one.subject.workload.name}",
        one.subject.container,
        "-" if found.cause is None else found.cause.value,
        f"{100 * found.confidence:.0f}",
        "-" if finding.limit is None else format_bytes(finding.limit),
        recommended(found.recommendation),
        str(len(one.kills)),
        "-" if last is None else short_duration(round(max(now - last, 0.0))),
        found.summary,
    )


def _object(one: WouldBe) -> dict[str, Any]:
    """Return a finding as `memdiag diagnose` prints one, with the place instead of a file."""
    subject, said = one.subject, to_object(one.subject.name, one.finding.diagnosis)
    del said["trace"]
    return {
        "namespace": subject.namespace,
        "workload": {"kind": subject.workload.kind, "name": subject.workload.name},
        "container": subject.container,
        "limit_bytes": one.finding.limit,
        "kills": [rfc3339(kill) for kill in one.kills],
        **said,
    }


def _lines(form: str, found: Sequence[WouldBe], now: float, *, everywhere: bool) -> Iterator[str]:
    if form == "html":
        yield page_of([one.finding for one in found], now).rstrip("\n")
    elif form == "json":
        yield from (json.dumps(_object(one)) for one in found)
    elif form == "yaml":
        yield from ("---\n" + yaml.safe_dump(_object(one), sort_keys=False).rstrip("\n") for one in found)
    elif found:
        heads = (*(("NAMESPACE",) if everywhere else ()), *_HEADS)
        rows = [_row(one, now, everywhere=everywhere) for one in found]
        yield from table(screen_of(sys.stdout, os.environ), heads, rows)


def scanned(arguments: argparse.Namespace, target: Target) -> int:
    """Print what would be diagnosed."""
    now, store = time.time(), _store(arguments)
    history = None if store is None else HistoryReader(store, wall=lambda: now)
    around = SurroundingsReader(target.api)
    with Progress(sys.stderr, "reading pods", None) as progress:
        pods, killed = _killed(target, store, progress, now)
        progress.begin("diagnosing", len(killed))
        found: list[WouldBe] = []
        for one in killed:
            said = would_be(one, around, history, now)
            found += [] if said is None else [said]
            progress.step()
    for line in _lines(arguments.output, _ordered(found, now), now, everywhere=target.namespace is None):
        print(line)
    print(_told(target, pods, len(found), store), file=sys.stderr)
    return 0


def _told(target: Target, pods: int, found: int, store: Prometheus | None) -> str:
    """Return what was looked at, and what would show more."""
    what = "nothing was OOM-killed" if found == 0 else f"{found} container{'' if found == 1 else 's'} OOM-killed"
    read = f"{pods} pod{'' if pods == 1 else 's'} of {target.where} read"
    said = f"{read}: {what} in the last two weeks, as far as is known."
    if store is None:
        return f"{said}\nTheir memory over time is not: --prometheus URL brings it, and kills of pods that are gone."
    return f"{said} Memory over time is from {printable(store.name)}."


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return online(arguments, scanned)
