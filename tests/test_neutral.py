"""Nothing of ours knows an architecture: no number of a system call, no native size, no page size taken for granted."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ASKING = {"machine", "processor", "architecture", "uname"}
"""Calls that ask what machine it is."""
OF_ANY_SIZE = re.compile(r"[lLnNP]")
"""Codes of struct whose size depends on the machine."""
SOURCES = sorted((REPOSITORY / "operator/memdiag").rglob("*.py"))
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY / "operator")))
def test_a_module_asks_for_no_architecture(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        assert name not in ASKING | {"syscall"}, f"{source}:{node.lineno}: {name}"
        if name in {"Struct", "calcsize"} or ast.unparse(node.func).startswith("struct."):
            form = ast.literal_eval(node.args[0])
            assert isinstance(form, str), f"{source}:{node.lineno}"
            assert not OF_ANY_SIZE.search(form), f"{source}:{node.lineno}: {form}"


def test_the_agent_asks_for_the_nodes_page_size() -> None:
    assert 'os.sysconf("SC_PAGE_SIZE")' in (REPOSITORY / "operator/memdiag/agent/loop.py").read_text()


def native(name: str) -> bool:
    """Say whether an installed package is compiled for one architecture."""
    return "Root-Is-Purelib: true" not in (metadata.distribution(name).read_text("WHEEL") or "")


@pytest.mark.node
def test_every_compiled_dependency_of_the_image_has_a_wheel_for_arm64(tmp_path: Path) -> None:
    pins = re.split(r"\n(?=\S)", (REPOSITORY / "requirements/runtime.txt").read_text())
    compiled = [pin for pin in pins if native(pin.partition("==")[0])]
    assert len(compiled) > 5
    (tmp_path / "pins.txt").write_text("\n".join(compiled) + "\n")
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--dry-run", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--target", str(tmp_path), "--python-version", "3.13"]
    command += [word for wheel in WHEELS for word in ("--platform", wheel)]
    subprocess.run([*command, "-r", str(tmp_path / "pins.txt")], check=True, timeout=110)
