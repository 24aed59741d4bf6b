"""Families whose demand is stationary, with a peak above the limit: the limit is underestimated."""

from __future__ import annotations

import math
import random

from testbed.workloads.draws import (
    LONG,
    NODE,
    POSTGRES,
    PYTHON,
    a_life,
    a_limit,
    any_life,
    any_limit,
    any_load,
    plain_load,
    room,
    session_load,
    wavy_load,
)
from testbed.workloads.plan import MIB, Load, Plan

_NODE_LEVEL = 14 * MIB
"""What Node needs with nothing loaded, less what the kernel can drop of it."""


def _low_steady_c(rng: random.Random) -> Plan:
    limit, part = a_limit(rng), rng.uniform(0.015, 0.03)
    base = limit * (rng.uniform(0.93, 0.965) - 8 * part)
    return Plan("c", "noise", limit, wavy_load(rng), {"base": base, "each": part * limit})


def _low_cache_python(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base, bound = rng.uniform(0.02, 0.2) * limit, rng.uniform(1.06, 1.15)
    free = limit - base - PYTHON
    keys = max(20, int(load.level * a_life(rng) / math.log(bound / (bound - 1))))
    return Plan("python", "cache", limit, load, {"base": base, "keys": keys, "each": bound * free / keys})


def _low_cache_redis(rng: random.Random) -> Plan:
    limit, load, bound = rng.choice([32, 48, 64]) * MIB, wavy_load(rng), rng.uniform(1.06, 1.15)
    keys = max(20, int(load.level * a_life(rng) / math.log(bound / (bound - 1))))
    return Plan("redis", "bounded", limit, load, {"keys": keys, "each": bound * (limit - 6 * MIB) / keys})


def _low_startup_python(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng, 120)
    parameters = {"peak": (limit - PYTHON) * rng.uniform(1.02, 1.1), "seconds": rng.uniform(6, 14)}
    parameters["each"] = rng.uniform(0.3, 0.55) * limit
    return Plan("python", "startup", limit, load, parameters, restart_every=rng.uniform(28, 36))


def _low_burst_c(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.25, 0.65) * limit
    parameters = {"base": base, "each": 0.03 * limit / load.level, "large": rng.uniform(0.75, 0.95) * (limit - base)}
    return Plan("c", "burst", limit, load, {**parameters, "chance": 1 / load.level / rng.uniform(8, 20)})


def _low_burst_crowd_python(rng: random.Random) -> Plan:
    limit = a_limit(rng)
    load = plain_load(rng, crowd_chance=rng.uniform(0.01, 0.02), crowd=(8, 60))
    base = rng.uniform(0.1, 0.45) * limit
    each = (limit - base - PYTHON) / (load.level + 38)
    return Plan("python", "sessions", limit, load, {"base": base, "each": each, "hold": 1.0})


def _low_burst_fork_c(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    table = rng.uniform(0.5, 0.62) * limit
    parameters = {"table": table, "writes": table / 4096 / load.level / 1.5, "hold": rng.uniform(2.5, 4)}
    return Plan("c", "snapshots", limit, load, {**parameters, "chance": 1 / load.level / rng.uniform(12, 20)})


def _low_waves_python(rng: random.Random) -> Plan:
    limit, hold = a_limit(rng), rng.uniform(5, 9)
    load = session_load(rng, wave=rng.uniform(0.4, 0.6), period=rng.uniform(25, 45))
    base = rng.uniform(0.05, 0.3) * limit
    top = load.level * (1 + load.wave) * hold
    each = (limit - base - PYTHON) / top * rng.uniform(0.92, 1.05)
    return Plan("python", "sessions", limit, load, {"base": base, "each": each, "hold": hold})


def _low_heap_java(rng: random.Random) -> Plan:
    limit, load = rng.choice([96, 112, 128]) * MIB, wavy_load(rng)
    parameters = {"each": rng.uniform(0.5, 0.9) * MIB, "live": rng.uniform(6, 16) * MIB}
    heap = int(limit / MIB * rng.uniform(1.2, 2))
    options = (f"-Xmx{heap}m", f"-Xmn{int(heap * 0.8)}m", "-XX:+UseSerialGC")
    return Plan("java", "garbage", limit, load, parameters, options=options)


def _child_burst_python(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng, 120)
    base = rng.uniform(0.1, 0.3) * limit
    large = (limit - base - 2 * PYTHON) * rng.uniform(0.75, 0.9)
    parameters = {"base": base, "each": 0, "large": large, "chance": 1 / load.level / rng.uniform(8, 15)}
    return Plan("python", "jobs", limit, load, parameters, group=False)


def _low_steady_python(rng: random.Random) -> Plan:
    limit, load, hold = any_limit(rng), session_load(rng), rng.uniform(1, 4)
    base = rng.uniform(0.3, 0.7) * (limit - PYTHON)
    each = room(limit - PYTHON - base, load.level * hold, rng.uniform(1.3, 2.1))
    return Plan("python", "sessions", limit, load, {"base": base, "each": each, "hold": hold})


def _low_steady_node(rng: random.Random) -> Plan:
    limit, load, hold = rng.choice([80, 96, 128, 160]) * MIB, session_load(rng), rng.uniform(1, 4)
    base = rng.uniform(0.2, 0.5) * (limit - NODE)
    each = room(limit - NODE - base, load.level * hold, rng.uniform(1.3, 2.1))
    return Plan("node", "sessions", limit, load, {"base": base, "each": each, "hold": hold}, options=("--expose-gc",))


def _low_lowered_c(rng: random.Random) -> Plan:
    before, part = any_limit(rng), rng.uniform(0.005, 0.015)
    level = before * rng.uniform(0.5, 0.8)
    parameters = {"base": level * (1 - 8 * part), "each": part * level}
    limit = int(level * rng.uniform(0.7, 0.93)) // MIB * MIB
    rolled_out, load = rng.uniform(40, 70), any_load(rng)
    return Plan("c", "noise", limit, load, parameters, limit_before=before, rolled_out_after=rolled_out, backs_off=True)


def _low_lowered_python(rng: random.Random) -> Plan:
    before, load, hold = any_limit(rng), any_load(rng), rng.uniform(0.5, 2)
    level = before * rng.uniform(0.55, 0.75)
    parameters = {"each": 0.95 * (level - PYTHON), "seconds": rng.uniform(2, 6), "hold": hold}
    parameters["request"] = 0.05 * level / load.level / hold
    limit = int(level * rng.uniform(0.75, 0.92)) // MIB * MIB
    return Plan(
        *("python", "warmup", limit, load, parameters),
        limit_before=before,
        rolled_out_after=rng.uniform(45, 75),
        backs_off=True,
    )


def _bounded(rng: random.Random, load: Load, free: float) -> dict[str, float]:
    """Return the keys, and the size of each, of a cache whose bound is above what is free."""
    bound = rng.uniform(1.06, 1.2)
    keys = max(20, int(load.level * any_life(rng) / math.log(bound / (bound - 1))))
    return {"keys": keys, "each": bound * free / keys}


def _low_cache_c(rng: random.Random) -> Plan:
    limit, load = any_limit(rng), any_load(rng)
    base = rng.uniform(0.02, 0.5) * limit
    return Plan("c", "cache", limit, load, {"base": base, **_bounded(rng, load, limit - base - MIB)})


def _low_cache_node(rng: random.Random) -> Plan:
    limit, load = rng.choice([80, 96, 128, 160]) * MIB, any_load(rng)
    return Plan("node", "cache", limit, load, _bounded(rng, load, limit - _NODE_LEVEL))


def _low_cache_scan_c(rng: random.Random) -> Plan:
    limit, load = rng.choice([16, 20, 24, 28, 36]) * MIB, wavy_load(rng)
    base, bound = rng.uniform(0.02, 0.3) * limit, rng.uniform(0.7, 0.85)
    keys = int(load.level * rng.uniform(12, 45))
    free = limit - base - MIB
    request = room((1 - bound) * free, load.level * (1 + load.wave), rng.uniform(0.2, 1.2))
    parameters = {"base": base, "keys": keys, "each": bound * free / keys, "scan": 1, "request": request}
    return Plan("c", "cache", limit, load, parameters)


def _peak(rng: random.Random, free: float) -> dict[str, float]:
    """Return a start-up whose peak does not fit in some runs."""
    level = rng.uniform(0.25, 0.6) * free
    return {"peak": rng.uniform(0.97, 1.05) * free, "seconds": rng.uniform(4, 14), "each": level}


def _low_startup_c(rng: random.Random) -> Plan:
    limit, load = any_limit(rng), any_load(rng)
    parameters = {**_peak(rng, limit - MIB), "request": 0.02 * limit / load.level}
    return Plan("c", "startup", limit, load, parameters, restart_every=rng.uniform(25, 40))


def _low_startup_node(rng: random.Random) -> Plan:
    limit, load = rng.choice([80, 96, 128, 160]) * MIB, any_load(rng)
    peak = _peak(rng, 1.06 * (limit - _NODE_LEVEL))
    parameters = {
        **peak,
        "base": peak["each"],
        "peak": peak["peak"] - peak["each"],
        "request": 0.02 * limit / load.level,
    }
    return Plan("node", "startup", limit, load, parameters, options=("--expose-gc",), restart_every=rng.uniform(25, 40))


def _low_burst_node(rng: random.Random) -> Plan:
    limit, load = rng.choice([80, 96, 128, 160]) * MIB, any_load(rng)
    free = limit - NODE
    base = rng.uniform(0.05, 0.4) * free
    parameters = {"base": base, "request": 0.05 * free / load.level, "large": rng.uniform(0.7, 0.9) * (free - base)}
    parameters["chance"] = 1 / load.level / rng.uniform(8, 20)
    return Plan("node", "burst", limit, load, parameters, options=("--expose-gc",))


def _low_burst_postgres(rng: random.Random) -> Plan:
    limit, load = rng.choice([40, 48, 64]) * MIB, any_load(rng)
    parameters = {"large": rng.uniform(0.8, 1) * (limit - POSTGRES), "chance": 1 / load.level / rng.uniform(10, 20)}
    return Plan("postgres", "sorts", limit, load, parameters, options=("work_mem=1GB",), group=False)


def _low_waves_c(rng: random.Random) -> Plan:
    limit, hold = any_limit(rng), rng.uniform(4, 9)
    load = session_load(rng, wave=rng.uniform(0.35, 0.7), period=rng.uniform(20, 50))
    base = rng.uniform(0.05, 0.6) * limit
    each = room(limit - base - MIB, load.level * (1 + load.wave) * hold, rng.uniform(-0.5, 0.8))
    return Plan("c", "sessions", limit, load, {"base": base, "each": each, "hold": hold})


def _low_steps_c(rng: random.Random) -> Plan:
    limit, hold = any_limit(rng), rng.uniform(4, 7)
    steps = [rng.uniform(0.4, 0.7), rng.uniform(0.8, 1), rng.uniform(1, 1.2), 1.6]
    load = session_load(rng, steps=(*rng.sample(steps, 4), *rng.sample(steps, 4)))
    base = rng.uniform(0.05, 0.5) * limit
    each = room(limit - base - MIB, 1.6 * load.level * hold, rng.uniform(-0.5, 0.8))
    return Plan("c", "sessions", limit, load, {"base": base, "each": each, "hold": hold})


def _low_heap_node(rng: random.Random) -> Plan:
    limit, load = rng.choice([96, 112, 128]) * MIB, Load(rng.uniform(2, 3.5), LONG, wave=rng.uniform(0, 0.5))
    # a heap left to itself grows to about twice what lives, beside what Node itself needs
    live = (rng.uniform(1.3, 1.5) * limit - 45 * MIB) / 2.1
    keys = rng.randint(25, 45)
    options = (f"--max-old-space-size={int(limit / MIB * rng.uniform(2, 8))}",)
    return Plan("node", "garbage", limit, load, {"keys": keys, "each": live / keys}, options=options)


ALL = (
    _low_steady_c,
    _low_cache_python,
    _low_cache_redis,
    _low_startup_python,
    _low_burst_c,
    _low_burst_crowd_python,
    _low_burst_fork_c,
    _low_waves_python,
    _low_heap_java,
    _child_burst_python,
    _low_steady_python,
    _low_steady_node,
    _low_lowered_c,
    _low_lowered_python,
    _low_cache_c,
    _low_cache_node,
    _low_cache_scan_c,
    _low_startup_c,
    _low_startup_node,
    _low_burst_node,
    _low_burst_postgres,
    _low_waves_c,
    _low_steps_c,
    _low_heap_node,
)
