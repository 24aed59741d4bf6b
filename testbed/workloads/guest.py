"""Inside the quick kernel: records many workloads, some at a time; the next begins when one ends.

Usage: python -m testbed.workloads.guest WORK AT_ONCE FAMILY-SEED...
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

_BETWEEN_STARTS = 1.0


def main() -> None:
    """Work off the list."""
    Path("/proc/self/oom_score_adj").write_text("-1000")
    work, at_once = Path(sys.argv[1]), int(sys.argv[2])
    waiting = [name.rpartition("-") for name in sys.argv[3:]]
    for folder in ("traces", "logs", "data"):
        (work / folder).mkdir(exist_ok=True)
    living: list[subprocess.Popen[bytes]] = []
    while waiting or living:
        living = [process for process in living if process.poll() is None]
        if waiting and len(living) < at_once:
            family, _, seed = waiting.pop(0)
            command = [sys.executable, "-m", "testbed.workloads.pod", str(work), family, seed]
            living.append(subprocess.Popen(command))
        time.sleep(_BETWEEN_STARTS)


if __name__ == "__main__":
    main()
