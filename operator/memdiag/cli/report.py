"""`memdiag report`: one diagnosis as a self-contained HTML page."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from memdiag.cli.diagnose import page_of
from memdiag.cli.online import diagnosis, finding_of, incidents_of
from memdiag.cli.target import Refused, Target, name, online
from memdiag.cli.target import configure as configure_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", type=name, help="the diagnosis, as `memdiag list` names it")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the page; - is the standard output")
    configure_target(parser)


def write(output: str, text: str) -> None:
    """Write a file, or to the standard output for `-`. Raises Refused when it cannot be written."""
    if output == "-":
        sys.stdout.write(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{output} cannot be written: {error.strerror or error}") from None


def reported(arguments: argparse.Namespace, target: Target) -> int:
    """Write the page."""
    found, now = diagnosis(target, arguments.name), time.time()
    page = page_of([finding_of(found, incidents_of(target, found), now)], now)
    write(arguments.output, page)
    if arguments.output != "-":
        print(f"{arguments.output} is written: open it in a browser", file=sys.stderr)
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return online(arguments, reported)
