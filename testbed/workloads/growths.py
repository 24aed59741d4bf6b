"""Families whose demand is load, calendar time or the revision: growth."""

from __future__ import annotations

import random

from testbed.workloads.draws import NODE, PYTHON, a_limit, any_limit, room, session_load, wavy_load
from testbed.workloads.plan import MIB, Plan


def _growth_load_ramp_python(rng: random.Random) -> Plan:
    limit, hold = a_limit(rng), rng.uniform(6, 12)
    load = session_load(rng, wave=rng.uniform(0.1, 0.3), period=rng.uniform(15, 40), ramp=rng.uniform(1.5, 3))
    base = rng.uniform(0.02, 0.3) * limit
    top = load.level * (1 + load.ramp * rng.uniform(0.6, 0.8)) * hold
    return Plan("python", "sessions", limit, load, {"base": base, "each": (limit - base - PYTHON) / top, "hold": hold})


def _growth_load_waves_c(rng: random.Random) -> Plan:
    limit, hold = a_limit(rng), rng.uniform(4, 8)
    load = session_load(rng, wave=rng.uniform(0.3, 0.5), period=rng.uniform(25, 50), ramp=rng.uniform(1, 1.8))
    base = rng.uniform(0.05, 0.3) * limit
    top = load.level * (1 + load.ramp * rng.uniform(0.55, 0.75)) * (1 + load.wave) * hold
    return Plan("c", "sessions", limit, load, {"base": base, "each": (limit - base) / top, "hold": hold})


def _growth_load_node(rng: random.Random) -> Plan:
    limit, hold = rng.choice([96, 128, 160]) * MIB, rng.uniform(6, 12)
    load = session_load(rng, wave=rng.uniform(0.1, 0.3), period=rng.uniform(15, 40), ramp=rng.uniform(1.5, 3))
    top = load.level * (1 + load.ramp * rng.uniform(0.6, 0.8)) * hold
    return Plan("node", "sessions", limit, load, {"each": (limit - NODE) / top, "hold": hold})


def _growth_data_python(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng)
    base = rng.uniform(0.3, 0.5) * limit
    each = (limit - base - PYTHON) / (load.seconds * rng.uniform(0.7, 0.9))
    parameters = {"base": base, "each": each, "request": limit / 200}
    return Plan("python", "data", limit, load, parameters, restart_every=rng.uniform(28, 40), calendar=True)


def _growth_redis_append_only(rng: random.Random) -> Plan:
    limit, load = rng.choice([32, 48, 64]) * MIB, wavy_load(rng)
    each = (limit - 8 * MIB) / (load.seconds * rng.uniform(0.65, 0.85)) / load.level
    return Plan("redis", "new", limit, load, {"each": each}, restart_every=rng.uniform(28, 40), keeps_data=True)


def _growth_version(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng, 120)
    base, hold = rng.uniform(0.4, 0.6) * limit, rng.uniform(1, 3)
    each = rng.uniform(0.08, 0.15) * limit / load.level / hold
    more = limit * rng.uniform(0.78, 0.86)
    parameters = {"base": base, "each": each, "hold": hold}
    return Plan("c", "sessions", limit, load, parameters, later={**parameters, "base": more}, restart_every=45)


def _growth_load_steps_c(rng: random.Random) -> Plan:
    limit, hold, step = any_limit(rng), rng.uniform(7, 14), rng.uniform(1.2, 1.5)
    count = rng.randint(5, 7)
    load = session_load(rng, steps=tuple(step**number for number in range(count)))
    base = rng.uniform(0.05, 0.4) * limit
    highest = load.level * step ** (count - 2) * hold
    return Plan("c", "sessions", limit, load, {"base": base, "each": (limit - base) / highest, "hold": hold})


def _growth_data_c(rng: random.Random) -> Plan:
    limit, load = any_limit(rng), wavy_load(rng)
    base = rng.uniform(0.2, 0.5) * limit
    parameters = {"base": base, "request": 0.04 * limit / load.level}
    parameters["each"] = (limit - base) / (load.seconds * rng.uniform(0.6, 0.85))
    return Plan("c", "data", limit, load, parameters, restart_every=rng.uniform(20, 40), calendar=True)


def _growth_version_python(rng: random.Random) -> Plan:
    limit, load = any_limit(rng), wavy_load(rng)
    free, hold = limit - PYTHON, rng.uniform(1, 3)
    base, peak = rng.uniform(0.3, 0.5) * free, load.level * (1 + load.wave) * hold
    parameters = {"base": base, "each": room(0.2 * free, peak, 2), "hold": hold}
    later = {**parameters, "base": free * (0.8 + rng.uniform(0.02, 0.06))}
    return Plan("python", "sessions", limit, load, parameters, later=later, rolled_out_after=rng.uniform(35, 60))


ALL = (
    _growth_load_ramp_python,
    _growth_load_waves_c,
    _growth_load_node,
    _growth_data_python,
    _growth_redis_append_only,
    _growth_version,
    _growth_load_steps_c,
    _growth_data_c,
    _growth_version_python,
)
