"""The families of workloads: for each label a function from a seeded random generator to a plan.

Rates are a few requests a second and lives a minute or so: the diagnosis knows no scale of time.
"""

from __future__ import annotations

import math
import random
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from testbed.workloads.plan import MIB, Load, Plan

LABELS = Path(__file__).with_name("labels.toml")

_LONG, _SHORT = 160.0, 100.0
_PYTHON = 5 * MIB
"""What an interpreter with nothing loaded needs."""
_JAVA = 42 * MIB
_NODE = 36 * MIB


def labels() -> dict[str, dict[str, Any]]:
    """Return the committed labels: cause, mechanism (where there is one), program and why, by family."""
    return tomllib.loads(LABELS.read_text(encoding="utf-8"))


def _limit(rng: random.Random) -> int:
    return rng.choice([24, 32, 40, 48, 64]) * MIB


def _load(rng: random.Random, seconds: float = _LONG, **shape: Any) -> Load:
    return Load(rng.uniform(3, 7), seconds, phase=rng.uniform(0, 2 * math.pi), **shape)


def _sessions(rng: random.Random, seconds: float = _LONG, **shape: Any) -> Load:
    """Return a load of enough sessions at a time that their number is hardly noise."""
    return Load(rng.uniform(6, 10), seconds, phase=rng.uniform(0, 2 * math.pi), **shape)


def _waves(rng: random.Random, seconds: float = _LONG, **shape: Any) -> Load:
    return _load(rng, seconds, wave=rng.uniform(0.3, 0.8), period=rng.uniform(12, 60), **shape)


def _bursts(rng: random.Random, seconds: float = _LONG) -> Load:
    return _load(rng, seconds, crowd_chance=rng.uniform(0.01, 0.05), crowd=(5, 40))


def _life(rng: random.Random) -> float:
    return rng.uniform(32, 65)


def _kept(rng: random.Random, load: Load, free: float) -> float:
    """Return the bytes to keep of each request so that `free` bytes last for one life."""
    return free / _life(rng) / load.level


def _leak_python_per_request(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.02, 0.5) * limit
    each = _kept(rng, load, limit - base - _PYTHON)
    return Plan("python", "keep", limit, load, {"base": base, "each": each})


def _leak_python_by_time(rng: random.Random) -> Plan:
    limit = _limit(rng)
    base = rng.uniform(0.02, 0.5) * limit
    each = (limit - base - _PYTHON) / _life(rng) / 2
    return Plan("python", "time", limit, _load(rng), {"base": base, "each": each})


def _leak_python_in_steps(rng: random.Random) -> Plan:
    limit, load, every = _limit(rng), _waves(rng), rng.randint(20, 50)
    base = rng.uniform(0.02, 0.4) * limit
    each = _kept(rng, load, limit - base - _PYTHON) * every
    return Plan("python", "steps", limit, load, {"base": base, "each": each, "every": every})


def _leak_python_under_collector(rng: random.Random) -> Plan:
    limit, load, every = _limit(rng), _waves(rng), rng.randint(30, 80)
    base, garbage = rng.uniform(0.02, 0.3) * limit, rng.uniform(0.1, 0.25) * limit / every
    each = _kept(rng, load, limit - base - _PYTHON)
    return Plan("python", "collector", limit, load, {"base": base, "each": each, "every": every, "garbage": garbage})


