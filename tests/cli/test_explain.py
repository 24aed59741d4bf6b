"""`memdiag explain` as people and programs call it."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memdiag.cli.explain import page_factor, to_object, to_text
from memdiag.cli.main import main
from memdiag.kernel.klog import split_records
from memdiag.kernel.oomlog import parse
from tests.kernel.support import FIXTURES, ID, POD

KEYS = {
    "time",
    "uptime_seconds",
    "constraint",
    "limit_hit",
    "oom_memcg",
    "task_memcg",
    "pod_uid",
    "container_id",
    "group_kill",
    "victims",
    "usage_bytes",
    "limit_bytes",
    "invoked_by",
}
VICTIM_KEYS = {
    "pid",
    "comm",
    "anon_rss_bytes",
    "file_rss_bytes",
    "shmem_rss_bytes",
    "pgtables_bytes",
    "oom_score_adj",
}
KILLED = "Memory cgroup out of memory: Killed process {} ({}) total-vm:100kB, anon-rss:8kB, file-rss:4kB, shmem-rss:0kB"
SUMMARY = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg={},task_memcg={},task=w,pid={},uid=0"


def fixture(name: str) -> Path:
    return FIXTURES / f"{name}.txt"


def explain(path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(["explain", str(path), "-o", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_json_is_the_documented_object_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = explain(fixture("linux-6.12-recorded-kills"), capsys)
    assert [set(one) for one in found] == [KEYS] * 5
    assert all(set(victim) == VICTIM_KEYS for one in found for victim in one["victims"])
    assert [one["limit_hit"] for one in found] == ["Container", "Container", "Container", "Container", "Pod"]
    assert [one["uptime_seconds"] for one in found] == [1.74, 2.96, 4.07, 5.48, 6.69]
    assert [one["group_kill"] for one in found] == [False, True, False, False, False]
    first = found[0]
    assert (first["time"], first["constraint"], first["invoked_by"]) == (None, "Memcg", "python3.11")
    assert (first["pod_uid"], first["container_id"]) == (POD, "abcdef0001".zfill(64))
    assert first["oom_memcg"] == first["task_memcg"]
    assert (first["usage_bytes"], first["limit_bytes"]) == (32 * 2**20, 32 * 2**20)
    assert first["victims"] == [
        {
            "pid": 49,
            "comm": "python3.11",
            "anon_rss_bytes": 32648 * 1024,
            "file_rss_bytes": 5924 * 1024,
            "shmem_rss_bytes": 0,
            "pgtables_bytes": 108 * 1024,
            "oom_score_adj": 0,
        }
    ]


def test_a_swallowed_report_is_a_kill_with_nulls(capsys: pytest.CaptureFixture[str]) -> None:
    alone = explain(fixture("linux-6.12-recorded-storm"), capsys)[1]
    unknown = KEYS - {"uptime_seconds", "limit_hit", "group_kill", "victims"}
    assert all(alone[key] is None for key in unknown)
    assert (alone["limit_hit"], alone["group_kill"], alone["victims"][0]["pid"]) == ("Unknown", False, 70)
    assert main(["explain", str(fixture("linux-6.12-recorded-storm"))]) == 0
    text = capsys.readouterr().out
    assert "Kill 2: python3.11 (pid 70), 17.24 seconds after boot\n  Limit hit:  Unknown" in text
    assert "rate limit (10 reports in 5 seconds)" in text
    assert "forged" not in text


def test_wall_times_become_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boot = datetime(2026, 11, 23, 7, 54, 46, tzinfo=UTC)
    records = split_records(fixture("linux-6.12-recorded-kills").read_bytes())
    lines = [
        f"{boot + timedelta(seconds=record.time or 0):%Y-%m-%dT%H:%M:%S}+0000 n kernel: {record.text}"
        for record in records
    ]
    found = explain(written(tmp_path, *lines), capsys)
    assert [one["time"] for one in found] == [f"2026-11-23T07:54:{second}Z" for second in (47, 48, 50, 51, 52)]
    assert {one["uptime_seconds"] for one in found} == {None}


@pytest.mark.parametrize(
    ("oom", "task", "expected"),
    [
        (f"/kubepods/pod{POD}/{ID}", f"/kubepods/pod{POD}/{ID}", ("Container", POD, ID)),
        (f"/kubepods/pod{POD}", f"/kubepods/pod{POD}/{ID}", ("Pod", POD, ID)),
        ("/kubepods.slice", f"/kubepods/pod{POD}/{ID}", ("Ancestor", POD, ID)),
        (f"/docker/{ID}/kubelet", f"/docker/{ID}/kubelet/pod{POD}/{'b' * 64}", ("Ancestor", POD, "b" * 64)),
        (f"/docker/{ID}", f"/docker/{ID}", ("Container", None, ID)),
        ("/system.slice", f"/system.slice/docker-{ID}.scope", ("Ancestor", None, ID)),
        ("/system.slice/app.service", "/system.slice/app.service", ("Ancestor", None, None)),
        ("/", f"/kubepods/pod{POD}/{ID}", ("Node", POD, ID)),
    ],
)
def test_whose_limit_and_which_container(
    oom: str,
    task: str,
    expected: tuple[str, str | None, str | None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = written(tmp_path, SUMMARY.format(oom, task, 5), KILLED.format(5, "w"))
    (one,) = explain(path, capsys)
    assert (one["limit_hit"], one["pod_uid"], one["container_id"]) == expected
    assert main(["explain", str(path)]) == 0
    assert f"Limit hit:  {expected[0]}, " in capsys.readouterr().out


def test_node_and_numa_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, constraint in (("linux-6.8-node-composed", "None"), ("linux-7.2-cpuset-composed", "Cpuset")):
        (one,) = explain(fixture(name), capsys)
        assert (one["limit_hit"], one["constraint"], one["limit_bytes"]) == ("Node", constraint, None)
    swallowed = written(tmp_path, KILLED.format(5, "w").replace("Memory cgroup out", "Out"))
    assert [(one["limit_hit"], one["constraint"]) for one in explain(swallowed, capsys)] == [("Node", None)]


def test_people_read_who_whose_limit_and_what_used_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(fixture("linux-6.12-recorded-kills"))]) == 0
    text = capsys.readouterr().out
    for words in (
        "Kill 1: python3.11 (pid 49), 1.74 seconds after boot",
        "Limit hit:  Container, its own memory limit: 32 MiB used of 32 MiB.",
        f"Pod UID:    {POD}",
        f"Container:  {'abcdef0001'.zfill(64)}",
        "python3.11 (pid 49), 38 MiB resident (anon 32 MiB, files 5.8 MiB, shmem 0 B), page tables 108 KiB",
        "   32 MiB  100 %  anon: heaps, stacks and other private memory",
        "Kill 2: python3.11 (pid 50) and 3 more, 2.96 seconds after boot",
        "memory.oom.group is set",
        "Resident memory of 4 tasks:",
        "   37 MiB  python3.11 (pid 50), killed",
        "Limit hit:  Pod, the limit that its containers share: 48 MiB used of 48 MiB.",
    ):
        assert words in text


def test_what_used_the_memory_is_read_under_the_names_of_cgroup_v1_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stat = ["cache 3145728", "rss 0", "shmem 0", "total_cache 3145728", "total_rss 88080384", "total_shmem 1048576"]
    head = ["java invoked oom-killer: gfp_mask=0xcc0", "memory: usage 98304kB, limit 98304kB, failcnt 7"]
    path = written(
        tmp_path, *head, "Memory cgroup stats for /a:", *stat, SUMMARY.format("/a", "/a", 5), KILLED.format(5, "x")
    )
    assert main(["explain", str(path)]) == 0
    text = capsys.readouterr().out
    assert "84 MiB   88 %  anon: heaps" in text
    assert "2.0 MiB    2 %  file: page cache" in text
    assert "1.0 MiB    1 %  shmem: tmpfs" in text


def test_the_table_is_scaled_to_the_nodes_pages() -> None:
    data = fixture("linux-5.4-composed").read_bytes()
    (kill,) = parse(split_records(data))
    assert page_factor(kill) == 1
    # The same memory on a node with 64 KiB pages: a sixteenth of the pages.
    (large,) = parse(split_records(data.replace(b" 64012 ", b"  4001 ")))
    assert page_factor(large) == 16
    assert "250 MiB  java (pid 4242), killed" in to_text(1, large)


def test_packed_logs_and_standard_input_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fixture("linux-6.12-recorded-kills")
    packed = tmp_path / "kern.log.2.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    expected = explain(plain, capsys)
    assert explain(packed, capsys) == expected
    for path in (plain, packed):
        with path.open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            assert explain(Path("-"), capsys) == expected


def test_a_pipe_is_read_from_its_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`memdiag explain <(dmesg)` names a pipe that can be opened, and read, only once."""
    data = fixture("linux-6.12-recorded-kills").read_bytes()
    for sent in (data, gzip.compress(data)):
        ends = os.pipe()
        with os.fdopen(ends[0]), os.fdopen(ends[1], "wb") as writer:
            writer.write(sent)
            writer.close()
            assert explain(Path(f"/dev/fd/{ends[0]}"), capsys) == explain(fixture("linux-6.12-recorded-kills"), capsys)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["[    1.000000] Linux version 6.12"], "1 line read."),
        (["-- No entries --"], "is it one?"),
        (["> [1.5] x invoked oom-killer: gfp_mask=0xcc0", "> [1.5] " + KILLED.format(5, "x")], "2 of them speak of"),
        (["[1.5] x invoked oom-killer: gfp_mask=0xcc0", "[1.5] and so on"], "and 1 of them speaks of the OOM killer"),
        (["Nov 23 07:54:46 n kubelet[1]: hello", "Nov 23 07:54:46 n kubelet[1]: so"], "journalctl needs -k"),
    ],
)
def test_a_log_without_a_kill_is_said(
    lines: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, *lines)
    assert main(["explain", str(path)]) == 0
    text = capsys.readouterr().out
    assert f"No OOM kill in {path}: {len(lines)} line" in text
    assert words in text
    assert main(["explain", str(path), "-o", "json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "No OOM kill in" in captured.err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing in it"),
        (b"\n\n", "nothing in it"),
        (b"\x7fELF\x02\x01\0\0\n\xff", "not text"),
        (b"\xff\xfe[\0", "UTF-16"),
        (b"LPKSHHRH\0\0", "journalctl -k --file="),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
    ],
)
def test_an_unusable_input_is_named(
    data: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert main(["explain", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"memdiag explain: {path}: ")
    assert words in captured.err
    assert captured.out == ""
    with path.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert main(["explain", "-"]) == 2
    assert capsys.readouterr().err.startswith("memdiag explain: standard input: ")


def test_what_cannot_be_opened_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, words in ((tmp_path, "Is a directory"), (tmp_path / "a\x1b[2Jb", "No such file")):
        assert main(["explain", str(path)]) == 2
        text = capsys.readouterr().err
        assert words in text
        assert "\x1b" not in text


def test_a_log_that_breaks_off_loses_no_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "kern.log.gz"
    packed.write_bytes(gzip.compress(fixture("linux-6.12-recorded-kills").read_bytes())[:-8])
    assert main(["explain", str(packed), "-o", "json"]) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 5
    assert "broken gzip" in captured.err


def test_the_terminal_is_given_nothing_to_obey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;x\x07\u202e\x9b2J"
    path = written(tmp_path, SUMMARY.format(f"/a{evil}", f"/a{evil}", 5), KILLED.format(5, evil))
    assert main(["explain", str(path)]) == 0
    text = capsys.readouterr().out
    assert all(letter == "\n" or " " <= letter <= "~" for letter in text)
    assert "\\x1b]0;x" in text


def test_more_kills_than_one_report_list_holds_are_all_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, *(KILLED.format(pid, "w") for pid in range(1, 5001)))
    assert len(explain(path, capsys)) == 5000


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "dmesg | memdiag explain -" in text
    assert "journalctl -k | memdiag explain -" in text


PIECES = st.sampled_from(
    [
        b"<6>[    1.000000] ",
        b"6,1,99,-;",
        b"Nov 23 07:54:46 n kernel: ",
        b"w invoked oom-killer: gfp",
        SUMMARY.format(f"/pod{POD}/{ID}", f"/pod{POD}/{ID}", 5).encode(),
        KILLED.format(5, "w").encode(),
        b"Memory cgroup stats for /x:",
        b"anon 5",
        b"[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
        b"[      5]     0     5     1000      100    40960        0             0 w",
        b"memory: usage 1kB, limit 2kB",
        b"\n",
        b"\n",
        b"\n",
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=60)), max_size=40))
def test_any_bytes_end_in_words_of_bounded_length(parts: list[bytes]) -> None:
    data = b"".join(parts)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        for output in ("table", "json"):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                assert main(["explain", file.name, "-o", output]) in (0, 2)
            assert len(out.getvalue()) + len(err.getvalue()) < 10 * len(data) + 2000 * (1 + data.count(b"Killed"))
            assert all(letter == "\n" or " " <= letter <= "~" for letter in out.getvalue() + err.getvalue())


def test_one_kill_of_many_tasks_stays_short() -> None:
    row = "[{0:7d}]     0 {0:5d}     1000      100    40960        0             0 w"
    header = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
    texts = ["w invoked oom-killer: gfp", header, *(row.format(pid) for pid in range(1, 3001))]
    texts += [SUMMARY.format("/a", "/a", 1), KILLED.format(1, "w"), "Tasks in /a are going to be killed due to memory"]
    texts[-1] += ".oom.group set"
    texts += [KILLED.format(pid, "w") for pid in range(1, 3001)]
    (kill,) = parse(split_records("".join(f"<6>[    1.000000] {text}\n" for text in texts).encode()))
    assert len(to_object(kill)["victims"]) == 3000
    text = to_text(1, kill)
    assert len(text.splitlines()) < 40
    assert "and 2990 more" in text
    assert "2990 more" in text
