from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.quick import Result
from testbed.shell import TestbedError

pytestmark = pytest.mark.quick_kernel

QuickKernel = Callable[..., Result]


def test_a_real_kernel_kills_in_a_real_cgroup(quick_kernel: QuickKernel, tmp_path: Path) -> None:
    script = """
    mkdir /sys/fs/cgroup/small && echo 30M > /sys/fs/cgroup/small/memory.max
    sh -c 'echo $$ > /sys/fs/cgroup/small/cgroup.procs; exec python3 -c "bytearray(100 << 20).count(1)"'
    echo "exit $?"; grep -w oom_kill /sys/fs/cgroup/small/memory.events; cat /proc/pressure/memory
    """
    result = quick_kernel(["sh", "-c", script], tmp_path)
    assert result.status == 0
    assert "exit 137" in result.stdout
    assert "oom_kill 1" in result.stdout
    assert "some avg10=" in result.stdout
    assert "oom_memcg=/small,task_memcg=/small" in result.dmesg


def test_the_guest_can_write_to_its_own_folder_only(quick_kernel: QuickKernel, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    work = tmp_path / "work"
    result = quick_kernel(["sh", "-c", f"echo mine > {work}/file; echo no > {other}/file; exit 3"], work)
    assert result.status == 3
    assert (work / "file").read_text() == "mine\n"
    assert not (other / "file").exists()
    assert "Read-only" in result.stderr


def test_a_command_that_does_not_end_is_bounded(quick_kernel: QuickKernel, tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="did not end in 4 s"):
        quick_kernel(["sleep", "60"], tmp_path, timeout=4)
