"""Read the settings of alerts: one JSON file, which the chart writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from memdiag.alerts.routing import Allowed, Route
from memdiag.model.occasion import Severity
from memdiag.model.verdict import Cause

API = "https://slack.com/api/"
_T = TypeVar("_T", bound=StrEnum)
_V = TypeVar("_V", str, tuple[str, ...])


class SettingsError(ValueError):
    """The settings cannot be used; the text names file, key and remedy."""


class Method(StrEnum):
    """How messages get to Slack."""

    BOT = "bot"
    WEBHOOK = "webhook"

    @property
    def key(self) -> str:
        """The key of the Secret, which is the name of the mounted file as well."""
        return {Method.BOT: "bot-token", Method.WEBHOOK: "webhook-url"}[self]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the chart's `alerts` values say."""

    cluster: str | None = None
    method: Method = Method.BOT
    channel: str | None = None
    routes: tuple[Route, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_severity: Severity = Severity.WARNING
    cooldown: float = 600.0
    """Seconds between two messages about one diagnosis."""
    budget: int = 30
    """Messages an hour about one namespace."""
    storm_workloads: int = 5
    """So many new diagnoses of a namespace, or of a node that ran out of memory, become one summary."""
    storm_seconds: float = 60.0
    pictures: bool = True
    base_url: str = API
    proxy: str | None = None

    def channels(self) -> frozenset[str]:
        """Return every channel that a message may go to."""
        named = {self.channel, *(route.channel for route in self.routes)}
        return frozenset(name for name in named if name) | {name for rule in self.allowed for name in rule.channels}


def load(path: Path) -> Settings:
    """Return the settings of a file. Raises SettingsError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: no JSON: {error}") from error
    try:
        return parse(found)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def parse(found: Any) -> Settings:
    """Return the settings of a decoded file. Raises SettingsError, naming the key as the chart's values have it."""
    top = _Reader(found, "alerts", {"clusterName", "slack"})
    slack = _Reader(
        top.raw("slack", {}),
        "alerts.slack",
        {
            "method", "channel", "routes", "allowedChannels", "namespaces", "minSeverity", "cooldownMinutes",
            "budgetPerHour", "storm", "pictures", "baseURL", "proxy",
        },
    )  # fmt: skip
    spaces = _Reader(slack.raw("namespaces", {}), "alerts.slack.namespaces", {"include", "exclude"})
    storm = _Reader(slack.raw("storm", {}), "alerts.slack.storm", {"workloads", "seconds"})
    default = Settings()
    settings = Settings(
        cluster=top.text("clusterName") or None,
        method=slack.choice("method", Method, default.method),
        channel=slack.text("channel") or None,
        routes=tuple(_route(one, place) for one, place in slack.each("routes")),
        allowed=tuple(_allowed(one, place) for one, place in slack.each("allowedChannels")),
        include=spaces.texts("include"),
        exclude=spaces.texts("exclude"),
        min_severity=slack.choice("minSeverity", Severity, default.min_severity),
        cooldown=slack.number("cooldownMinutes", default.cooldown / 60, 0, 10_080) * 60,
        budget=int(slack.number("budgetPerHour", default.budget, 1, 3600)),
        storm_workloads=int(storm.number("workloads", default.storm_workloads, 2, 1000)),
        storm_seconds=storm.number("seconds", default.storm_seconds, 1, 3600),
        pictures=slack.flag("pictures", default=default.pictures),
        base_url=_url(slack, "baseURL") or API,
        proxy=_url(slack, "proxy"),
    )
    if settings.method is Method.WEBHOOK and settings.channels():
        raise SettingsError(
            "alerts.slack.method is webhook: a webhook has one channel of its own; remove channel, routes and "
            "allowedChannels, or use a bot token"
        )
    if settings.method is Method.BOT and settings.channel is None:
        raise SettingsError(
            "alerts.slack.channel: with a bot token a channel is needed, such as #alerts or C0123456789"
        )
    return settings


class _Reader:
    """One object of the file; every method raises SettingsError with the key's place."""

    def __init__(self, found: Any, place: str, known: set[str]) -> None:
        if not isinstance(found, Mapping):
            raise SettingsError(f"{place}: should be an object")
        unknown = sorted(set(found) - known)
        if unknown:
            raise SettingsError(f"{place}: unknown key {unknown[0]}; known are {', '.join(sorted(known))}")
        self._found = found
        self._place = place

    def raw(self, key: str, default: Any) -> Any:
        value = self._found.get(key)
        return default if value is None else value

    def text(self, key: str) -> str:
        value = self.raw(key, "")
        if not isinstance(value, str) or len(value) > 512:
            raise SettingsError(f"{self._place}.{key}: should be a short text")
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.raw(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise SettingsError(f"{self._place}.{key}: should be a list of texts")
        return tuple(value)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise SettingsError(f"{self._place}.{key}: should be true or false")
        return value

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise SettingsError(f"{self._place}.{key}: should be a number between {least:g} and {most:g}")
        return float(value)

    def choice(self, key: str, kinds: type[_T], default: _T) -> _T:
        return _one_of(self.raw(key, default), kinds, f"{self._place}.{key}")

    def each(self, key: str) -> list[tuple[Any, str]]:
        value = self.raw(key, [])
        if not isinstance(value, list):
            raise SettingsError(f"{self._place}.{key}: should be a list")
        return [(one, f"{self._place}.{key}[{number}]") for number, one in enumerate(value)]


def _one_of(value: Any, kinds: type[_T], place: str) -> _T:
    by_name: Mapping[str, _T] = {kind.value.lower(): kind for kind in kinds}
    found = by_name.get(str(value).lower())
    if found is None:
        raise SettingsError(f"{place}: {str(value)[:40]} is none of {', '.join(kinds)}")
    return found


def _needed(key: str, place: str, read: Callable[[str], _V]) -> _V:
    value = read(key)
    if not value:
        raise SettingsError(f"{place}.{key}: is needed")
    return value


def _route(found: Any, place: str) -> Route:
    reader = _Reader(found, place, {"channel", "namespaces", "causes", "minSeverity"})
    return Route(
        _needed("channel", place, reader.text),
        reader.texts("namespaces"),
        tuple(_one_of(one, Cause, f"{place}.causes") for one in reader.texts("causes")),
        reader.choice("minSeverity", Severity, Severity.INFO),
    )


def _allowed(found: Any, place: str) -> Allowed:
    reader = _Reader(found, place, {"namespaces", "channels"})
    return Allowed(_needed("namespaces", place, reader.texts), _needed("channels", place, reader.texts))


def _url(reader: _Reader, key: str) -> str | None:
    text = reader.text(key)
    if text and not text.startswith(("https://", "http://")):
        raise SettingsError(f"alerts.slack.{key}: should begin with https:// or http://")
    return text or None