def _leak_python_with_bursts(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _bursts(rng)
    base, large = rng.uniform(0.02, 0.3) * limit, rng.uniform(0.06, 0.2) * limit
    each = _kept(rng, load, limit - base - _PYTHON)
    chance = rng.uniform(0.01, 0.04)
    return Plan("python", "keep", limit, load, {"base": base, "each": each, "large": large, "chance": chance})


def _leak_python_dwindling_load(rng: random.Random) -> Plan:
    limit = _limit(rng)
    load = _load(rng, period=rng.uniform(45, 75), fall=rng.uniform(0.4, 0.8))
    base = rng.uniform(0.02, 0.4) * limit
    return Plan("python", "keep", limit, load, {"base": base, "each": 1.5 * _kept(rng, load, limit - base - _PYTHON)})


def _leak_python_tmpfs(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.02, 0.5) * limit
    each = _kept(rng, load, limit - base - _PYTHON)
    return Plan("python", "tmpfs", limit, load, {"base": base, "each": each}, tmpfs=True)


def _leak_c_per_request(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _bursts(rng)
    base = rng.uniform(0.05, 0.6) * limit
    return Plan("c", "keep", limit, load, {"base": base, "each": _kept(rng, load, limit - base)})


def _leak_c_beside_large_base(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.66, 0.82) * limit
    return Plan("c", "keep", limit, load, {"base": base, "each": _kept(rng, load, limit - base)})


def _leak_c_late(rng: random.Random) -> Plan:
    limit, load, idle = _limit(rng), _waves(rng), rng.uniform(12, 28)
    base = rng.uniform(0.2, 0.6) * limit
    each = 1.6 * _kept(rng, load, limit - base)
    return Plan("c", "late", limit, load, {"base": base, "each": each, "idle": idle})


def _leak_c_threads(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.05, 0.5) * limit
    each = max(8192.0, _kept(rng, load, limit - base) - 30_000)
    return Plan("c", "threads", limit, load, {"base": base, "each": min(each, 700_000)})


def _leak_c_processes(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base, each = rng.uniform(0.05, 0.5) * limit, rng.uniform(0.3, 1.2) * MIB
    chance = min(1.0, _kept(rng, load, limit - base) / (each + 0.25 * MIB))
    return Plan("c", "processes", limit, load, {"base": base, "each": each, "chance": chance})


def _leak_c_pipes(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.05, 0.5) * limit
    each = max(1.0, round(_kept(rng, load, limit - base) / 7000))
    return Plan("c", "pipes", limit, load, {"base": base, "each": each})


def _leak_node_heap(rng: random.Random) -> Plan:
    limit, load = rng.choice([96, 128, 160]) * MIB, _waves(rng)
    each = _kept(rng, load, limit - _NODE) * 1.2
    return Plan("node", "heap", limit, load, {"each": each}, options=("--max-old-space-size=400",))


def _leak_node_buffers(rng: random.Random) -> Plan:
    limit, load = rng.choice([96, 128, 160]) * MIB, _bursts(rng)
    return Plan("node", "buffers", limit, load, {"each": 1.5 * _kept(rng, load, limit - _NODE)})


def _leak_java_direct(rng: random.Random) -> Plan:
    limit, load = rng.choice([128, 160, 192]) * MIB, _waves(rng)
    options = ("-Xmx24m", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=1g")
    return Plan("java", "direct", limit, load, {"each": 1.4 * _kept(rng, load, limit - _JAVA)}, options=options)


def _leak_redis_keys(rng: random.Random) -> Plan:
    limit, load = rng.choice([32, 48, 64]) * MIB, _waves(rng)
    return Plan("redis", "new", limit, load, {"each": _kept(rng, load, limit - 6 * MIB)})


def _growth_load_ramp_python(rng: random.Random) -> Plan:
    limit, hold = _limit(rng), rng.uniform(6, 12)
    load = _sessions(rng, wave=rng.uniform(0.1, 0.3), period=rng.uniform(15, 40), ramp=rng.uniform(1.5, 3))
    base = rng.uniform(0.02, 0.3) * limit
    top = load.level * (1 + load.ramp * rng.uniform(0.6, 0.8)) * hold
    return Plan("python", "sessions", limit, load, {"base": base, "each": (limit - base - _PYTHON) / top, "hold": hold})


def _growth_load_waves_c(rng: random.Random) -> Plan:
    limit, hold = _limit(rng), rng.uniform(4, 8)
    load = _sessions(rng, wave=rng.uniform(0.3, 0.5), period=rng.uniform(25, 50), ramp=rng.uniform(1, 1.8))
    base = rng.uniform(0.05, 0.3) * limit
    top = load.level * (1 + load.ramp * rng.uniform(0.55, 0.75)) * (1 + load.wave) * hold
    return Plan("c", "sessions", limit, load, {"base": base, "each": (limit - base) / top, "hold": hold})


def _growth_load_node(rng: random.Random) -> Plan:
    limit, hold = rng.choice([96, 128, 160]) * MIB, rng.uniform(6, 12)
    load = _sessions(rng, wave=rng.uniform(0.1, 0.3), period=rng.uniform(15, 40), ramp=rng.uniform(1.5, 3))
    top = load.level * (1 + load.ramp * rng.uniform(0.6, 0.8)) * hold
    return Plan("node", "sessions", limit, load, {"each": (limit - _NODE) / top, "hold": hold})


def _growth_data_python(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.3, 0.5) * limit
    each = (limit - base - _PYTHON) / (load.seconds * rng.uniform(0.7, 0.9))
    parameters = {"base": base, "each": each, "request": limit / 200}
    return Plan("python", "data", limit, load, parameters, restart_every=rng.uniform(28, 40), calendar=True)


def _growth_redis_append_only(rng: random.Random) -> Plan:
    limit, load = rng.choice([32, 48, 64]) * MIB, _waves(rng)
    each = (limit - 8 * MIB) / (load.seconds * rng.uniform(0.65, 0.85)) / load.level
    return Plan("redis", "new", limit, load, {"each": each}, restart_every=rng.uniform(28, 40), keeps_data=True)


def _growth_version(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng, 120)
    base, hold = rng.uniform(0.4, 0.6) * limit, rng.uniform(1, 3)
    each = rng.uniform(0.08, 0.15) * limit / load.level / hold
    more = limit * rng.uniform(0.78, 0.86)
    parameters = {"base": base, "each": each, "hold": hold}
    return Plan("c", "sessions", limit, load, parameters, later={**parameters, "base": more}, restart_every=45)


def _low_steady_c(rng: random.Random) -> Plan:
    limit, part = _limit(rng), rng.uniform(0.015, 0.03)
    base = limit * (rng.uniform(0.93, 0.965) - 8 * part)
    return Plan("c", "noise", limit, _waves(rng), {"base": base, "each": part * limit})


def _low_cache_python(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base, bound = rng.uniform(0.02, 0.2) * limit, rng.uniform(1.06, 1.15)
    free = limit - base - _PYTHON
    keys = max(20, int(load.level * _life(rng) / math.log(bound / (bound - 1))))
    return Plan("python", "cache", limit, load, {"base": base, "keys": keys, "each": bound * free / keys})


def _low_cache_redis(rng: random.Random) -> Plan:
    limit, load, bound = rng.choice([32, 48, 64]) * MIB, _waves(rng), rng.uniform(1.06, 1.15)
    keys = max(20, int(load.level * _life(rng) / math.log(bound / (bound - 1))))
    return Plan("redis", "bounded", limit, load, {"keys": keys, "each": bound * (limit - 6 * MIB) / keys})


def _low_startup_python(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng, 120)
    parameters = {"peak": (limit - _PYTHON) * rng.uniform(1.02, 1.1), "seconds": rng.uniform(6, 14)}
    parameters["each"] = rng.uniform(0.3, 0.55) * limit
    return Plan("python", "startup", limit, load, parameters, restart_every=rng.uniform(28, 36))


def _low_burst_c(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.25, 0.65) * limit
    parameters = {"base": base, "each": 0.03 * limit / load.level, "large": rng.uniform(0.75, 0.95) * (limit - base)}
    return Plan("c", "burst", limit, load, {**parameters, "chance": 1 / load.level / rng.uniform(8, 20)})


def _low_burst_crowd_python(rng: random.Random) -> Plan:
    limit = _limit(rng)
    load = _load(rng, crowd_chance=rng.uniform(0.01, 0.02), crowd=(8, 60))
    base = rng.uniform(0.1, 0.45) * limit
    each = (limit - base - _PYTHON) / (load.level + 38)
    return Plan("python", "sessions", limit, load, {"base": base, "each": each, "hold": 1.0})


def _low_burst_fork_c(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    table = rng.uniform(0.5, 0.62) * limit
    parameters = {"table": table, "writes": table / 4096 / load.level / 1.5, "hold": rng.uniform(2.5, 4)}
    return Plan("c", "snapshots", limit, load, {**parameters, "chance": 1 / load.level / rng.uniform(12, 20)})


def _low_waves_python(rng: random.Random) -> Plan:
    limit, hold = _limit(rng), rng.uniform(5, 9)
    load = _sessions(rng, wave=rng.uniform(0.4, 0.6), period=rng.uniform(25, 45))
    base = rng.uniform(0.05, 0.3) * limit
    top = load.level * (1 + load.wave) * hold
    each = (limit - base - _PYTHON) / top * rng.uniform(0.92, 1.05)
    return Plan("python", "sessions", limit, load, {"base": base, "each": each, "hold": hold})


def _low_heap_java(rng: random.Random) -> Plan:
    limit, load = rng.choice([96, 112, 128]) * MIB, _waves(rng)
    parameters = {"each": rng.uniform(0.5, 0.9) * MIB, "live": rng.uniform(6, 16) * MIB}
    heap = int(limit / MIB * rng.uniform(1.2, 2))
    options = (f"-Xmx{heap}m", f"-Xmn{int(heap * 0.8)}m", "-XX:+UseSerialGC")
    return Plan("java", "garbage", limit, load, parameters, options=options)


def _healthy_steady_c(rng: random.Random) -> Plan:
    limit, part = _limit(rng), rng.uniform(0.01, 0.025)
    base = limit * rng.uniform(0.3, 0.5)
    return Plan("c", "noise", limit, _waves(rng, _SHORT), {"base": base, "each": part * limit})


def _healthy_waves_python(rng: random.Random) -> Plan:
    limit, hold = _limit(rng), rng.uniform(2, 5)
    load = _load(rng, _SHORT, wave=rng.uniform(0.5, 0.7), period=rng.uniform(20, 70))
    base = rng.uniform(0.05, 0.3) * limit
    each = (limit - base - _PYTHON) / (load.level * (1 + load.wave) * hold) * rng.uniform(0.4, 0.55)
    return Plan("python", "sessions", limit, load, {"base": base, "each": each, "hold": hold})


def _healthy_collector_python(rng: random.Random) -> Plan:
    limit, every = _limit(rng), rng.randint(40, 150)
    base, garbage = rng.uniform(0.02, 0.3) * limit, rng.uniform(0.1, 0.3) * limit / every
    parameters = {"base": base, "every": every, "garbage": garbage}
    return Plan("python", "collector", limit, _waves(rng, _SHORT), parameters)


def _healthy_cache_python(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng, _SHORT)
    base, keys = rng.uniform(0.02, 0.2) * limit, int(load.level * rng.uniform(12, 35))
    each = (limit - base - _PYTHON) * rng.uniform(0.4, 0.7) / keys
    return Plan("python", "cache", limit, load, {"base": base, "keys": keys, "each": each})


def _healthy_page_cache_c(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng, _SHORT)
    base = rng.uniform(0.2, 0.6) * limit
    parameters = {"base": base, "each": 4, "hold": 0.3}
    return Plan("c", "read", limit, load, parameters, reads=True)


def _healthy_java(rng: random.Random) -> Plan:
    limit, load = rng.choice([128, 160, 192]) * MIB, _waves(rng, _SHORT)
    parameters = {"each": rng.uniform(0.3, 1) * MIB, "live": rng.uniform(4, 10) * MIB}
    return Plan("java", "garbage", limit, load, parameters, options=("-Xmx40m", "-XX:+UseSerialGC"))


def _child_burst_python(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng, 120)
    base = rng.uniform(0.1, 0.3) * limit
    large = (limit - base - 2 * _PYTHON) * rng.uniform(0.75, 0.9)
    parameters = {"base": base, "each": 0, "large": large, "chance": 1 / load.level / rng.uniform(8, 15)}
    return Plan("python", "jobs", limit, load, parameters, group=False)


def _child_leak_python(rng: random.Random) -> Plan:
    limit, load = _limit(rng), _waves(rng)
    base = rng.uniform(0.1, 0.3) * limit
    each = _kept(rng, load, limit - base - 2 * _PYTHON)
    return Plan("python", "jobs", limit, load, {"base": base, "each": each}, group=False)


def _ancestor_limit_c(rng: random.Random) -> Plan:
    limit, load, part = _limit(rng), _waves(rng, 120), rng.uniform(0.01, 0.02)
    base = limit * rng.uniform(0.4, 0.6)
    room = limit * rng.uniform(1.6, 2)
    pace = (room - base) / rng.uniform(80, 140)
    neighbour = {"each": pace, "most": room - 0.3 * base, "listen": 0}
    parameters = {"base": base, "each": part * limit}
    return Plan("c", "noise", limit, load, parameters, neighbour=neighbour, ancestor_limit=int(room))


def _external_kill_python(rng: random.Random) -> Plan:
    limit, load, hold = _limit(rng), _waves(rng, _SHORT), rng.uniform(1, 3)
    base = rng.uniform(0.2, 0.5) * limit
    each = 0.1 * limit / load.level / hold
    parameters = {"base": base, "each": each, "hold": hold}
    return Plan("python", "sessions", limit, load, parameters, kill_after=rng.uniform(24, 40))


_ALL = (
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
    _growth_load_ramp_python,
    _growth_load_waves_c,
    _growth_load_node,
    _growth_data_python,
    _growth_redis_append_only,
    _growth_version,
    _low_steady_c,
    _low_cache_python,
    _low_cache_redis,
    _low_startup_python,
    _low_burst_c,
    _low_burst_crowd_python,
    _low_burst_fork_c,
    _low_waves_python,
    _low_heap_java,
    _healthy_steady_c,
    _healthy_waves_python,
    _healthy_collector_python,
    _healthy_cache_python,
    _healthy_page_cache_c,
    _healthy_java,
    _child_burst_python,
    _child_leak_python,
    _ancestor_limit_c,
    _external_kill_python,
)

FAMILIES: Mapping[str, Callable[[random.Random], Plan]] = {make.__name__[1:].replace("_", "-"): make for make in _ALL}


def plan(family: str, seed: int) -> Plan:
    """Return what this family does with this seed. Raises KeyError for a family that is not known."""
    return FAMILIES[family](random.Random(f"{family}/{seed}"))  # noqa: S311 - a workload, no secret
