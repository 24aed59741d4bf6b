"""`memdiag show`: one diagnosis in full: verdict, evidence, memory over runs as a chart, next steps."""

from __future__ import annotations

import argparse
import os
import sys
import time

from memdiag.cli.online import diagnosis, finding_of, incidents_of
from memdiag.cli.target import Target, name, online
from memdiag.cli.target import configure as configure_target
from memdiag.cli.terminal import screen_of
from memdiag.report.text import text


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", type=name, help="the diagnosis, as `memdiag list` names it")
    configure_target(parser)


def shown(arguments: argparse.Namespace, target: Target) -> int:
    """Print the diagnosis."""
    found, now = diagnosis(target, arguments.name), time.time()
    finding = finding_of(found, incidents_of(target, found), now)
    print(text(finding, screen_of(sys.stdout, os.environ), now))
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    return online(arguments, shown)
