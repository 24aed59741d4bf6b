"""Inside the quick kernel: records many workloads, some at a time; the next begins when one ends.

Usage: python -m testbed.workloads.guest WORK AT_ONCE MINUTES FAMILY-SEED...
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from testbed.workloads import families

_BETWEEN_STARTS = 1.0


def main() -> None:
    """Work off the list; what would not be over in time is not begun."""
    Path("/proc/self/oom_score_adj").write_text("-1000")
    work, at_once, deadline = Path(sys.argv[1]), int(sys.argv[2]), time.monotonic() + 60 * float(sys.argv[3])
    waiting = [name.rpartition("-") for name in sys.argv[4:]]
    for folder in ("traces", "logs", "data"):
        (work / folder).mkdir(exist_ok=True)
    living: list[subprocess.Popen[bytes]] = []
    while waiting or living:
        living = [process for process in living if process.poll() is None]
        if waiting and len(living) < at_once:
            family, _, seed = waiting.pop(0)
            if time.monotonic() + families.plan(family, int(seed)).seconds + 5 < deadline:
                command = [sys.executable, "-m", "testbed.workloads.pod", str(work), family, seed]
                living.append(subprocess.Popen(command))
        time.sleep(_BETWEEN_STARTS)


if __name__ == "__main__":
    main()
