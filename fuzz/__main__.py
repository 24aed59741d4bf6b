"""Fuzz every parser with Atheris, a target after another: `python -m fuzz [--seconds N] [TARGET...]`.

Each target runs in a process of its own with bounds on time and memory for one input; what breaks it is kept in
fuzz/found, where the unit ring runs it from then on. Inputs that reach new code are kept in the testbed's cache, so
that the next run takes up there.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fuzz.seeds import FOUND, seeds
from fuzz.targets import TARGETS
from testbed import cache

_SECONDS_FOR_ONE = 5
_MEGABYTES = 1024
_LONGEST = 32 * 1024
_INNER = "--run-inside"


def _run_inside(name: str, options: Sequence[str]) -> None:
    """Fuzz in this process until libFuzzer ends it: parsers are instrumented while they are imported anew."""
    import atheris  # noqa: PLC0415 - not a dependency of anything else

    for module in [one for one in sys.modules if one.partition(".")[0] == "memdiag" or one == "fuzz.targets"]:
        del sys.modules[module]
    with atheris.instrument_imports(include=["memdiag"]):
        targets = importlib.import_module("fuzz.targets")
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[name])
    atheris.Fuzz()


def _grown(name: str) -> Path:
    folder = cache.root() / "fuzz" / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    return folder


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target for so long, print a line about it, and return whether it held."""
    grown = _grown(name)
    found = FOUND / name
    known = set(found.glob("*"))
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-timeout={_SECONDS_FOR_ONE}", f"-rss_limit_mb={_MEGABYTES}"]
    options += [f"-max_len={_LONGEST}", f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=1"]
    log = cache.logs() / f"fuzz-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("w") as out:
        command = [sys.executable, "-m", "fuzz", _INNER, name, *options, str(grown)]
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    new = sorted(set(found.glob("*")) - known)
    if not any(found.iterdir()):
        found.rmdir()
    said = log.read_text(errors="replace")
    runs = re.findall(r"stat::number_of_executed_units: (\d+)|#(\d+)\s", said)
    count = max((int(a or b) for a, b in runs), default=0)
    cover = re.findall(r"cov: (\d+)", said)
    good = status == 0 and not new
    broken = f"; {log}: {', '.join(path.name for path in new)}"
    print(
        f"{'ok  ' if good else 'FAIL'} {name:<16} {count:>9} inputs in {time.monotonic() - began:4.0f} s, "
        f"coverage {cover[-1] if cover else '?'}" + ("" if good else broken),
        flush=True,
    )
    return good


def main(argv: Sequence[str]) -> int:
    """Fuzz the targets that are named, all of them without a name; return 1 when one broke."""
    if argv[:1] == [_INNER]:
        _run_inside(argv[1], argv[2:])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", metavar="TARGET", nargs="*", choices=(*TARGETS, []), help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="time for each target (default 60)")
    arguments = parser.parse_args(argv)
    held = [fuzz(name, arguments.seconds) for name in arguments.targets or TARGETS]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
