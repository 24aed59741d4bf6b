"""The quick kernel: a real Linux with cgroup v2 as a process, for one command, without Kubernetes; up in a second.

The command sees the host's whole file system read-only, one folder of its own (at the same path as on the host) to
write to, and a cgroup v2 hierarchy at /sys/fs/cgroup whose memory, pids and cpu controllers are on.

With idle time skipped (`time-travel` of User-Mode Linux) the guest's clock leaps over what nobody works in: minutes of
sleepers last seconds of the host, and none of them has to share the processor with what else the host does meanwhile.
What is worked takes its time as ever, so `cpu.stat` and PSI say what they should. (`inf-cpu`, where work takes no time
at all, hangs under whoever waits without sleeping: Node, Java and Redis do.)
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import kernel
from testbed.cache import REPOSITORY
from testbed.shell import TestbedError, tail

_INIT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo '+memory +pids +cpu' > /sys/fs/cgroup/cgroup.subtree_control
ip link set lo up
mount -t hostfs -o hostfs={work} none {work} 2>/dev/null || mount -t hostfs -o {work} none {work}
hostname quick-kernel
export HOME=/run TMPDIR=/run {environment}
cd {cwd}
{command} > {work}/stdout 2> {work}/stderr
echo $? > {work}/status
dmesg > {work}/dmesg
echo o > /proc/sysrq-trigger
sleep 60
"""


_POWERED_DOWN = "reboot: Power down"


@dataclass(frozen=True)
class Result:
    """What the command said, and the kernel's log of its whole life."""

    status: int
    stdout: str
    stderr: str
    dmesg: str


def run(
    command: Sequence[str | Path],
    work: Path,
    *,
    memory: str = "1G",
    timeout: float = 90,
    env: Mapping[str, str] | None = None,
    cwd: Path = REPOSITORY,
    skip_idle: bool = False,
) -> Result:
    """Run a command as root on a new kernel; `work` is the folder that it may write to (made if absent).

    `timeout` is in seconds of the host.

    Raises TestbedError, with the console's tail, when the kernel does not end by itself within `timeout` seconds or
    dies under the command: that is the testbed's fault, never a finding.
    """
    work.mkdir(parents=True, exist_ok=True)
    for name in ("status", "stdout", "stderr", "dmesg"):
        (work / name).unlink(missing_ok=True)
    init = work / "init"
    init.write_text(
        _INIT.format(
            work=shlex.quote(str(work)),
            cwd=shlex.quote(str(cwd)),
            environment=" ".join(f"{name}={shlex.quote(value)}" for name, value in (env or {}).items()),
            command=shlex.join(str(word) for word in command),
        )
    )
    init.chmod(0o755)
    console = work / "console.log"
    words = [f"mem={memory}", "rootfstype=hostfs", "hostfs=/", "ro", f"init={init}", "con=null", "con0=fd:0,fd:1"]
    words += [f"uml_dir={work}", "umid=quick", "loglevel=4", "random.trust_cpu=on"]
    words += ["time-travel"] if skip_idle else []
    # a process namespace of its own: the kernel's helpers end with it, however it ends
    sealed = ["unshare", "--fork", "--pid", "--kill-child=SIGKILL", str(kernel.program())]
    with console.open("w") as out:
        try:
            subprocess.run(
                [*sealed, *words],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
                env={**os.environ, "TMPDIR": os.environ.get("TMPDIR", "/dev/shm")},  # noqa: S108 - the guest's memory
            )
        except subprocess.TimeoutExpired as error:
            # seldom a process of the guest's machine stays when its kernel has powered down: all was said by then
            if _POWERED_DOWN in console.read_text(errors="replace"):
                return _result(work, console)
            raise TestbedError(f"the quick kernel did not end in {timeout:.0f} s; console:\n{tail(console)}") from error
    return _result(work, console)


def _result(work: Path, console: Path) -> Result:
    status = work / "status"
    if not status.exists():
        raise TestbedError(f"the quick kernel died under the command; console:\n{tail(console)}")
    texts = [(work / name).read_text(errors="replace") for name in ("stdout", "stderr", "dmesg")]
    return Result(int(status.read_text()), *texts)
