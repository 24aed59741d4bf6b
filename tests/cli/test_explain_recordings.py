"""`memdiag explain` on one of each kind of kill, from every kernel that was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memdiag.cli.main import main
from tests.kernel.recordings import FOLDER, NAMES, truth, unpacked, written

POD = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
EVERY = pytest.mark.parametrize("name", NAMES)
SENTENCES = {
    "container-limit": ["leaky (pid ", "Container, its own memory limit: 16 MiB used of 16 MiB.", "oom_score_adj 968"],
    "pod-limit": ["Pod, the limit that its containers share: 24 MiB used of 24 MiB.", "need not be the one that grew"],
    "ancestor-limit": ["Ancestor, a cgroup above the pod: 16 MiB used of 16 MiB.", "of cgroup:  /kubepods.slice\n"],
    "group": ["leader (pid ", " and 3 more", "memory.oom.group is set", "holder-3 (pid "],
    "child": ["parent (pid ", "Resident memory of 2 tasks:"],
    "node": ["Node, the machine itself ran out of memory. No container's limit was hit.", "hog (pid "],
    "crun": ["Container, its own memory limit", ".scope/container\n"],
    "no-pod": ["Ancestor, the limit of a cgroup that is no pod's", "none, the cgroup is no pod's"],
    "name-line-feed": [r"a\x0ab\x0dc (pid "],
    "name-bytes": [r"\x1b[31m\xff\x9b (pid "],
    "tmpfs": ["shmem: tmpfs (emptyDir in memory, /dev/shm) and shared memory", "filler (pid "],
    "swap": ["8.0 MiB swapped out, killed"],
    "allocating-task": ["Node, the machine itself ran out of memory"],
    "no-table": ["untold (pid "],
    "storm": ["Unknown, but some cgroup's", "its rate limit (10 reports in 5 seconds)"],
    "after-storm": ["late (pid "],
}
NUMA = "the NUMA nodes that the allocating task may use ran out of memory"


def explained(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["explain", str(path)]) == 0
    return capsys.readouterr().out


@EVERY
def test_each_kind_in_words(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numa: dict[str, list[str]] = {case: [NUMA] for case in ("cpuset", "memory-policy") if case in truth(name)}
    sentences = SENTENCES | numa
    for case, expected in sentences.items():
        text = explained(written(tmp_path, name, case), capsys)
        for sentence in expected:
            assert sentence in text, (case, text)
        known = truth(name)[case]
        if known.container and known.pod:
            assert f"Pod UID:    {known.pod}" in text
            assert f"Container:  {known.container}" in text
        assert all(f"(pid {pid})" in text for pid in known.died), case


@EVERY
def test_the_whole_log_as_json(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "kmsg.txt"
    whole.write_bytes(unpacked(name, "kmsg"))
    assert main(["explain", str(whole), "-o", "json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    victims = {victim["pid"] for one in found for victim in one["victims"]}
    assert victims == {pid for case in truth(name).values() for pid in case.died}
    assert {one["pod_uid"] for one in found} == {POD, "0123456789abcdef0123456789abcdef", None}
    assert sum(one["limit_hit"] == "Unknown" for one in found) == 10


def test_what_is_written_is_read_by_people_as_it_stands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One text in full, so that a change of its shape is seen."""
    found = explained(written(tmp_path, "6.12", "container-limit"), capsys)
    assert found == (FOLDER.parent / "explained-6.12-container-limit.txt").read_text()
