"""One version everywhere, and a release that is whole: its sums fit, its wheel runs, chart and image say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

import memdiag
from release import __main__ as release
from testbed.cache import REPOSITORY
from testbed.shell import TestbedError
from tests.release.conftest import Released

TRACES = "tests/diagnosis/fixtures"


def test_one_version_stands_everywhere() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((REPOSITORY / "charts/memdiag/Chart.yaml").read_text())
    dockerfile = re.findall(r"(?:^ARG VERSION=|memdiag:)(\d\S*)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    readme = re.findall(r"/memdiag:(\d[\w.-]*)", (REPOSITORY / "README.md").read_text())
    changes = re.findall(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    said = subprocess.run(
        [sys.executable, "-m", "memdiag", "--version"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout
    found = {
        project["version"],
        chart["version"],
        chart["appVersion"],
        *dockerfile,
        *readme,
        changes[0],
        said.split()[1],
    }
    assert dockerfile
    assert readme
    assert found == {memdiag.__version__}


def test_a_release_is_made_of_a_commit(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        return subprocess.run(
            ["git", *identity, "-C", str(tmp_path), *words], capture_output=True, text=True, check=True
        ).stdout

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    with pytest.raises(TestbedError, match=r"(?s)made of a commit.*\?\? file"):
        release.revision(tmp_path)
    git("add", "file")
    git("commit", "-q", "-m", "first")
    assert release.revision(tmp_path) == git("rev-parse", "HEAD").strip()


@pytest.mark.node
def test_a_release_is_whole(released: Released, tmp_path: Path) -> None:
    folder = released.folder
    stem = f"memdiag-{memdiag.__version__}"
    wheel, chart = (folder / f"{stem}{rest}" for rest in ("-py3-none-any.whl", ".tgz"))
    assert set(folder.iterdir()) == {wheel, chart, released.image, released.bill, folder / release.SUMS}
    subprocess.run(["sha256sum", "--check", "--strict", release.SUMS], cwd=folder, check=True, capture_output=True)
    with tarfile.open(chart) as tar:
        packed = yaml.safe_load(tar.extractfile("memdiag/Chart.yaml") or b"")
        names = tar.getnames()
    assert (packed["version"], packed["appVersion"]) == (memdiag.__version__, memdiag.__version__)
    assert "memdiag/values.schema.json" in names
    assert not [name for name in names if "/ci/" in name]
    assert_runs(wheel, tmp_path / "venv")


def assert_runs(wheel: Path, place: Path) -> None:
    """Install a wheel alone and run it on the dependencies that the tests run on."""
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True)
    (site,) = place.glob("lib/python3*/site-packages")
    # a folder that is named so has its own .pth files ignored, so the repository itself is not on the path
    (site / "dependencies.pth").write_text(f"{Path(yaml.__file__).parent.parent}\n")
    where = subprocess.run(
        [python, "-c", "import memdiag; print(memdiag.__file__)"], capture_output=True, text=True, check=True
    )
    assert Path(where.stdout).is_relative_to(site)
    for program in ("memdiag", "kubectl-memdiag"):
        said = subprocess.run([place / "bin" / program, "--version"], capture_output=True, text=True, check=True).stdout
        assert said == f"memdiag {memdiag.__version__}\n"
    trace = next((REPOSITORY / TRACES).glob("*.jsonl.gz"))
    words: list[str | Path] = [place / "bin/memdiag", "diagnose", "-o", "json", trace]
    assert json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["cause"]
