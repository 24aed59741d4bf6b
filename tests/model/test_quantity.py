"""Kubernetes quantities: text to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.model.quantity import MEBIBYTE, format_bytes, human_bytes, parse_bytes, round_down, round_up


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("128Mi", 128 * MEBIBYTE),
        ("1.5Gi", 3 * 2**29),
        ("1e3", 1000),
        ("100M", 10**8),
        ("1500m", 2),
        (" 1Ki ", 1024),
        ("2E", 2 * 10**18),
    ],
)
def test_a_quantity_is_its_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "Mi", "-1", "1Xi", "NaN", "Infinity", "1e99", "1 Mi2", "9" * 65, "1ki"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a memory quantity"):
        parse_bytes(text)


@given(st.integers(0, 2**62))
def test_formatting_loses_nothing(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == count


@given(st.integers(0, 2**50))
def test_rounding_up_never_goes_down_nor_far(count: int) -> None:
    rounded = round_up(count)
    assert count <= rounded <= count * 1.04 + MEBIBYTE
    assert rounded % MEBIBYTE == 0


@given(st.integers(0, 2**50))
def test_rounding_down_gives_what_rounding_up_leaves(count: int) -> None:
    rounded = round_down(count)
    assert count * 0.96 - MEBIBYTE <= rounded <= count
    assert round_up(rounded) == rounded


@pytest.mark.parametrize(
    ("count", "text"),
    [(512, "512 B"), (12 * 1024, "12 KiB"), (1.5 * 2**30, "1.5 GiB"), (96 * 2**20, "96 MiB"), (-3 * 2**20, "-3.0 MiB")],
)
def test_people_read_rounded_sizes(count: float, text: str) -> None:
    assert human_bytes(count) == text
