"""Records labelled workloads on a real kernel into traces: `python -m testbed.workloads.record --help`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from testbed import quick
from testbed.shell import TestbedError, capture
from testbed.workloads import families, postgres
from testbed.workloads.plan import Plan

_PROGRAMS = Path(__file__).resolve().parent / "programs"
_LARGE_FILE = 160 * 2**20


def seeds(text: str) -> list[int]:
    """Return the seeds that `0-7` or `1,4,6` stands for. Raises argparse.ArgumentTypeError."""
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seeds such as 0-7 or 1,4,6") from None
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m testbed.workloads.record",
        description="Records labelled workloads, some at once, on a real kernel into memdiag.trace/v1 files.",
        epilog="example: python -m testbed.workloads.record --family leak-c-threads --seeds 0-7 --out build/traces",
    )
    add = parser.add_argument
    add("--family", action="append", choices=sorted(families.FAMILIES), help="may be given again (default: all)")
    add("--seeds", type=seeds, default=seeds("0-7"), help="such as 0-7 or 1,4,6 (default: 0-7)")
    add("--out", type=Path, required=True, metavar="DIR", help="where the traces are put; one that is there is kept")
    add(
        "--at-once",
        type=int,
        default=3,
        metavar="N",
        help="workloads at a time in one kernel; idle time is skipped, so more gain nothing (default: 3)",
    )
    add("--guests", type=int, default=1, metavar="N", help="kernels side by side, one core each (default: 1)")
    add("--memory", default="5G", help="of each kernel (default: 5G)")
    add("--minutes", type=float, default=60, help="of this machine, after which a kernel is ended (default: 60)")
    return parser


def _plan(name: str) -> Plan:
    family, _, seed = name.rpartition("-")
    return families.plan(family, int(seed))


def _programs(work: Path, names: Sequence[str]) -> None:
    capture(["gcc", "-O0", "-Wall", "-pthread", "-o", work / "service", _PROGRAMS / "service.c"])
    if shutil.which("javac"):
        capture(["javac", "-d", work, _PROGRAMS / "Service.java"])
    if any(_plan(name).program == "postgres" for name in names):
        postgres.make_disk(work)
    with (work / "large").open("wb") as large:
        large.truncate(_LARGE_FILE)


def _record(names: Sequence[str], memory: str, arguments: argparse.Namespace, work: Path) -> None:
    if not names:
        return
    _programs(work, names)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "testbed.workloads.guest",
        work,
        str(arguments.at_once),
    ]
    result = quick.run(
        [*command, *names],
        work,
        memory=memory,
        timeout=60 * arguments.minutes,
        skip_idle=True,
    )
    if result.status or result.stderr:
        print(f"record: the guest said ({result.status}):\n{result.stderr[-4000:]}", file=sys.stderr)


def _collect(work: Path, out: Path) -> list[str]:
    found = sorted((work / "traces").glob("*.jsonl.gz"))
    for path in found:
        shutil.move(path, out / path.name)
    return [path.name for path in found]


def main(words: Sequence[str] | None = None) -> int:
    """Record what is not there yet. Returns 1 when a guest failed or a trace is absent in the end."""
    arguments = _parser().parse_args(words)
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    chosen = arguments.family or list(families.FAMILIES)
    # seed by seed, so that a recording that is cut short has all families
    names = [f"{family}-{seed}" for seed in arguments.seeds for family in chosen]
    names = [name for name in names if not (out / f"{name}.jsonl.gz").exists()]
    nodes = {name: memory for name in names if (memory := _plan(name).node_memory)}
    shared = [name for name in names if name not in nodes]
    errors: list[str] = []
    begin, done = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="memdiag-record-") as folder:
        works = [Path(folder, str(number)) for number in range(arguments.guests)]
        for work in works:
            work.mkdir()

        def one(number: int) -> None:
            try:
                _record(shared[number :: len(works)], arguments.memory, arguments, works[number])
                for name in list(nodes)[number :: len(works)]:
                    _record([name], str(nodes[name]), arguments, works[number])
            except TestbedError as error:
                errors.append(str(error))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(works))]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(2)
            for name in (name for work in works for name in _collect(work, out)):
                done += 1
                print(f"{time.monotonic() - begin:6.0f} s  {done:3d}/{len(names)}  {name}", flush=True)
        done += sum(len(_collect(work, out)) for work in works)
    for error in errors:
        print(f"record: {error}", file=sys.stderr)
    print(f"{done} of {len(names)} recorded into {arguments.out}")
    return 0 if done == len(names) and not errors else 1


if __name__ == "__main__":
    sys.exit(main())
