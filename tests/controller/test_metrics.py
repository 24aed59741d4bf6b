"""The operator's metrics: every series from the start, labels from closed lists, errors counted where they happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from memdiag.controller import metricsdoc
from memdiag.controller.meteredapi import MeteredApi
from memdiag.controller.metrics import API_CODES, Metrics, api_code
from memdiag.kube.api import ApiError, ExpiredError, JsonObject, TransientError
from tests.controller.support import MemoryApi


def samples(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.expose().decode().splitlines() if line.startswith("memdiag_")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_every_series_is_there_from_the_start() -> None:
    found = samples(Metrics())
    assert found['memdiag_incidents_total{kind="Evicted",limit_hit="Node"}'] == 0
    assert found['memdiag_diagnoses_total{cause="Leak"}'] == 0
    assert found["memdiag_kill_to_diagnosis_seconds_count"] == 0
    assert not any("_created" in name for name in found)
    assert len(found) == sum(family.series for family in Metrics().families) + 2 * (14 - 1)  # the histograms' own


def test_a_gauge_is_read_when_asked() -> None:
    metrics = Metrics()
    metrics.read_gauge("memdiag_pods", lambda: 3.0)
    assert samples(metrics)["memdiag_pods"] == 3
    with pytest.raises(KeyError):
        metrics.read_gauge("memdiag_unknown", lambda: 0.0)


@pytest.mark.parametrize("status", [None, 0, 200, 302, 400, 401, 404, 418, 429, 500, 503, 599, 999])
def test_codes_are_a_closed_list(status: int | None) -> None:
    assert api_code(status) in API_CODES


class Failing(MemoryApi):
    """Fails every list and watch."""

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[JsonObject]:
        yield from _broken(TransientError(f"overloaded: {path} {query}", 429))

    def watch(self, path: str, query: object, read_timeout: float) -> Iterator[JsonObject]:
        yield from _broken(ExpiredError(f"too old: {path} {query} {read_timeout}", 410))


def _broken(error: ApiError) -> list[JsonObject]:
    raise error


def test_errors_are_counted_and_handed_on() -> None:
    metrics = Metrics()
    api = MeteredApi(Failing(), metrics)
    place = "/api/v1/namespaces/a/pods/b"
    for call in (
        lambda: api.get(place),
        lambda: list(api.pages(place)),
        lambda: list(api.watch(place, {}, 1)),
        lambda: api.patch(place, {}),
        lambda: api.replace(place, {"metadata": {"resourceVersion": "1"}}),
    ):
        with pytest.raises(ApiError):
            call()
    api.delete(place)
    api.create("/api/v1/namespaces/a/pods", {"metadata": {"name": "b"}})
    found = samples(metrics)
    assert [found[f'memdiag_api_errors_total{{code="{code}"}}'] for code in ("404", "410", "429", "5xx")] == [
        3,
        1,
        1,
        0,
    ]


def test_the_page_follows_from_the_metrics(tmp_path: object) -> None:
    assert metricsdoc.main(["--check"]) == 0
