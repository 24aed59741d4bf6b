"""Composition: which class grew, whether tasks made it; one odd sample or another time scale changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from memdiag.diagnosis.composition import Class, Composition, composition_of
from memdiag.model.trace import Level, Sample
from memdiag.model.verdict import Mechanism

MIB = 2**20
KIB = 2**10
COUNT = 60


def life(
    stat: Mapping[str, Callable[[float], float]],
    *,
    pids: Callable[[float], float] | None = None,
    swap: Callable[[float], float] | None = None,
    step: float = 1.0,
) -> list[Sample]:
    """Return samples of a life; each function is of the share of it that is over."""
    found = []
    for place in range(COUNT + 1):
        age = place / COUNT
        level = Level(
            stat={key: int(read(age)) for key, read in stat.items()},
            pids=None if pids is None else int(pids(age)),
            swap_current=None if swap is None else int(swap(age)),
        )
        found.append(Sample(1000.0 + place * step, level))
    return found


def rising(size: float, base: float = MIB) -> Callable[[float], float]:
    return lambda age: base + size * age


def level(size: float) -> Callable[[float], float]:
    return lambda _age: size


def found_in(samples: list[Sample]) -> Composition:
    found = composition_of([samples])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("stat", "swap", "name", "leak"),
    [
        ({"anon": rising(50 * MIB), "shmem": level(MIB)}, None, Class.ANON, Mechanism.HEAP_LEAK),
        ({"anon": rising(MIB), "shmem": rising(50 * MIB)}, None, Class.SHMEM, Mechanism.TMPFS_FILL),
        ({"anon": rising(MIB), "kernel": rising(50 * MIB)}, None, Class.KERNEL, Mechanism.KERNEL_OBJECT_LEAK),
        (
            {"anon": rising(MIB), "slab_unreclaimable": rising(9 * MIB)},
            None,
            Class.KERNEL,
            Mechanism.KERNEL_OBJECT_LEAK,
        ),
        ({"anon": rising(MIB), "sock": rising(50 * MIB)}, None, Class.SOCK, Mechanism.KERNEL_OBJECT_LEAK),
        ({"anon": level(40 * MIB)}, rising(50 * MIB), Class.SWAP, Mechanism.HEAP_LEAK),
    ],
)
def test_the_class_that_grew_names_the_leak(
    stat: Mapping[str, Callable[[float], float]],
    swap: Callable[[float], float] | None,
    name: Class,
    leak: Mechanism,
) -> None:
    found = found_in(life(stat, swap=swap))
    assert (found.name, found.leak) == (name, leak)
    assert found.share > 0.8


def test_reclaimable_slab_is_no_growth_of_kernel_memory() -> None:
    found = found_in(
        life({"anon": rising(2 * MIB), "kernel": rising(50 * MIB), "slab_reclaimable": rising(50 * MIB, base=0)})
    )
    assert found.name is Class.ANON


def tasks(each: Mapping[str, float], to: float = 100) -> Composition:
    stat = {key: rising(size * (to - 1)) for key, size in each.items()}
    return found_in(life(stat, pids=lambda age: 1 + (to - 1) * age))


@pytest.mark.parametrize(
    ("each", "leak", "unreaped"),
    [
        ({"anon": 80 * KIB, "kernel_stack": 16 * KIB, "pagetables": 5 * KIB}, Mechanism.THREAD_LEAK, False),
        ({"anon": 2 * MIB, "kernel_stack": 16 * KIB, "pagetables": 8 * KIB}, Mechanism.THREAD_LEAK, False),
        ({"anon": 300 * KIB, "kernel_stack": 16 * KIB, "pagetables": 44 * KIB}, Mechanism.PROCESS_LEAK, False),
        ({"anon": 0.0, "kernel_stack": 0.0, "slab_unreclaimable": 12 * KIB}, Mechanism.PROCESS_LEAK, True),
        ({"anon": 100 * KIB}, Mechanism.THREAD_LEAK, False),
        ({"anon": 4 * MIB}, Mechanism.PROCESS_LEAK, False),
    ],
)
def test_tasks_that_made_the_rise_are_told_apart_by_what_the_kernel_keeps_of_each(
    each: Mapping[str, float], leak: Mechanism, unreaped: bool
) -> None:
    found = tasks(each)
    assert found.tasks is not None
    assert (found.tasks.leak, found.tasks.unreaped) == (leak, unreaped)
    assert found.leak is leak


def test_a_pool_of_threads_that_is_complete_early_did_not_make_the_rise() -> None:
    samples = life({"anon": rising(90 * MIB), "kernel_stack": level(MIB)}, pids=lambda age: 2 + 30 * min(1, age / 0.2))
    found = found_in(samples)
    assert found.leak is Mechanism.HEAP_LEAK


def test_few_tasks_beside_a_huge_rise_did_not_make_it() -> None:
    assert tasks({"anon": 100 * MIB, "kernel_stack": 16 * KIB}, to=20).leak is Mechanism.HEAP_LEAK


def test_one_odd_sample_decides_nothing() -> None:
    samples = life({"anon": rising(50 * MIB), "shmem": level(0)})
    samples[-1] = Sample(samples[-1].t, Level(stat={"anon": MIB, "shmem": 500 * MIB}))
    found = found_in(samples)
    assert found.name is Class.ANON
    assert found.growth[Class.SHMEM] == 0


@pytest.mark.parametrize("step", [0.01, 1.0, 86400.0])
def test_time_scale_does_not_matter(step: float) -> None:
    stat = {"anon": rising(50 * MIB), "sock": rising(MIB)}
    assert found_in(life(stat, step=step)).growth == found_in(life(stat)).growth


def test_every_run_counts_alike() -> None:
    heap = {"anon": rising(50 * MIB), "shmem": level(0)}
    files = {"anon": level(MIB), "shmem": rising(50 * MIB)}
    found = composition_of([life(files), life(heap), life(heap)])
    assert found is not None
    assert found.name is Class.ANON


def test_huge_pages_and_what_khugepaged_brought_are_shares() -> None:
    found = found_in(
        life(
            {
                "anon": rising(80 * MIB, base=20 * MIB),
                "anon_thp": rising(80 * MIB, base=0),
                "thp_collapse_alloc": rising(40),
            }
        )
    )
    assert found.huge_share == pytest.approx(0.8, abs=0.02)
    assert found.collapsed_share == pytest.approx(1.0, abs=0.05)


def test_what_was_not_recorded_is_not_known() -> None:
    found = found_in(life({"anon": rising(50 * MIB)}))
    assert (found.tasks, found.huge_share, found.collapsed_share) == (None, None, None)
    assert composition_of([life({"file": rising(50 * MIB)})]) is None
    assert composition_of([life({"anon": level(50 * MIB)})]) is None
    assert composition_of([]) is None
