"""Inside the quick kernel: `memdiag run` with real programs; what came of each is written to result.json."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
LEAK = "import time\nkept = []\nwhile True:\n    kept.append(bytearray(b'x' * 2**19))\n    time.sleep(0.05)\n"
CHILD = "import subprocess, sys\nsubprocess.Popen(['sleep', '600'])\n"
WAITS = """import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("up", flush=True)
time.sleep(60)
"""


def memdiag(*words: str) -> list[str]:
    return [sys.executable, "-m", "memdiag", "run", *words]


def done(*words: str) -> dict[str, Any]:
    began = time.monotonic()
    found = subprocess.run(memdiag(*words), capture_output=True, text=True, check=False, timeout=120)
    return {
        "status": found.returncode,
        "out": found.stdout,
        "error": found.stderr,
        "seconds": time.monotonic() - began,
        "left": sorted(path.name for path in CGROUPS.glob("**/memdiag-*")),
    }


def stopped(*words: str) -> dict[str, Any]:
    process = subprocess.Popen(memdiag(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest, error = process.communicate(timeout=30)
    return {"status": process.returncode, "out": first + rest, "error": error}


def unprivileged(*words: str) -> dict[str, Any]:
    """Run it where the cgroups cannot be written, as in a container without rights."""
    script = 'mount -o remount,ro,bind /sys/fs/cgroup && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", *memdiag(*words)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return {"status": found.returncode, "error": found.stderr}


def delegated(*words: str) -> dict[str, Any]:
    """Run it in a cgroup of its own that its own process is in, as below `systemd-run --scope -p Delegate=yes`."""
    folder = CGROUPS / "delegated"
    folder.mkdir()
    (CGROUPS / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    script = f'echo $$ > {folder}/cgroup.procs && exec "$@"'
    command = ["sh", "-c", script, "sh", *memdiag("--parent", str(folder), *words)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return {
        "status": found.returncode,
        "error": found.stderr,
        "left": [path.name for path in folder.iterdir() if path.is_dir()],
    }


def full(*words: str) -> dict[str, Any]:
    """Run it with a trace on a file system that has room for a few of its lines."""
    folder = Path("small")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(folder)], check=True)
    return done("--record", str(folder / "a.jsonl"), *words)


def main() -> None:
    work = Path(sys.argv[1])
    os.chdir(work)
    python, faster = sys.executable, ("--interval", "0.1")
    trace = str(work / "leak.jsonl")
    report = str(work / "leak.json")
    leak = (*faster, "--runs", "2", "--record", trace, "-o", "json", "--output", report, "--", python, "-c", LEAK)
    found = {
        "leak": done("--memory", "40Mi", *leak),
        "again": done("--memory", "40Mi", *leak),
        "fine": done("--memory", "64Mi", *faster, "--", "sh", "-c", "echo hello; exit 3"),
        "leaves": done("--memory", "64Mi", *faster, "--", python, "-c", CHILD),
        "absent": done("--memory", "64Mi", "--", "no-such-command"),
        "tiny": done("--memory", "1Mi", *faster, "--", python, "-c", LEAK),
        "stopped": stopped("--memory", "64Mi", *faster, "--", python, "-c", WAITS),
        "unprivileged": unprivileged("--memory", "64Mi", "--", "true"),
        "full": full("--memory", "64Mi", "--interval", "0.02", "--", "sh", "-c", "sleep 1; exit 5"),
        "delegated": delegated("--memory", "64Mi", *faster, "--", "sh", "-c", "exit 4"),
    }
    (work / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
