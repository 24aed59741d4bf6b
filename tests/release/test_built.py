"""The image as it is built: small, without what builds, not root, compiled, labelled, and all of it listed."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release import licences
from release.image import MOST_COMPRESSED, Image, read
from testbed import images
from tests.release.conftest import REVISION, Released

pytestmark = pytest.mark.node

BUILDERS = re.compile(r"(pip|easy_install|gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|cmake|rustc|cargo|go)[\d.-]*$")
PACKAGES = {"pip", "ensurepip", "setuptools", "wheel", "hatchling", "distutils"}
UNCHECKED_HASH = 1
"""The flags of a .pyc that is bound to its source by hash and never compared with it."""


@pytest.fixture(scope="module")
def image(released: Released) -> Image:
    return read(released.image)


@pytest.fixture(scope="module")
def root(released: Released) -> Path:
    return released.root


def said(root: Path, *words: str) -> str:
    """Run memdiag inside the image's files, as the image's user."""
    command = ["chroot", "--userspec=65532:65532", str(root), "/opt/memdiag/bin/memdiag", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


def test_it_is_small_and_says_what_each_layer_takes(image: Image) -> None:
    assert image.compressed <= MOST_COMPRESSED, image.table()
    print(image.table())


def test_it_starts_as_a_user_with_a_number_and_is_labelled(image: Image) -> None:
    assert image.settings["User"] == "65532:65532"
    assert image.settings["Entrypoint"] == ["/opt/memdiag/bin/memdiag"]
    found = {name.removeprefix("org.opencontainers.image."): text for name, text in image.labels.items()}
    assert found["title"] == "memdiag"
    assert found["licenses"] == "Apache-2.0"
    assert found["version"] == images.version()
    assert found["revision"] == REVISION
    assert found["description"]


def test_both_roles_run_from_it(root: Path) -> None:
    assert said(root, "--version") == f"memdiag {images.version()}\n"
    for role in ("agent", "operator"):
        assert f"usage: memdiag {role}" in said(root, role, "--help")


def files(root: Path) -> Iterator[Path]:
    yield from (path for path in root.rglob("*") if path.is_symlink() or not path.is_dir())


def test_nothing_in_it_builds_or_installs_python(root: Path) -> None:
    programs = [path for path in files(root) if path.parent.name in {"bin", "sbin"} and BUILDERS.match(path.name)]
    assert programs == []
    found = [path for path in root.rglob("*") if path.is_dir() and path.name in PACKAGES and "python" in str(path)]
    assert found == []
    assert list(root.rglob("*.whl")) == []


def test_all_that_runs_is_compiled_and_never_looked_up_again(root: Path) -> None:
    sources = list((root / "opt/memdiag/lib").rglob("*.py"))
    assert len(sources) > 1000
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
        with compiled.open("rb") as stream:
            assert struct.unpack("<4xI", stream.read(8)) == (UNCHECKED_HASH,), compiled
    (library,) = (path.parent for path in (root / "usr/lib").glob("python3*/argparse.py"))
    assert {path.stem for path in library.glob("*.py")} <= {
        path.name.partition(".")[0] for path in (library / "__pycache__").glob("*.pyc")
    }


def test_its_bill_of_materials_is_valid_and_has_every_pin(released: Released) -> None:
    text = released.bill.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = json.loads(text)["components"]
    python = {each["name"]: each["version"] for each in components if each["purl"].startswith("pkg:pypi/")}
    pins = (licences.ROOT / "requirements/runtime.txt").read_text()
    wanted = {name: re.search(rf"^{name}==(\S+)", pins, re.MULTILINE) for name in licences.pinned(pins)}
    assert {name: match[1] for name, match in wanted.items() if match} | {"memdiag": images.version()} == python
    debian = {each["name"] for each in components if each["purl"].startswith("pkg:deb/debian/")}
    assert {"libc6", "python3", "ca-certificates", "openssl"} <= debian
    assert not {name for name in debian if name.endswith(("-whl", "-venv"))}
