"""`memdiag mute`: no alert of a diagnosis for a while; its kills are counted and diagnosed as before."""

from __future__ import annotations

import argparse
import re
import time

from memdiag.cli.online import diagnosis
from memdiag.cli.target import Target, name, online
from memdiag.cli.target import configure as configure_target
from memdiag.kube.kinds import DIAGNOSIS
from memdiag.model.report import rfc3339
from memdiag.report.words import moment

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:\d+[smhdw])+")
_LONGEST = 366 * 86400


def duration(text: str) -> int:
    """Return the seconds of a duration such as 90m, 2h or 1d12h. Raises argparse.ArgumentTypeError."""
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write for example 90m, 2h or 1d12h")
    seconds = sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)([smhdw])", text))
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not between a second and a year")
    return seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", type=name, help="the diagnosis, as `memdiag list` names it")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--for", dest="seconds", type=duration, metavar="TIME", help="how long: 90m, 2h, 1d12h")
    how.add_argument("--off", action="store_true", help="let alerts through again")
    configure_target(parser)


def muted(arguments: argparse.Namespace, target: Target) -> int:
    """Write until when the diagnosis is muted."""
    found = diagnosis(target, arguments.name)
    until = None if arguments.off else time.time() + arguments.seconds
    body = {"spec": {"mutedUntil": None if until is None else rfc3339(until)}}
    target.api.patch(DIAGNOSIS.path(found.namespace, found.name), body)
    print(f"{found.name}: " + ("not muted any more" if until is None else f"muted until {moment(until)}"))
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return online(arguments, muted)
