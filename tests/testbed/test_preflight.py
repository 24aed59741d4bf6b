from dataclasses import replace
from pathlib import Path

import pytest

from testbed.preflight import Machine, faults, look

GOOD = Machine("Linux", "x86_64", is_root=True, has_apt=True, cache=Path("/cache"), free_disk=40.0, free_memory=20.0)


def test_a_good_machine_has_no_fault() -> None:
    assert faults(GOOD, everything_cached=False) == []


@pytest.mark.parametrize(
    ("machine", "fault", "remedy"),
    [
        (replace(GOOD, architecture="aarch64"), "aarch64", "install the chart"),
        (replace(GOOD, system="Darwin"), "Darwin", "install the chart"),
        (replace(GOOD, is_root=False), "root", "sudo make demo"),
        (replace(GOOD, has_apt=False), "Debian packages", "Debian 12"),
        (replace(GOOD, free_disk=6.0), "6 GiB free under /cache", "MEMDIAG_CACHE"),
        (replace(GOOD, free_memory=2.5), "2.5 GiB of memory", "larger machine"),
    ],
)
def test_each_lack_is_named_with_its_remedy(machine: Machine, fault: str, remedy: str) -> None:
    (said,) = faults(machine, everything_cached=False)
    assert fault in said
    assert remedy in said


def test_less_disk_will_do_when_nothing_is_left_to_build() -> None:
    assert faults(replace(GOOD, free_disk=6.0), everything_cached=True) == []


def test_this_machine_can_be_looked_at() -> None:
    machine = look()
    assert machine.free_disk > 0
    assert machine.free_memory > 0
    assert machine.cache.exists()
