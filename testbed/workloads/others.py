"""Families that are healthy, or that are killed for what is not in the container."""

from __future__ import annotations

import random

from testbed.workloads.draws import (
    NODE,
    POSTGRES,
    PYTHON,
    SHORT,
    a_limit,
    any_limit,
    any_load,
    plain_load,
    wavy_load,
)
from testbed.workloads.plan import MIB, Plan


def _healthy_steady_c(rng: random.Random) -> Plan:
    limit, part = a_limit(rng), rng.uniform(0.01, 0.025)
    base = limit * rng.uniform(0.3, 0.5)
    return Plan("c", "noise", limit, wavy_load(rng, SHORT), {"base": base, "each": part * limit})


def _healthy_waves_python(rng: random.Random) -> Plan:
    limit, hold = a_limit(rng), rng.uniform(2, 5)
    load = plain_load(rng, SHORT, wave=rng.uniform(0.5, 0.7), period=rng.uniform(20, 70))
    base = rng.uniform(0.05, 0.3) * limit
    each = (limit - base - PYTHON) / (load.level * (1 + load.wave) * hold) * rng.uniform(0.4, 0.55)
    return Plan("python", "sessions", limit, load, {"base": base, "each": each, "hold": hold})


def _healthy_collector_python(rng: random.Random) -> Plan:
    limit, every = a_limit(rng), rng.randint(40, 150)
    base, garbage = rng.uniform(0.02, 0.3) * limit, rng.uniform(0.1, 0.3) * limit / every
    parameters = {"base": base, "every": every, "garbage": garbage}
    return Plan("python", "collector", limit, wavy_load(rng, SHORT), parameters)


def _healthy_cache_python(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng, SHORT)
    base, keys = rng.uniform(0.02, 0.2) * limit, int(load.level * rng.uniform(12, 35))
    each = (limit - base - PYTHON) * rng.uniform(0.4, 0.7) / keys
    return Plan("python", "cache", limit, load, {"base": base, "keys": keys, "each": each})


def _healthy_page_cache_c(rng: random.Random) -> Plan:
    limit, load = a_limit(rng), wavy_load(rng, SHORT)
    base = rng.uniform(0.2, 0.6) * limit
    parameters = {"base": base, "each": 4, "hold": 0.3}
    return Plan("c", "read", limit, load, parameters, reads=True)


def _healthy_java(rng: random.Random) -> Plan:
    limit, load = rng.choice([128, 160, 192]) * MIB, wavy_load(rng, SHORT)
    parameters = {"each": rng.uniform(0.3, 1) * MIB, "live": rng.uniform(4, 10) * MIB}
    return Plan("java", "garbage", limit, load, parameters, options=("-Xmx40m", "-XX:+UseSerialGC"))


def _ancestor_limit_c(rng: random.Random) -> Plan:
    limit, load, part = a_limit(rng), wavy_load(rng, 120), rng.uniform(0.01, 0.02)
    base = limit * rng.uniform(0.4, 0.6)
    room = limit * rng.uniform(1.6, 2)
    pace = (room - base) / rng.uniform(80, 140)
    neighbour = {"each": pace, "most": room - 0.3 * base, "listen": 0}
    parameters = {"base": base, "each": part * limit}
    return Plan("c", "noise", limit, load, parameters, neighbour=neighbour, ancestor_limit=int(room))


def _external_kill_python(rng: random.Random) -> Plan:
    limit, load, hold = a_limit(rng), wavy_load(rng, SHORT), rng.uniform(1, 3)
    base = rng.uniform(0.2, 0.5) * limit
    each = 0.1 * limit / load.level / hold
    parameters = {"base": base, "each": each, "hold": hold}
    return Plan("python", "sessions", limit, load, parameters, kill_after=rng.uniform(24, 40))


def _healthy_tiny_c(rng: random.Random) -> Plan:
    limit, part = rng.choice([4, 6, 8, 10]) * MIB, rng.uniform(0.005, 0.02)
    return Plan(
        "c", "noise", limit, any_load(rng, SHORT), {"base": limit * rng.uniform(0.1, 0.4), "each": part * limit}
    )


def _healthy_warmup_python(rng: random.Random) -> Plan:
    limit, load, hold = any_limit(rng), any_load(rng), rng.uniform(0.5, 2)
    parameters = {"base": rng.uniform(0.02, 0.2) * limit, "seconds": rng.uniform(15, 40), "hold": hold}
    parameters["each"] = rng.uniform(0.3, 0.5) * limit
    return Plan("python", "warmup", limit, load, {**parameters, "request": 0.03 * limit / load.level / hold})


