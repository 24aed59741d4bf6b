from __future__ import annotations

import os
from pathlib import Path

import pytest

from memdiag.kernel.klog import KMSG_REFUSED, LARGEST_RING, KernelLog, split_records
from memdiag.kernel.kmsg import as_line, kmsg_transport
from tests.kernel.recordings import NAMES, unpacked


def test_a_record_stands_as_syslog_prints_it() -> None:
    record = b"6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n"
    assert as_line(record) == b"<6>[    5.140900] NET: Registered\n"
    assert as_line(b"no record") is None


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_give_the_same_kernel_records(name: str) -> None:
    """A recording holds one ring twice; records of several lines are one line in /dev/kmsg and several in syslog."""
    records = [line for line in unpacked(name, "kmsg").split(b"\n") if line and not line.startswith(b" ")]
    by_kmsg = split_records(b"".join(filter(None, map(as_line, records))))
    by_syslog = {(record.time, record.text) for record in split_records(unpacked(name, "syslog"))}
    whole = [record for record in by_kmsg if "\\x" not in record.text]
    assert len(whole) > 100
    assert {(record.time, record.text) for record in whole} <= by_syslog


def test_a_device_that_may_not_be_opened_is_said_with_the_remedy(tmp_path: Path) -> None:
    log = KernelLog(kmsg_transport(str(tmp_path / "kmsg")), KMSG_REFUSED).read()
    assert log.missing is not None
    assert "privileged" in log.missing


def test_the_whole_ring_is_read_record_by_record(tmp_path: Path) -> None:
    pipe = tmp_path / "kmsg"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(writer, b"3,1,1500000,-;one\n")
        found = KernelLog(kmsg_transport(str(pipe))).read()
    finally:
        os.close(writer)
    assert [record.text for record in found.records] == ["one"]


def test_of_a_large_ring_the_newest_records_are_read(tmp_path: Path) -> None:
    device = tmp_path / "kmsg"
    with device.open("wb") as file:
        for number in range(1, 701):
            file.write(f"3,{number},{number}000000,-;{number} ".encode().ljust(8191, b"x") + b"\n")
    found = KernelLog(kmsg_transport(str(device))).read().records
    assert [record.time for record in found[-1:]] == [700.0]
    assert 0.99 * LARGEST_RING < sum(len(record.text) for record in found) <= LARGEST_RING
