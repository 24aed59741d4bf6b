"""The rings of tests, each with its time: static, unit, quick kernel, API server, node. `make test` runs them all.

A ring whose parts cannot be had is named as not run, and in CI (CI=true) that is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import binaries, cache, cluster
from testbed.cache import REPOSITORY
from testbed.progress import Progress
from testbed.shell import TestbedError

_BIN = Path(sys.executable).parent
_STATIC: tuple[tuple[str, ...], ...] = (
    (str(_BIN / "ruff"), "check", "."),
    (str(_BIN / "ruff"), "format", "--check", "-q", "."),
    (str(_BIN / "mypy"),),
    (str(_BIN / "lint-imports"), "--no-cache"),
    (sys.executable, "-m", "memdiag.kube.crd", "--check", "--out", "crds"),
    (sys.executable, "-m", "memdiag.kube.crddoc", "--check"),
    (sys.executable, "-m", "memdiag.controller.metricsdoc", "--check"),
    (sys.executable, "charts/sync.py", "--check"),
    (sys.executable, "charts/dashboard.py", "--check"),
    (sys.executable, "charts/readme.py", "--check"),
    (sys.executable, "-m", "release.licences", "--check"),
)
_MARKS = {
    "unit": "not quick_kernel and not api_server and not node",
    "quick": "quick_kernel",
    "api": "api_server",
    "node": "node",
}
_BUDGET_MINUTES = {"static": 3, "unit": 4, "quick": 5, "api": 4, "node": 6}


@dataclass
class Count:
    """Tests of one ring or of all."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of one ring."""

    ring: str
    seconds: float
    count: Count
    good: bool
    remark: str = ""


def _lint_chart() -> tuple[str, ...] | None:
    """Return the command that lints the chart; None where helm is not built yet, which takes minutes. CI builds it."""
    if not binaries.artifact("helm").cached and os.environ.get("CI") != "true":
        return None
    values = "image.repository=registry.example/memdiag"
    return (str(binaries.program("helm")), "lint", "--strict", "--quiet", "charts/memdiag", "--set", values)


def _static() -> Outcome:
    began = time.monotonic()
    count = Count()
    try:
        lint = _lint_chart()
    except TestbedError as error:
        print(f"FAIL helm lint\n{error}", flush=True)
        return Outcome("static", time.monotonic() - began, Count(failed=1), good=False)
    remark = "" if lint else "helm lint NOT RUN: helm is not built yet; ring api lints with every file of values"
    count.skipped += lint is None
    for command in (*_STATIC, *([lint] if lint else [])):
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        words = " ".join(Path(word).name if word.startswith("/") else word for word in command)
        if done.returncode == 0:
            count.passed += 1
        else:
            count.failed += 1
            print(f"FAIL {words}\n{done.stdout}{done.stderr}", flush=True)
    return Outcome("static", time.monotonic() - began, count, count.failed == 0, remark)


def _counted(results: Path) -> Count:
    count = Count()
    for suite in ET.parse(results).iter("testsuite"):  # noqa: S314 - written by our own pytest a moment ago
        total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        count.failed += failed
        count.skipped += skipped
        count.passed += total - failed - skipped
    return count


def _pytest(ring: str) -> Outcome:
    began = time.monotonic()
    results = cache.logs() / f"ring-{ring}.xml"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", _MARKS[ring], f"--junitxml={results}"]
    status = subprocess.run(command, cwd=REPOSITORY, check=False).returncode
    count = _counted(results) if results.exists() else Count(failed=1)
    good = status == 0 and (count.skipped == 0 or os.environ.get("CI") != "true")
    remark = f"{count.skipped} NOT RUN: the reasons stand above" if count.skipped else ""
    return Outcome(ring, time.monotonic() - began, count, good, remark)


def _fill_cache() -> str:
    """Build what the rings on real parts need; return why that cannot be done here, or nothing."""
    try:
        cluster.prepare()
        Progress(cluster.build_steps()).run()
        binaries.drop_build_cache()
    except TestbedError as error:
        return str(error)
    return ""


def main(chosen: Sequence[str]) -> int:
    """Run the rings that are named, all of them without a name."""
    known = ["static", *_MARKS]
    wanted = list(chosen) or known
    strangers = [name for name in wanted if name not in known]
    if strangers:
        print(f"no such ring: {', '.join(strangers)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    outcomes = []
    lacking: str | None = None
    for ring in wanted:
        print(f"=== ring {ring}", flush=True)
        if ring in ("quick", "api", "node") and lacking is None:
            lacking = _fill_cache()
            if lacking:
                print(f"the parts of the real rings cannot be had: {lacking}", flush=True)
        outcomes.append(_static() if ring == "static" else _pytest(ring))
    return summary(outcomes)


def summary(outcomes: Sequence[Outcome]) -> int:
    """Print a line for each ring and the sum; return the exit status."""
    print("=== rings")
    for outcome in outcomes:
        word = "FAIL" if not outcome.good else "GAPS" if outcome.count.skipped else "ok"
        budget = f"of {_BUDGET_MINUTES[outcome.ring]} min"
        said = f"{outcome.count.passed} passed, {outcome.count.failed} failed"
        print(f"{word:<4} {outcome.ring:<8} {outcome.seconds:6.1f} s {budget:<9} {said}  {outcome.remark}".rstrip())
    passed = sum(outcome.count.passed for outcome in outcomes)
    failed = sum(outcome.count.failed for outcome in outcomes)
    skipped = sum(outcome.count.skipped for outcome in outcomes)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
