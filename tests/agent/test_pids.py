from pathlib import Path

from memdiag.agent.pids import PidMap, read_file


def test_a_process_that_the_runtime_moves_after_it_was_seen_is_still_its_containers(tmp_path: Path) -> None:
    container = "a" * 64
    process = tmp_path / "7"
    process.mkdir()
    (process / "cgroup").write_text("0::/system.slice/containerd.service\n")
    pids = PidMap(str(tmp_path))
    pids.refresh()
    assert pids.owner(7) is None
    (process / "cgroup").write_text(f"0::/kubepods.slice/cri-containerd-{container}.scope\n")
    pids.refresh()
    assert pids.owner(7) == container


def test_the_first_process_is_the_one_that_stays_when_the_runtimes_helper_was_seen_before_it(tmp_path: Path) -> None:
    container = "a" * 64
    pids = PidMap(str(tmp_path))

    def born(pid: int) -> Path:
        (tmp_path / str(pid)).mkdir()
        file = tmp_path / str(pid) / "cgroup"
        file.write_text(f"0::/kubepods.slice/cri-containerd-{container}.scope\n")
        return file

    helper = born(7)
    born(9)
    pids.refresh()
    assert pids.main(container) == 7
    helper.unlink()
    helper.parent.rmdir()
    born(12)
    pids.refresh()
    assert pids.main(container) == 9


def test_a_file_of_many_records_is_read_to_its_end() -> None:
    """The kernel gives such a file a page at a time, as it does /proc/vmstat."""
    lines = read_file("/proc/self/maps", 2**20).split(b"\n")
    assert len(b"\n".join(lines)) > 4096
    assert lines[-2].endswith((b"[vsyscall]", b"[stack]", b"[vdso]"))
    assert len(read_file("/proc/self/maps", 5000)) == 5000
