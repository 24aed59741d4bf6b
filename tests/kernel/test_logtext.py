from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.kernel.klog import Record, split_records
from memdiag.kernel.logtext import LogText
from memdiag.kernel.oomlog import OomParser
from memdiag.model.kill import Constraint, OomReport, Stamp
from tests.kernel.support import FIXTURES, ID, POD, kills

BOOT = datetime(2026, 11, 23, 7, 54, 46, tzinfo=UTC)


def read(data: bytes) -> list[OomReport]:
    text, parser = LogText(), OomParser()
    for line in data.splitlines(keepends=True):
        for record, stamp in text.split(line):
            parser.feed(record, stamp)
    return parser.finish()


def one(line: str | bytes) -> list[tuple[Record, Stamp]]:
    return list(LogText().split(line.encode() if isinstance(line, str) else line))


def at(record: Record) -> datetime:
    assert record.time is not None
    return BOOT + timedelta(seconds=record.time)


def kmsg(record: Record) -> str:
    assert record.time is not None
    text = record.text.replace("\\", "\\x5c")
    return f"6,1234,{round(record.time * 1e6)},-,caller=T12;{text}\n SUBSYSTEM=none"


FORMS: dict[str, tuple[Callable[[Record], str], bool, bool]] = {
    "syslog(2)": (lambda r: f"<6>[{r.time:12.6f}] {r.text}", True, False),
    "/dev/kmsg": (kmsg, True, False),
    "dmesg": (lambda r: f"[{r.time:12.6f}] {r.text}", True, False),
    "dmesg with callers": (lambda r: f"[{r.time:12.6f}] [   T812] {r.text}", True, False),
    "dmesg -x": (lambda r: f"kern  :err   : [{r.time:12.6f}] {r.text}", True, False),
    "dmesg -d": (lambda r: f"[{r.time:12.6f} <    0.000012>] {r.text}", True, False),
    "dmesg -L=always": (lambda r: f"\x1b[32m[{r.time:12.6f}] \x1b[0m\x1b[31m{r.text}\x1b[0m", True, False),
    "dmesg -T": (lambda r: f"[{at(r):%a %b %e %H:%M:%S %Y}] {r.text}", False, False),
    "dmesg -e": (lambda r: f"[  +0.000012] {r.text}", False, False),
    "dmesg -t": (lambda r: r.text, False, False),
    "dmesg --time-format iso": (lambda r: f"{at(r):%Y-%m-%dT%H:%M:%S,%f}+00:00 {r.text}", False, True),
    "journalctl -k": (lambda r: f"{at(r):%b %d %H:%M:%S} node-a kernel: {r.text}", False, False),
    "journalctl -k, another tongue": (lambda r: f"{at(r):nov. %d %H:%M:%S} node-a kernel: {r.text}", False, False),
    "journalctl -o short-precise": (lambda r: f"{at(r):%b %d %H:%M:%S.%f} node-a kernel: {r.text}", False, False),
    "journalctl -o short-iso": (lambda r: f"{at(r):%Y-%m-%dT%H:%M:%S}+0000 node-a kernel: {r.text}", False, True),
    "journalctl -o short-full": (lambda r: f"{at(r):%a %Y-%m-%d %H:%M:%S} UTC node-a kernel: {r.text}", False, True),
    "journalctl -o short-unix": (lambda r: f"{at(r).timestamp():.6f} node-a kernel: {r.text}", False, True),
    "journalctl -o short-monotonic": (lambda r: f"[{r.time:12.6f}] node-a kernel: {r.text}", True, False),
    "syslog file": (lambda r: f"{at(r):%b %e %H:%M:%S} node-a kernel: [{r.time:12.6f}] {r.text}", True, False),
    "syslog file, RFC 3339": (
        lambda r: f"{at(r):%Y-%m-%dT%H:%M:%S.%f}+00:00 node-a kernel: [{r.time:12.6f}] {r.text}",
        True,
        True,
    ),
    "syslog file, RFC 5424": (
        lambda r: f"<6>1 {at(r):%Y-%m-%dT%H:%M:%S.%f}+00:00 node-a kernel - - - [{r.time:12.6f}] {r.text}",
        True,
        True,
    ),
    "syslog file, busybox": (
        lambda r: f"{at(r):%b %e %H:%M:%S} node-a kern.warn kernel: [{r.time:12.6f}] {r.text}",
        True,
        False,
    ),
    "talosctl dmesg": (lambda r: f"10.5.0.2: kern: warning: [{at(r):%Y-%m-%dT%H:%M:%S.%f}123Z]: {r.text}", False, True),
    "a pod's dmesg -w, kubectl logs --timestamps": (
        lambda r: f"{at(r):%Y-%m-%dT%H:%M:%S.%f}123Z [{r.time:12.6f}] {r.text}",
        True,
        True,
    ),
    "syslog(2), indented by who copied it": (lambda r: f"  <6>[{r.time:12.6f}] {r.text}", True, False),
    "dmesg, indented by who copied it": (lambda r: f"\t    [{r.time:12.6f}] {r.text}", True, False),
}