def _healthy_cache_scan_node(rng: random.Random) -> Plan:
    limit, load = rng.choice([80, 96, 128, 160]) * MIB, wavy_load(rng, SHORT)
    free, keys = limit - NODE, int(load.level * rng.uniform(12, 45))
    parameters = {"keys": keys, "each": rng.uniform(0.4, 0.65) * free / keys, "scan": 1}
    return Plan("node", "cache", limit, load, parameters)


def _healthy_node(rng: random.Random) -> Plan:
    limit, load, hold = rng.choice([80, 96, 128, 160]) * MIB, any_load(rng, SHORT), rng.uniform(1, 4)
    each = (limit - NODE) * rng.uniform(0.1, 0.2) / load.level / hold
    return Plan("node", "sessions", limit, load, {"each": each, "hold": hold})


def _healthy_redis(rng: random.Random) -> Plan:
    limit, load = rng.choice([24, 32, 48, 64]) * MIB, any_load(rng, SHORT)
    keys = int(load.level * rng.uniform(6, 30))
    return Plan(
        "redis", "bounded", limit, load, {"keys": keys, "each": rng.uniform(0.4, 0.7) * (limit - 6 * MIB) / keys}
    )


def _healthy_postgres(rng: random.Random) -> Plan:
    limit, load = rng.choice([64, 96, 128]) * MIB, any_load(rng, SHORT)
    parameters = {"large": rng.uniform(0.1, 0.3) * (limit - POSTGRES), "chance": 1 / load.level / rng.uniform(5, 20)}
    return Plan("postgres", "sorts", limit, load, parameters, options=("work_mem=1GB",))


def _ancestor_limit_python(rng: random.Random) -> Plan:
    limit, load, hold = a_limit(rng), wavy_load(rng), rng.uniform(1, 4)
    base, room_above = rng.uniform(0.2, 0.4) * limit, limit * rng.uniform(1.6, 2)
    parameters = {"base": base, "each": 0.1 * limit / load.level / hold, "hold": hold}
    level = base + 0.1 * limit + PYTHON
    pace = (room_above - level) / rng.uniform(80, 160)
    neighbour = {"each": pace, "most": room_above - 0.4 * level, "listen": 0}
    return Plan("python", "sessions", limit, load, parameters, neighbour=neighbour, ancestor_limit=int(room_above))


def _node_overcommit_c(rng: random.Random) -> Plan:
    limit, part = rng.choice([64, 80, 96, 128]) * MIB, rng.uniform(0.01, 0.02)
    base, memory = limit * rng.uniform(0.3, 0.5), rng.choice([224, 256, 288]) * MIB
    parameters = {"base": base, "each": part * limit}
    neighbour = {"seconds": rng.uniform(40, 90), "leaves": 0.5 * base, "listen": 0}
    return Plan("c", "noise", limit, wavy_load(rng, 130), parameters, neighbour=neighbour, node_memory=memory)


def _node_overcommit_python(rng: random.Random) -> Plan:
    limit, load, hold = rng.choice([64, 80, 96, 128]) * MIB, wavy_load(rng, 130), rng.uniform(1, 4)
    base, memory = limit * rng.uniform(0.2, 0.4), rng.choice([224, 256, 288]) * MIB
    parameters = {"base": base, "each": 0.1 * limit / load.level / hold, "hold": hold}
    neighbour = {"seconds": rng.uniform(40, 90), "leaves": 0.5 * base, "listen": 0}
    return Plan("python", "sessions", limit, load, parameters, neighbour=neighbour, node_memory=memory)


def _external_kill_c(rng: random.Random) -> Plan:
    limit, load, hold = any_limit(rng), any_load(rng, SHORT), rng.uniform(1, 3)
    parameters = {"base": rng.uniform(0.1, 0.6) * limit, "each": 0.1 * limit / load.level / hold, "hold": hold}
    return Plan("c", "sessions", limit, load, parameters, kill_after=rng.uniform(15, 45))


ALL = (
    _healthy_steady_c,
    _healthy_waves_python,
    _healthy_collector_python,
    _healthy_cache_python,
    _healthy_page_cache_c,
    _healthy_java,
    _ancestor_limit_c,
    _external_kill_python,
    _healthy_tiny_c,
    _healthy_warmup_python,
    _healthy_cache_scan_node,
    _healthy_node,
    _healthy_redis,
    _healthy_postgres,
    _ancestor_limit_python,
    _node_overcommit_c,
    _node_overcommit_python,
    _external_kill_c,
)
