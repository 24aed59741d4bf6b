"""The peer: reads the files that the agent reads, as often, through kept descriptors, and does nothing with them.

Reads `FOLDER=PID` lines from standard input, one a container.
"""

import os
import resource
import sys
import time

EVERY_SECOND = ("memory.current", "memory.events")
EVERY_FIVE = (
    "memory.stat",
    "memory.peak",
    "memory.max",
    "memory.swap.current",
    "pids.current",
    "memory.pressure",
    "cpu.stat",
)


def opened(folder: str, names: tuple[str, ...]) -> list[int]:
    """Return descriptors of the files that are there."""
    paths = (f"{folder}/{name}" for name in names)
    return [os.open(path, os.O_RDONLY) for path in paths if os.path.exists(path)]  # noqa: PTH110 - it is to cost little


def main() -> None:
    """Read until killed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pairs = [line.strip().rpartition("=") for line in sys.stdin]
    often = [descriptor for folder, _, _ in pairs for descriptor in opened(folder, EVERY_SECOND)]
    pods = dict.fromkeys(folder.rpartition("/")[0] for folder, _, _ in pairs)
    often += [descriptor for folder in pods for descriptor in opened(folder, ("memory.events",))]
    dear = [opened(folder, EVERY_FIVE) + opened(f"/proc/{pid}/net", ("dev",)) for folder, _, pid in pairs]
    turn = 0
    while True:
        for descriptor in often:
            os.pread(descriptor, 16384, 0)
        for descriptors in dear[turn % 5 :: 5]:
            for descriptor in descriptors:
                os.pread(descriptor, 16384, 0)
        turn += 1
        time.sleep(1.0 - time.time() % 1.0)


main()
