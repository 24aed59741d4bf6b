"""`memdiag trace`: the runs behind a diagnosis in the trace format, so that a bug report can carry them."""

from __future__ import annotations

import argparse
import gzip
import shlex
import sys
from pathlib import Path

from memdiag.cli.online import diagnosis, incidents_of
from memdiag.cli.report import write
from memdiag.cli.target import Refused, Target, name, online
from memdiag.cli.target import configure as configure_target
from memdiag.controller.traces import traces
from memdiag.model.trace import Trace
from memdiag.model.tracefile import lines

_PACKED = ".gz"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", type=name, help="the diagnosis, as `memdiag list` names it")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="the trace of the pod that was killed last (packed when it ends in .gz; - is the standard output); those "
        "of other pods are written beside it, numbered from 2",
    )
    configure_target(parser)


def numbered(output: str, number: int) -> str:
    """Return the file of a pod: the first has the output's own name, a.jsonl.gz is followed by a.2.jsonl.gz."""
    if number == 1:
        return output
    path = Path(output)
    stem, dot, rest = path.name.partition(".")
    return str(path.with_name(f"{stem}.{number}{dot}{rest}"))


def _write(output: str, trace: Trace) -> None:
    text = "".join(lines(trace))
    if not output.endswith(_PACKED):
        write(output, text)
        return
    try:
        Path(output).write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
    except OSError as error:
        raise Refused(f"{output} cannot be written: {error.strerror or error}") from None


def exported(arguments: argparse.Namespace, target: Target) -> int:
    """Write the traces."""
    found = diagnosis(target, arguments.name)
    incidents = incidents_of(target, found)
    if not incidents:
        raise Refused(f"{found.name}: no incident is kept of it, so there is no run to export")
    first, *others = traces(found.namespace, incidents)
    _write(arguments.output, first)
    if arguments.output == "-":
        if others:
            pods = "1 other pod is" if len(others) == 1 else f"{len(others)} other pods are"
            print(f"{pods} left out, as only a file has others beside it: -o FILE", file=sys.stderr)
        return 0
    names = [arguments.output]
    for number, trace in enumerate(others, 2):
        names.append(numbered(arguments.output, number))
        _write(names[-1], trace)
    command = ["memdiag", "diagnose", *(["--cohort"] if others else []), *names]
    print(f"{', '.join(names)} written; read back with: {shlex.join(command)}", file=sys.stderr)
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return online(arguments, exported)
