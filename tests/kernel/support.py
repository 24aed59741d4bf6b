"""What the kernel tests share."""

from __future__ import annotations

from pathlib import Path

from memdiag.kernel.klog import split_records
from memdiag.kernel.oomlog import parse
from memdiag.model.kill import OomReport

FIXTURES = Path(__file__).parent / "fixtures"
POD = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
UNDERSCORED = POD.replace("-", "_")
ID = "a" * 64


def kills(name: str) -> list[OomReport]:
    return parse(split_records((FIXTURES / f"{name}.txt").read_bytes()))
