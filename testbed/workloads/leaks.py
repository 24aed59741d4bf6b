"""Families whose demand is the age of a run or the work it did: leaks."""

from __future__ import annotations

import random

from testbed.workloads.draws import (
    JAVA,
    NODE,
    POSTGRES,
    PYTHON,
    a_life,
    a_limit,
    any_life,
    any_limit,
    any_load,
    bursty_load,
    kept,
    plain_load,
    wavy_load,
)
from testbed.workloads.plan import MIB, Plan


def _leak_python_per_request(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.02, 0.5) * limit
    each = kept(rng, load, limit - base - PYTHON)
    return Plan("python", "keep", limit, load, {"base": base, "each": each})


def _leak_python_by_time(rng: random.Random) -> Plan:
    limit = a_limit(rng)
    base = rng.uniform(0.02, 0.5) * limit
    each = (limit - base - PYTHON) / a_life(rng) / 2
    return Plan("python", "time", limit, plain_load(rng), {"base": base, "each": each})


def _leak_python_in_steps(rng: random.Random) -> Plan:
    limit, load, every = a_limit(rng), wavy_load(rng), rng.randint(20, 50)
    base = rng.uniform(0.02, 0.4) * limit
    each = kept(rng, load, limit - base - PYTHON) * every
    return Plan("python", "steps", limit, load, {"base": base, "each": each, "every": every})


def _leak_python_under_collector(rng: random.Random) -> Plan:
    limit, load, every = a_limit(rng), wavy_load(rng), rng.randint(30, 80)
    base, garbage = rng.uniform(0.02, 0.3) * limit, rng.uniform(0.1, 0.25) * limit / every
    each = kept(rng, load, limit - base - PYTHON)
    return Plan("python", "collector", limit, load, {"base": base, "each": each, "every": every, "garbage": garbage})


def _leak_python_with_bursts(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), bursty_load(rng)
    base, large = rng.uniform(0.02, 0.3) * limit, rng.uniform(0.06, 0.2) * limit
    each = kept(rng, load, limit - base - PYTHON)
    chance = rng.uniform(0.01, 0.04)
    return Plan("python", "keep", limit, load, {"base": base, "each": each, "large": large, "chance": chance})


def _leak_python_dwindling_load(rng: random.Random) -> Plan:
    limit = a_limit(rng)
    load = plain_load(rng, period=rng.uniform(45, 75), fall=rng.uniform(0.4, 0.8))
    base = rng.uniform(0.02, 0.4) * limit
    return Plan("python", "keep", limit, load, {"base": base, "each": 1.5 * kept(rng, load, limit - base - PYTHON)})


def _leak_python_tmpfs(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.02, 0.5) * limit
    each = kept(rng, load, limit - base - PYTHON)
    return Plan("python", "tmpfs", limit, load, {"base": base, "each": each}, tmpfs=True)


def _leak_c_per_request(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), bursty_load(rng)
    base = rng.uniform(0.05, 0.6) * limit
    return Plan("c", "keep", limit, load, {"base": base, "each": kept(rng, load, limit - base)})


def _leak_c_beside_large_base(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.66, 0.82) * limit
    return Plan("c", "keep", limit, load, {"base": base, "each": kept(rng, load, limit - base)})


def _leak_c_late(rng: random.Random) -> Plan:
    limit, load, idle = a_limit(rng), wavy_load(rng), rng.uniform(12, 28)
    base = rng.uniform(0.2, 0.6) * limit
    each = 1.6 * kept(rng, load, limit - base)
    return Plan("c", "late", limit, load, {"base": base, "each": each, "idle": idle})


def _leak_c_threads(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.05, 0.5) * limit
    each = max(8192.0, kept(rng, load, limit - base) - 30_000)
    return Plan("c", "threads", limit, load, {"base": base, "each": min(each, 700_000)})


