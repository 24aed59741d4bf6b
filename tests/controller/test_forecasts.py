"""A trend report becomes a forecast on the diagnosis, with the real verdict, and never an incident."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import pytest

from memdiag.controller.forecasts import forecast_of
from memdiag.diagnosis.engine import diagnose
from memdiag.kube.kinds import DIAGNOSIS, REPORT
from memdiag.model.history import HistoryRun, encode
from memdiag.model.kill import LimitHit
from memdiag.model.report import from_rfc3339, rfc3339
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.trend import Trend, TrendReport, trend_to_object
from memdiag.model.verdict import Action, Diagnosis, Forecast, Recommendation
from tests.controller.shop import NOW, Shop, until
from tests.controller.support import MIB, OWN_NAMESPACE, identity, ramp, report, report_object, running


@pytest.fixture
def now() -> float:
    """Give the time itself: a trend is good for an hour."""
    return float(int(time.time()))


def judged(trace: Trace, siblings: Any, limit_hit: LimitHit | None, surroundings: Surroundings) -> Diagnosis:
    return diagnose(trace, siblings, limit_hit=limit_hit, surroundings=surroundings)


def trend_object(number: int, *, at: float, high: int = 110, **facts: Any) -> dict[str, Any]:
    samples = ramp(at, seconds=3000, high=high * MIB)
    report = TrendReport(
        **{
            "node": "node-a",
            "boot_id": "5a0e3d1c-0000-4000-8000-000000000001",
            "pod_uid": "uid-1",
            "container_id": identity(number),
            "ordinal": 1,
            "time": at,
            "trend": Trend(high * MIB, 128 * MIB, 0.03 * MIB, 540.0, 500.0, 600.0, 3000.0),
            "history": encode([(HistoryRun(identity(number), samples[0].t, None), samples)]),
            **facts,
        }
    )
    return trend_to_object(report, f"trend-{number}", OWN_NAMESPACE)


async def take(shop: Shop, body: Mapping[str, Any]) -> None:
    shop.api.put(REPORT.path(OWN_NAMESPACE, body["metadata"]["name"]), dict(body))
    shop.worker.put(body)
    await until(shop.done)


def told(shop: Shop, body: Mapping[str, Any]) -> None:
    async def scene() -> None:
        async with shop.at_work():
            await take(shop, body)

    asyncio.run(scene())


def status(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = shop.api.objects[DIAGNOSIS.path("shop", "pod-web-app")]["status"]
    return found


def shop_now() -> Shop:
    shop = Shop(judge=judged)
    shop.pod(running("app", identity(1)))
    return shop


def test_a_trend_becomes_a_forecast_without_a_kill(now: float) -> None:
    shop = shop_now()
    told(shop, trend_object(1, at=now))
    assert shop.incidents == []
    found = status(shop)
    assert "cause" not in found
    assert found["suspicion"]["cause"] in ("Leak", "Growth")
    assert found["limit"] == "128Mi"
    ahead = from_rfc3339(found["forecast"]["reachesLimitTime"]) - now
    assert 300 < ahead < 900
    assert found["forecast"]["pod"] == "web"
    assert found["kills"]["total"] == 0
    assert {one["type"]: one["reason"] for one in found["conditions"]}["Diagnosed"] == "NoKill"


def test_a_trend_that_the_verdict_does_not_see_makes_nothing(now: float) -> None:
    shop = shop_now()
    told(shop, trend_object(1, at=now, high=20))
    assert shop.named("memorydiagnoses") == []


def test_a_trend_of_long_ago_is_no_forecast(now: float) -> None:
    shop = shop_now()
    told(shop, trend_object(1, at=now - 3000))
    assert shop.named("memorydiagnoses") == []


def test_a_trend_of_another_nodes_pod_is_refused(now: float) -> None:
    shop = shop_now()
    told(shop, trend_object(1, at=now, node="node-of-a-thief"))
    assert shop.named("memorydiagnoses") == []


def test_beside_counted_kills_only_the_forecast_changes_and_the_next_kill_takes_it_away(now: float) -> None:
    shop = shop_now()
    shop.pod(running("app", identity(2), restarts=1))

    async def scene() -> None:
        async with shop.at_work():
            await take(shop, kill(1))
            before = status(shop)
            assert before["kills"]["total"] == 1
            await take(shop, trend_object(2, at=now))
            after = status(shop)
            assert after.pop("forecast")["time"] == rfc3339(now)
            assert after == before
            await take(shop, kill(2))
            assert status(shop)["kills"]["total"] == 2
            assert "forecast" not in status(shop)

    asyncio.run(scene())


def test_a_trend_under_way_is_no_word_of_a_kill(now: float) -> None:
    shop = Shop(judge=judged)

    async def scene() -> None:
        shop.worker.put(trend_object(1, at=now))
        assert not shop.worker.expects(identity(1))

    asyncio.run(scene())


def kill(number: int) -> dict[str, Any]:
    return report_object(f"kill-{number}", report("uid-1", identity(number), NOW + number))


@pytest.mark.parametrize("high", [1e13, float("inf")])
def test_a_bound_beyond_all_clocks_is_perhaps_never(high: float) -> None:
    advice = Recommendation(Action.NONE, None, None, None, "")
    found = Diagnosis(None, None, 0.0, "", (), (), advice, forecast=Forecast(600.0, 500.0, high))
    made = forecast_of(found, "web", NOW)
    assert made is not None
    assert (made.latest_time, made.reaches_limit_time) == (None, rfc3339(NOW + 600))
    assert forecast_of(dataclasses.replace(found, forecast=Forecast(high, 1.0, None)), "web", NOW) is None
