"""Demand: what the kernel cannot simply drop."""

from __future__ import annotations

import pytest

from memdiag.model.trace import Level, Sample, Victim, demand_bytes, unreclaimable_kernel_bytes


@pytest.mark.parametrize(
    ("stat", "swap", "demand"),
    [
        ({}, None, None),
        ({"file": 5}, 7, None),
        ({"anon": 5}, None, 5),
        ({"anon": 5, "file": 100, "shmem": 3, "sock": 2, "kernel": 10, "slab_reclaimable": 4}, 1, 17),
        ({"anon": 5, "kernel_stack": 1, "pagetables": 2, "percpu": 3, "slab_unreclaimable": 4, "slab": 99}, None, 15),
        ({"anon": 5, "kernel": 3, "slab_reclaimable": 4}, None, 5),
    ],
)
def test_demand(stat: dict[str, int], swap: int | None, demand: int | None) -> None:
    assert demand_bytes(stat, swap) == demand
    assert Sample(0.0, Level(stat=stat, swap_current=swap)).demand == demand


def test_kernel_memory_that_is_not_known_is_not_zero() -> None:
    assert unreclaimable_kernel_bytes({"anon": 5}) is None


def test_a_victims_resident_bytes_are_the_known_parts() -> None:
    assert Victim().rss is None
    assert Victim(anon_rss=3, shmem_rss=4).rss == 7
