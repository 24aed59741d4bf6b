"""The memdiag command: one subcommand a module, imported only when it is asked for."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
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
_INTERRUPTED = 128 + 2
"""What a shell reports of a program that SIGINT ended."""
_UNWRITTEN = 2
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _called(program: str) -> str:
    """Return what people type to call this program: as a plugin of kubectl it has a name of two words."""
    return "kubectl memdiag" if Path(program).name == "kubectl-memdiag" else "memdiag"


def _usable_streams() -> None:
    """Put /dev/null where a standard stream is closed, and write out what a terminal's encoding lacks as its code."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it lives as long as we
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Let what is still to be written go nowhere, or Python would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """Return the command line, with the chosen command as its `run`."""
    parser = argparse.ArgumentParser(
        prog=_called(sys.argv[0]),
        description="Says why a Kubernetes container was OOM-killed, and what limit it should have.",
    )
    parser.add_argument("--version", action="version", version=f"memdiag {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, (module_name, help_text) in _COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        if name == chosen:
            module = importlib.import_module(module_name)
            module.configure(command)
            command.set_defaults(run=module.run)
    return parser.parse_args(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    _usable_streams()
    command = "memdiag"
    try:
        arguments = _parsed(sys.argv[1:] if argv is None else argv)
        command = f"memdiag {arguments.command}"
        status = int(arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output went away, as `head` does: nobody is left to tell
        _drop_output()
        return _BROKEN_PIPE
    except KeyboardInterrupt:  # the way to end what takes too long
        return _INTERRUPTED
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _drop_output()
        print(f"{command}: the output cannot be written: {error.strerror}", file=sys.stderr)
        return _UNWRITTEN
    return status
