"""The memdiag command: one subcommand a module, imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from memdiag import __version__

_COMMANDS: dict[str, tuple[str, str]] = {
    "diagnose": ("memdiag.cli.diagnose", "read traces and say why each container was killed"),
    "explain": ("memdiag.cli.explain", "read kernel log text and say whom the kernel killed, and whose limit was hit"),
    "record": ("memdiag.cli.record", "record a trace of one cgroup until it ends"),
    "run": ("memdiag.cli.run", "run a command under a memory limit and say why it died"),
    "list": ("memdiag.cli.list", "list the diagnoses of a cluster, the most harmful first"),
    "show": ("memdiag.cli.show", "show one diagnosis: verdict, evidence, memory over runs, next steps"),
    "apply": ("memdiag.cli.apply", "print the patch that applies a recommended limit, or apply it"),
    "report": ("memdiag.cli.report", "write one diagnosis as a self-contained HTML page"),
    "mute": ("memdiag.cli.mute", "send no alert of one diagnosis for a while"),
    "trace": ("memdiag.cli.trace", "export the runs behind one diagnosis, as `memdiag diagnose` reads them"),
    "scan": ("memdiag.cli.scan", "say what would be diagnosed of a cluster, without installing anything"),
    "check": ("memdiag.cli.check", "look whether an installation works, and say what to do when not"),
    "alert": ("memdiag.cli.alert", "try whether messages reach Slack, and say what to do when not"),
    "agent": ("memdiag.agent.main", "run the node-side helper (what the DaemonSet runs)"),
    "operator": ("memdiag.controller.main", "run the operator (what the Deployment runs)"),
}
"""Subcommand: the module that has `configure(parser)` and `run(arguments) -> int`, and one line of help."""

_BROKEN_PIPE = 128 + 13
"""What a shell reports of a program that SIGPIPE ended."""


def _called(program: str) -> str:
    """Return what people type to call this program: as a plugin of kubectl it has a name of two words."""
    return "kubectl memdiag" if Path(program).name == "kubectl-memdiag" else "memdiag"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog=_called(sys.argv[0]),
        description="Says why a Kubernetes container was OOM-killed, and what limit it should have.",
    )
    parser.add_argument("--version", action="version", version=f"memdiag {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, (module_name, help_text) in _COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
        if name == chosen:
            module = importlib.import_module(module_name)
            module.configure(command)
            command.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output went away, as `head` does: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return status
