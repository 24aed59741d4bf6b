"""The testbed's commands: `python -m testbed COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from testbed import binaries, cluster, demo, kernel, kernel_logs, kill_matrix
from testbed.matrix_guest import DISTRIBUTIONS
from testbed.progress import Progress
from testbed.shell import TestbedError

_RECORD = """
Boots a guest, lets it make every kind of OOM kill (limits of containers, pods and above, groups, children, the node,
cgroup paths of all drivers and runtimes, hostile names, tmpfs, swap, a storm beyond the kernel's rate limit), and puts
the kernel's log and the truth about who died into tests/kernel/fixtures/recorded. Without an option: all of them.

  --series 6.1          User-Mode Linux, built from Debian's linux-source package: a kernel takes 5 to 10 minutes to
                        build once, the matrix one to two
  --distribution NAME   Debian's kernel for virtual machines, in QEMU with software emulation: nothing is built, the
                        matrix takes some minutes; two CPUs and two NUMA nodes, so cpuset and memory policy as well

Run the tests of tests/kernel afterwards: they hold every recording against its truth.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("preflight", help="say what this machine lacks, with the remedy; install Debian packages")
    commands.add_parser("build", help="fill the cache: binaries, kernel, node disk, images")
    commands.add_parser("up", help="a cluster with memdiag installed on it, and nothing else")
    shown = commands.add_parser("demo", help="the same, and three workloads that the kernel kills")
    ended = commands.add_parser("down", help="end what `up` or `demo` started; nothing is left behind")
    for command in (shown, ended):
        command.add_argument("--kind", action="store_true", help="on a cluster that kind makes in Docker")
    commands.add_parser("matrix", help="let a container die in every way on a node, and print what was said of each")
    commands.add_parser("node", help="run a command on the node, as root: node dmesg")
    commands.add_parser("kubectl", help="run kubectl against the cluster: kubectl -n memdiag get pods")
    record = commands.add_parser(
        "record-kernel-logs",
        help="let real kernels make the matrix of OOM kills, and record what they print as test fixtures",
        description=_RECORD,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    record.add_argument("--series", action="append", choices=tuple(kernel.SOURCES), default=[], help="a kernel of ours")
    record.add_argument(
        "--distribution",
        action="append",
        choices=tuple(DISTRIBUTIONS),
        default=[],
        help="Debian's own kernel of that suite, in QEMU",
    )
    return parser


def _run(command: str, words: Sequence[str], *, kind: bool) -> None:
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
        print(demo.up_on_kind() if kind else demo.up())
    elif command == "down":
        demo.down_on_kind() if kind else demo.down()
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
    arguments = _parser().parse_args(said[: len(said) - len(words)])
    try:
        if arguments.command == "matrix":
            return kill_matrix.main()
        if arguments.command == "record-kernel-logs":
            for name in arguments.series + arguments.distribution or kernel_logs.names():
                print(kernel_logs.record(name), flush=True)
        else:
            _run(arguments.command, words, kind=getattr(arguments, "kind", False))
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("testbed: interrupted; `make demo-down` ends what is left", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
