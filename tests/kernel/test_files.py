from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memdiag.kernel.files import (
    MOST_KEYS,
    parse_flat,
    parse_limit,
    parse_meminfo,
    parse_net_dev,
    parse_number,
    parse_pressure,
)
from memdiag.model.trace import Pressure

NET = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier comp
    lo:  100       5    0    0    0     0          0         0      100       5    0    0    0     0       0          0
  eth0: 2000      20    1    0    0     0          0         0     3000      30    0    0    0     0       0          0
  eth1:    1       2    0    0    0     0          0         0        3       4    0    0    0     0       0          0
"""


def test_single_values() -> None:
    assert parse_number(b"4096\n") == 4096
    assert parse_limit(b"max\n") == "max"
    assert parse_limit(b"33554432\n") == 33554432
    assert parse_number(b"") is None
    assert parse_number(b"-5") is None
    assert parse_limit(b"9" * 50) is None


def test_flat_keeps_unknown_keys_and_skips_malformed_lines() -> None:
    data = b"low 0\noom_kill 3\nsock_throttled 7\nbad\n x 5\nalso bad\n"
    assert parse_flat(data) == {"low": 0, "oom_kill": 3, "sock_throttled": 7}
    assert parse_flat(data, {"oom_kill"}) == {"oom_kill": 3}


def test_pressure() -> None:
    data = b"some avg10=1.25 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
    assert parse_pressure(data) == (Pressure(1.25, 1234), Pressure(0.0, 99))
    assert parse_pressure(b"some avg60=1\n") == (None, None)


def test_meminfo_is_in_bytes() -> None:
    assert parse_meminfo(b"MemTotal:       16 kB\nHugePages_Total:       3\nnonsense\n") == {
        "MemTotal": 16384,
        "HugePages_Total": 3,
    }


def test_net_dev_adds_up_every_interface_loopback_too() -> None:
    assert parse_net_dev(NET) == {"rx_packets": 27, "tx_packets": 39, "rx_bytes": 2101, "tx_bytes": 3103}
    assert parse_net_dev(b"") == {}


@given(st.binary(max_size=4000))
def test_any_bytes_are_bounded_and_never_raise(data: bytes) -> None:
    parse_number(data)
    parse_limit(data)
    parse_pressure(data)
    parse_net_dev(data)
    assert len(parse_flat(data)) <= MOST_KEYS
    assert len(parse_meminfo(data)) <= MOST_KEYS


def test_very_many_keys_are_cut() -> None:
    assert len(parse_flat(b"".join(b"k%d 1\n" % index for index in range(5000)))) == MOST_KEYS
