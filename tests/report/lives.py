"""Traces for the report's tests: small, with every layer, and such as a hostile or unlucky cluster has."""

from __future__ import annotations

from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace, TraceKill

MIB = 2**20
START = 1_763_856_000.0


def sample(t: float, demand: int, *, cache: int = 4, limit: int | None = 96) -> Sample:
    """Return a sample of so many MiB of demand: 3 of kernel and sockets, the rest the program's."""
    stat = {
        "anon": (demand - 3) * MIB,
        "file": (cache + 1) * MIB,
        "shmem": 0,
        "kernel": 3 * MIB,
        "slab_reclaimable": MIB,
        "sock": MIB,
    }
    ceiling = "max" if limit is None else limit * MIB
    return Sample(t, Level(current=(demand + cache) * MIB, max=ceiling, stat=stat))  # type: ignore[arg-type]  # "max"


def climbing(number: int, *, seconds: int = 60, killed: bool = True, begin: float = START) -> Run:
    """Return a run that climbs from 10 to 90 MiB and is then killed."""
    samples = tuple(sample(begin + t, 10 + 80 * t // seconds) for t in range(0, seconds + 1, 5))
    dead = Level(peak=96 * MIB, stat={"anon": 0, "kernel": 0})
    end = RunEnd(begin + seconds + 1, 137, "OOMKilled", dead, killed=True)
    return Run(f"c{number}", begin, "image", "rev", samples, (), end if killed else None)


def trace(runs: int = 3) -> Trace:
    """Return a trace of runs, the last one alive."""
    lives = [climbing(n, killed=n < runs - 1, begin=START + n * 100) for n in range(runs)]
    return Trace(tuple(lives), "shop", "checkout-1", "checkout", "Deployment", "checkout", "node-a", 96 * MIB)


def odd_traces() -> dict[str, Trace]:
    """Return traces that have too little or too much of something."""
    bare = Sample(START + 1, Level(current=50 * MIB))
    unseen = Run("c", None, end=RunEnd(START, 137, "OOMKilled"))
    worker_dies = Run("c", START, samples=(sample(START, 20), sample(START + 9, 80)), kills=(TraceKill(START + 9),))
    many = tuple(climbing(n, begin=START + n * 100) for n in range(60))
    raised = Run("c", START, samples=(sample(START, 20), sample(START + 5, 30, limit=192)))
    unlimited = Run("c", START, samples=(sample(START, 20, limit=None), sample(START + 5, 30, limit=None)))
    endless = Run("c", START, samples=tuple(sample(START + t, 10 + t % 70) for t in range(5000)))
    return {
        "no runs": Trace(()),
        "a run without times": Trace((Run("c"),)),
        "nothing but a death": Trace((unseen,), limit_bytes=96 * MIB),
        "a death without a limit": Trace((unseen,)),
        "one sample": Trace((Run("c", START, samples=(sample(START + 5, 50),)),)),
        "only memory.current": Trace((Run("c", None, samples=(bare,)),)),
        "a kill inside a run": Trace((worker_dies,)),
        "many runs": Trace(many),
        "the limit was raised": Trace((raised,)),
        "no limit": Trace((unlimited,)),
        "many samples": Trace((endless,)),
        "no demand at all": Trace((Run("c", START, samples=(Sample(START, Level(stat={"anon": 0})),)),)),
    }
