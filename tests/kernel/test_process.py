from __future__ import annotations

from memdiag.kernel.process import parse_rollup, parse_signed, parse_stat, parse_status


def test_status_and_stat_of_a_name_that_looks_like_fields() -> None:
    status = b"Name:\ta) S 1\\n\x1b\nUmask:\t0022\nVmRSS:\t    2048 kB\nRssAnon:\t 1024 kB\nThreads:\t3\n"
    comm, sizes = parse_status(status)
    assert comm == "a) S 1\\n\\x1b"
    assert sizes == {"VmRSS": 2 * 2**20, "RssAnon": 2**20, "Threads": 3}
    stat = b"17 (a) S 1 (x) S 1 1 1 0 -1 4194560 321 0 17 0 1 2 0 0 20 0 5 0 8811 99999 1234\n"
    assert parse_stat(stat) == (321, 17, 8811)


def test_what_is_not_there_is_not_known() -> None:
    assert parse_status(b"") == ("", {})
    assert parse_stat(b"17 (kthread) S 1") == (None, None, None)
    assert (parse_signed(b"-997\n"), parse_signed(b"1000\n"), parse_signed(b"x")) == (-997, 1000, None)
    assert parse_rollup(b"Rss: 3 kB\n") is None
    assert parse_rollup(b"0-1 ---p rollup\nRss:      900 kB\nPss:      450 kB\nPss_Anon: 1 kB\n") == 450 * 1024
