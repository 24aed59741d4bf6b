from __future__ import annotations

import errno

from memdiag.kernel.klog import KernelLog, Record, split_records


class Ring:
    """A log ring that keeps its last `size` lines."""

    def __init__(self, size: int = 1000) -> None:
        self.lines: list[bytes] = []
        self.size = size

    def add(self, time: float, text: str, priority: int = 6) -> None:
        self.lines = [*self.lines, b"<%d>[%12.6f] %s" % (priority, time, text.encode())][-self.size :]

    def __call__(self) -> bytes:
        return b"\n".join(self.lines) + b"\n"


def texts(records: tuple[Record, ...]) -> list[str]:
    return [record.text for record in records]


def test_only_the_kernels_own_records_count() -> None:
    data = (
        b"<3>[    1.500000] real\n<11>[    1.600000] forged\n<6>no time\nno prefix\n<6>[    2.000000][  T12] caller\n"
    )
    assert split_records(data) == [Record(1.5, "real"), Record(None, "no time"), Record(2.0, "caller")]


def test_control_bytes_are_escaped() -> None:
    (record,) = split_records(b"<6>[    1.000000] a\x1b[2Jb\xff\r")
    assert record.text == "a\\x1b[2Jb\\xff\\x0d"


def test_read_new_takes_up_behind_what_was_seen() -> None:
    ring = Ring()
    log = KernelLog(ring)
    ring.add(1.0, "a")
    ring.add(1.0, "a")
    assert texts(log.read_new().records) == ["a", "a"]
    assert log.read_new().records == ()
    ring.add(1.0, "a")
    ring.add(0.9, "printed late by another CPU")
    assert texts(log.read_new().records) == ["a", "printed late by another CPU"]


def test_read_new_after_the_ring_has_turned_over() -> None:
    ring = Ring(size=3)
    log = KernelLog(ring)
    for second in range(3):
        ring.add(second, f"old {second}")
    log.read_new()
    for second in range(5, 10):
        ring.add(second, f"new {second}")
    assert texts(log.read_new().records) == ["new 7", "new 8", "new 9"]


def test_a_refusal_is_a_reason() -> None:
    def refused() -> bytes:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    log = KernelLog(refused).read_new()
    assert log.records == ()
    assert log.missing is not None
    assert "SYSLOG" in log.missing
