"""The testbed's commands: `python -m testbed COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from testbed import binaries, cluster, demo
from testbed.progress import Progress
from testbed.shell import TestbedError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("preflight", help="say what this machine lacks, with the remedy; install Debian packages")
    commands.add_parser("build", help="fill the cache: binaries, kernel, node disk, images")
    commands.add_parser("up", help="a cluster with memdiag installed on it, and nothing else")
    commands.add_parser("demo", help="the same, and three workloads that the kernel kills")
    commands.add_parser("down", help="end what `up` or `demo` started; nothing is left behind")
    commands.add_parser("node", help="run a command on the node, as root: node dmesg")
    commands.add_parser("kubectl", help="run kubectl against the cluster: kubectl -n memdiag get pods")
    return parser


def _run(command: str, words: Sequence[str]) -> None:
    found = cluster.make(demo.NAME)
    if command == "preflight":
        cluster.prepare()
        print("this machine will do")
    elif command == "build":
        cluster.prepare()
        took = Progress(cluster.build_steps()).run()
        binaries.drop_build_cache()
        print(f"everything is built, in {took:.0f} s")
    elif command == "up":
        took = cluster.bring_up(found)
        print(f"up after {took:.0f} s: export KUBECONFIG={found.kubeconfig}")
    elif command == "demo":
        print(demo.up())
    elif command == "down":
        demo.down()
        print("the demo is down")
    elif command == "node":
        print(found.node.run(*words), end="")
    else:
        os.execv(  # noqa: S606 - the caller's terminal becomes kubectl's
            binaries.program("kubectl"), ["kubectl", f"--kubeconfig={found.kubeconfig}", *words]
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a failure is a message, not a stack trace."""
    said = list(sys.argv[1:] if argv is None else argv)
    # what stands behind these two is another program's own
    words = said[1:] if said[:1] in (["node"], ["kubectl"]) else []
    command = _parser().parse_args(said[: len(said) - len(words)]).command
    try:
        _run(command, words)
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("testbed: interrupted; `make demo-down` ends what is left", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