def _leak_c_processes(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base, each = rng.uniform(0.05, 0.5) * limit, rng.uniform(0.3, 1.2) * MIB
    chance = min(1.0, kept(rng, load, limit - base) / (each + 0.25 * MIB))
    return Plan("c", "processes", limit, load, {"base": base, "each": each, "chance": chance})


def _leak_c_pipes(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.05, 0.5) * limit
    each = max(1.0, round(kept(rng, load, limit - base) / 7000))
    return Plan("c", "pipes", limit, load, {"base": base, "each": each})


def _leak_node_heap(rng: random.Random) -> Plan:
    limit, load = rng.choice([96, 128, 160]) * MIB, wavy_load(rng)
    each = kept(rng, load, limit - NODE) * 1.2
    return Plan("node", "heap", limit, load, {"each": each}, options=("--max-old-space-size=400",))


def _leak_node_buffers(rng: random.Random) -> Plan:
    limit, load = rng.choice([96, 128, 160]) * MIB, bursty_load(rng)
    return Plan("node", "buffers", limit, load, {"each": 1.5 * kept(rng, load, limit - NODE)})


def _leak_java_direct(rng: random.Random) -> Plan:
    limit, load = rng.choice([128, 160, 192]) * MIB, wavy_load(rng)
    options = ("-Xmx24m", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=1g")
    return Plan("java", "direct", limit, load, {"each": 1.4 * kept(rng, load, limit - JAVA)}, options=options)


def _leak_redis_keys(rng: random.Random) -> Plan:
    limit, load = rng.choice([32, 48, 64]) * MIB, wavy_load(rng)
    return Plan("redis", "new", limit, load, {"each": kept(rng, load, limit - 6 * MIB)})


def _child_leak_python(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.1, 0.3) * limit
    each = kept(rng, load, limit - base - 2 * PYTHON)
    return Plan("python", "jobs", limit, load, {"base": base, "each": each}, group=False)


def _wide(rng: random.Random, own: float, most_base: float = 0.8) -> tuple[int, float, float]:
    """Return a limit, a base and the rate in bytes a second that fills the rest in one life; `own` is the program's."""
    limit = any_limit(rng)
    base = rng.uniform(0.02, most_base) * (limit - own)
    return limit, base, (limit - own - base) / any_life(rng)


def _leak_c_by_time(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, MIB), wavy_load(rng)
    request = 0.15 * (limit - base) / load.level / (1 + load.wave)
    return Plan("c", "time", limit, load, {"base": base, "each": pace / 2, "request": request})


def _leak_c_tmpfs(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, MIB), any_load(rng)
    return Plan("c", "scratch", limit, load, {"base": base, "each": pace / load.level}, tmpfs=True)


def _leak_c_tiny(rng: random.Random) -> Plan:
    limit, load = rng.choice([3, 4, 6, 8]) * MIB, any_load(rng)
    base = rng.uniform(0.05, 0.5) * limit
    return Plan("c", "keep", limit, load, {"base": base, "each": (limit - base) / any_life(rng) / load.level})


def _cut(rng: random.Random, request: float) -> dict[str, float]:
    """Return the size and count of buffers of which so many bytes a request are not used again."""
    count = rng.randint(3, 8)
    # smaller ones are taken from the heap, which is what is to be cut up; larger ones are mapped
    size = min(max(request / (count - 1), 2000), 100_000)
    return {"each": size, "count": max(2, min(60, round(request / size) + 1))}


def _leak_c_fragmentation(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, MIB), any_load(rng)
    return Plan("c", "fragments", limit, load, {"base": base, **_cut(rng, pace / load.level)})


def _leak_python_fragmentation(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, PYTHON), any_load(rng)
    return Plan("python", "fragments", limit, load, {"base": base, **_cut(rng, pace / load.level)})


def _leak_python_ramping_load(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, PYTHON), plain_load(rng, ramp=rng.uniform(1, 2.5))
    return Plan("python", "keep", limit, load, {"base": base, "each": pace / load.level / (1 + load.ramp / 4)})


def _leak_python_slow(rng: random.Random) -> Plan:
    limit, load = any_limit(rng), plain_load(rng)
    base = rng.uniform(0.05, 0.7) * (limit - PYTHON)
    each = (limit - PYTHON - base) / rng.uniform(95, 125) / load.level
    return Plan("python", "keep", limit, load, {"base": base, "each": each})


def _leak_python_processes(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, PYTHON), any_load(rng)
    return Plan(
        "python", "processes", limit, load, {"base": base, "each": max(1.0, round(pace / load.level / 350_000))}
    )


def _leak_python_sockets(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, PYTHON), any_load(rng)
    return Plan("python", "sockets", limit, load, {"base": base, "each": max(1.0, round(pace / load.level / 8000))})


def _leak_version_python(rng: random.Random) -> Plan:
    limit, load = any_limit(rng), wavy_load(rng)
    base = rng.uniform(0.1, 0.6) * (limit - PYTHON)
    parameters = {"base": base, "request": 0.1 * (limit - base) / load.level, "hold": rng.uniform(0.5, 2)}
    later = {**parameters, "each": (limit - PYTHON - base) / rng.uniform(25, 70) / load.level}
    return Plan("python", "keep", limit, load, parameters, later=later, rolled_out_after=rng.uniform(30, 50))


def _leak_java_heap(rng: random.Random) -> Plan:
    limit, load = rng.choice([112, 128, 160, 192]) * MIB, any_load(rng)
    heap = int(limit / MIB * rng.uniform(1.5, 3))
    parameters = {"each": (limit - JAVA) / any_life(rng) / load.level}
    return Plan("java", "heap", limit, load, parameters, options=(f"-Xmx{heap}m", "-XX:+UseSerialGC"))


def _leak_java_threads(rng: random.Random) -> Plan:
    limit, load = rng.choice([112, 128, 160, 192]) * MIB, any_load(rng)
    each = 1.3 * (limit - JAVA) / any_life(rng) / load.level - 80_000
    options = (f"-Xmx{rng.choice([16, 24, 32])}m", "-XX:+UseSerialGC")
    return Plan("java", "threads", limit, load, {"each": max(each, 4096)}, options=options)


def _leak_postgres_prepared(rng: random.Random) -> Plan:
    limit, load = rng.choice([48, 64, 96]) * MIB, any_load(rng)
    each = (limit - POSTGRES) / any_life(rng) / load.level
    return Plan("postgres", "prepare", limit, load, {"each": each})


def _child_leak_c(rng: random.Random) -> Plan:
    (limit, base, pace), load = _wide(rng, MIB, most_base=0.4), any_load(rng)
    return Plan("c", "jobs", limit, load, {"base": base, "each": pace / load.level}, group=False)


ALL = (
    _leak_python_per_request,
    _leak_python_by_time,
    _leak_python_in_steps,
    _leak_python_under_collector,
    _leak_python_with_bursts,
    _leak_python_dwindling_load,
    _leak_python_tmpfs,
    _leak_c_per_request,
    _leak_c_beside_large_base,
    _leak_c_late,
    _leak_c_threads,
    _leak_c_processes,
    _leak_c_pipes,
    _leak_node_heap,
    _leak_node_buffers,
    _leak_java_direct,
    _leak_redis_keys,
    _child_leak_python,
    _leak_c_by_time,
    _leak_c_tmpfs,
    _leak_c_tiny,
    _leak_c_fragmentation,
    _leak_python_fragmentation,
    _leak_python_ramping_load,
    _leak_python_slow,
    _leak_python_processes,
    _leak_python_sockets,
    _leak_version_python,
    _leak_java_heap,
    _leak_java_threads,
    _leak_postgres_prepared,
    _child_leak_c,
)
