from pathlib import Path

import pytest

from testbed.cache import Artifact, key
from testbed.shell import TestbedError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMDIAG_CACHE", str(tmp_path))
    return tmp_path


def test_an_artifact_is_built_once_and_appears_whole(own_cache: Path) -> None:
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "file").write_text("made")

    artifact = Artifact("thing", ("v1",), build)
    assert not artifact.path.exists()
    assert (artifact.ensure() / "file").read_text() == "made"
    assert artifact.ensure() == artifact.path
    assert artifact.cached
    assert len(builds) == 1
    assert not list(own_cache.glob("*.partial"))


def test_a_build_that_failed_leaves_no_artifact_and_the_next_one_starts_clean() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise TestbedError("no network")

    with pytest.raises(TestbedError, match="no network"):
        Artifact("thing", ("v1",), fail).ensure()
    seen: list[list[Path]] = []
    Artifact("thing", ("v1",), lambda folder: seen.append(list(folder.iterdir()))).ensure()
    assert seen == [[]]


def test_new_pins_replace_the_old_artifact(own_cache: Path) -> None:
    old = Artifact("thing", ("v1",), lambda _: None).ensure()
    new = Artifact("thing", ("v2",), lambda _: None).ensure()
    assert new.is_dir()
    assert not old.exists()


def test_the_key_follows_names_and_contents_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = key([folder])
    (folder / "a").write_text("2")
    second = key([folder])
    (folder / "a").rename(folder / "b")
    assert len({first, second, key([folder])}) == 3
