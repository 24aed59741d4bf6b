from __future__ import annotations

from pathlib import Path

import pytest

from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.kernel.tree import limit_path, walk
from memdiag.model.trace import Pressure
from tests.kernel.support import ID, POD, UNDERSCORED


def make(root: Path, path: str, **files: str) -> Path:
    folder = root / path.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_walk_finds_containers_of_every_layout(tmp_path: Path) -> None:
    burstable = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice"
    make(tmp_path, f"{burstable}/cri-containerd-{ID}.scope/init.scope")
    make(tmp_path, f"{burstable}/crio-conmon-{'c' * 64}.scope")
    crun = f"{burstable}/crio-{'d' * 64}.scope"
    make(tmp_path, crun, memory__max="max\n")
    make(tmp_path, f"{crun}/container", memory__max="1048576\n")
    make(tmp_path, f"/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{'e' * 64}")
    make(tmp_path, "/system.slice/ssh.service")
    tree = walk(str(tmp_path))
    assert {container.container_id[0] for container in tree.containers} == {"a", "d", "e"}
    assert {container.pod_uid for container in tree.containers} == {POD}
    assert [pod.path for pod in tree.pods] == [burstable]
    assert tree.parents == ["", "/kubepods.slice", "/kubepods.slice/kubepods-burstable.slice"]
    limits = {container.container_id[0]: limit_path(str(tmp_path), container.path) for container in tree.containers}
    assert limits["d"] == f"{crun}/container"
    assert limits["a"].endswith(f"{ID}.scope")


def test_reader_reads_what_is_there_and_knows_what_is_not(tmp_path: Path) -> None:
    folder = make(
        tmp_path,
        "leaf",
        memory__current="4096\n",
        memory__max="max\n",
        memory__events="oom_kill 1\n",
        memory__stat="anon 100\nfile 7\n",
        memory__pressure="some avg10=0.50 avg60=0.00 avg300=0.00 total=5\n",
        cgroup__events="populated 0\nfrozen 0\n",
    )
    reader = CgroupReader(str(folder))
    level = reader.full()
    assert (level.current, level.max, level.peak, level.swap_current) == (4096, "max", None, None)
    assert level.stat == {"anon": 100, "file": 7}
    assert level.events == {"oom_kill": 1}
    assert (level.pressure_some, level.pressure_full) == (Pressure(0.5, 5), None)
    assert reader.populated() is False
    assert reader.light().current == 4096
    reader.close()
    reader.close()


def test_no_cgroup_is_gone(tmp_path: Path) -> None:
    with pytest.raises(CgroupGoneError):
        CgroupReader(str(tmp_path / "none"))
