"""Every parser on any bytes, on recorded inputs cut and mixed, and on what once broke it (see fuzz)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.seeds import found, seeds
from fuzz.targets import TARGETS, Target

EVERY = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EVERY
def test_what_a_parser_is_for(target: Target) -> None:
    inputs = seeds(target.__name__)
    assert inputs
    for data in inputs:
        target(data)


@EVERY
@OFTEN
@given(data=st.binary(max_size=2000))
def test_any_bytes(target: Target, data: bytes) -> None:
    target(data)


@EVERY
@OFTEN
@given(data=st.data())
def test_recorded_inputs_cut_and_mixed(target: Target, data: st.DataObject) -> None:
    start, other = (data.draw(st.sampled_from(seeds(target.__name__)))[:8192] for _ in range(2))
    cut, end = sorted(data.draw(st.tuples(st.integers(0, len(start)), st.integers(0, len(start)))))
    middle = data.draw(st.one_of(st.binary(max_size=60), st.just(other[: data.draw(st.integers(0, len(other)))])))
    target(start[:cut] + middle + start[end:])


@pytest.mark.parametrize("path", [path for name in TARGETS for path in found(name)], ids=lambda path: path.name[:24])
def test_what_once_broke_a_parser(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())