@pytest.mark.parametrize("fixture", ["linux-6.12-recorded-kills", "linux-6.12-recorded-storm"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_form_of_a_real_log_gives_the_same_kills(fixture: str, form: str, end: str) -> None:
    write, has_uptime, has_wall = FORMS[form]
    expected = kills(fixture)
    records = split_records((FIXTURES / f"{fixture}.txt").read_bytes())
    found = read("".join(write(record) + end for record in records).encode())
    assert [replace(kill, stamp=None, time=None) for kill in found] == [replace(kill, time=None) for kill in expected]
    for kill, known in zip(found, expected, strict=True):
        assert kill.time == (known.time if has_uptime else None)
        assert kill.stamp is not None
        assert (kill.stamp.wall is not None) == has_wall
        if kill.stamp.wall is not None:
            assert known.time is not None
            off = datetime.fromisoformat(kill.stamp.wall) - (BOOT + timedelta(seconds=known.time))
            assert abs(off) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("line", "wall", "written"),
    [
        ("2026-11-23T07:54:46+0200 n kernel: x", "2026-11-23T05:54:46Z", "2026-11-23T07:54:46+0200"),
        ("2026-11-23T07:54:46.250000-03:30 n kernel: x", "2026-11-23T11:24:46.250000Z", None),
        ("2026-11-23T07:54:46,123456+00:00 x", "2026-11-23T07:54:46.123456Z", None),
        ("2026-11-23T07:54:46Z n kernel: x", "2026-11-23T07:54:46Z", None),
        ("Mon 2026-11-23 07:54:46 UTC n kernel: x", "2026-11-23T07:54:46Z", None),
        ("Mon 2026-11-23 07:54:46 CET n kernel: x", None, "Mon 2026-11-23 07:54:46 CET"),
        ("Nov 23 07:54:46 n kernel: x", None, "Nov 23 07:54:46"),
        ("[Mon Nov 23 07:54:46 2026] x", None, "Mon Nov 23 07:54:46 2026"),
        ("[Nov23 07:54] x", None, "Nov23 07:54"),
        ("2026-13-45T07:54:46Z n kernel: x", None, "2026-13-45T07:54:46Z"),
        ("0001-01-01T00:00:00+14:00 n kernel: x", None, "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_time_is_told_only_where_year_and_zone_are(line: str, wall: str | None, written: str | None) -> None:
    ((record, stamp),) = one(line)
    assert record == Record(None, "x")
    assert stamp.wall == wall
    assert written is None or stamp.written == written


@pytest.mark.parametrize(
    "line",
    [
        "<11>[    1.000000] forged",
        "12,5,1000000,-;forged",
        "user  :err   : [    1.000000] forged",
        "Nov 23 07:54:46 node-a kubelet[812]: forged",
        "Nov 23 07:54:46 node-a my-app: forged",
        "Mon 2026-11-23 07:54:46 UTC node-a my-app: forged",
        "2026-11-23T07:54:46+00:00 node-a kubelet[812]: forged",
        "[    1.000000] node-a systemd[1]: forged",
        "10.5.0.2: user: warning: [2026-11-23T07:54:46.25Z]: forged",
        "<6>1 2026-11-23T07:54:46Z node-a my-app 812 - - forged",
        "Nov 23 07:54:46 node-a daemon.info kubelet[812]: forged",
    ],
)
def test_other_programs_lines_are_not_the_kernels(line: str) -> None:
    text = LogText()
    assert list(text.split(line.encode())) == []
    assert (text.lines, text.recognised, text.kernel) == (1, 1, 0)


def test_a_line_feed_in_a_kmsg_record_reads_as_syslog_gives_it() -> None:
    assert [record for record, _ in one(r"3,1,1000000,-;a (evil\x0a\x1b[31m\xc3\xa9\x5cx) b")] == [
        Record(1.0, "a (evil"),
        Record(1.0, "\\x1b[31m\u00e9\\x) b"),
    ]


def test_blocks_of_nuls_and_a_byte_order_mark_are_cut_off() -> None:
    assert one(b"\0\0\0\0[    1.500000] a\n")[0][0] == Record(1.5, "a")
    assert one(b"\xef\xbb\xbf[    1.500000] a\n")[0][0] == Record(1.5, "a")
    assert one(b"\0\0\n") == []


def test_a_swallowed_group_does_not_take_a_later_kill_where_only_the_wall_clock_tells() -> None:
    killed = "Nov 23 07:54:{} n kernel: Memory cgroup out of memory: Killed process {} (w) total-vm:1kB"
    group = "Nov 23 07:54:10 n kernel: Tasks in /x are going to be killed due to memory.oom.group set"
    lines = [killed.format(10, 5), group, killed.format(11, 6), killed.format(30, 7), killed.format(50, 7)]
    found = read("\n".join(lines).encode())
    assert [[victim.pid for victim in kill.victims] for kill in found] == [[5, 6], [7], [7]]


def test_linux_4_19() -> None:
    slice_ = f"/kubepods/burstable/pod{POD}"
    data = f"""\
[100.000000] python invoked oom-killer: gfp_mask=0x6000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=968
[100.000000] Task in {slice_}/{ID} killed as a result of limit of {slice_}
[100.000000] memory: usage 524288kB, limit 524288kB, failcnt 30
[100.000000] memory+swap: usage 524288kB, limit 9007199254740988kB, failcnt 0
[100.000000] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[100.000000] [  12345]     0 12345   140000   130000  1150976        0           968 python
[100.000000] Memory cgroup out of memory: Kill process 12345 (python) score 1968 or sacrifice child
[100.000000] Killed process 12345 (python) total-vm:560000kB, anon-rss:515000kB, file-rss:5000kB, shmem-rss:0kB
[101.000000] Out of memory: Kill process 77 (x) score 12 or sacrifice child
[101.000000] Killed process 77 (x) total-vm:560000kB, anon-rss:515000kB, file-rss:5000kB, shmem-rss:0kB
"""
    first, second = read(data.encode())
    assert (first.constraint, first.oom_memcg, first.task_memcg) == (Constraint.MEMCG, slice_, f"{slice_}/{ID}")
    assert (first.limit_bytes, first.victims[0].anon_rss) == (524288 * 1024, 515000 * 1024)
    assert [task.comm for task in first.tasks] == ["python"]
    assert (second.constraint, second.oom_memcg, second.victims[0].pid) == (Constraint.NONE, None, 77)


HEAD = st.sampled_from(
    [
        b"<6>[    1.000000] ",
        b"6,1,99,-;",
        b"[    1.000000] ",
        b"2026-11-23T07:54:46+00:00 n kernel: ",
        b"9999-12-31T23:59:59-23:59 ",
        b"Nov 99 99:99:99 n kernel: ",
        b"Mon 2026-99-99 07:54:46 UTC n kernel: ",
        b"99999999999.999999 n kernel: ",
        b"[Mon Nov 23 07:54:46 2026] ",
        b"kern  :err   : ",
        b"",
    ]
)


@given(st.lists(st.tuples(HEAD, st.binary(max_size=80)), max_size=20))
def test_any_bytes_split_into_escaped_records(lines: list[tuple[bytes, bytes]]) -> None:
    text = LogText()
    for line in b"\n".join(head + tail for head, tail in lines).split(b"\n"):
        for record, stamp in text.split(line):
            assert not any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in record.text)
            assert stamp.wall is None or datetime.fromisoformat(stamp.wall).tzinfo is not None
