"""Which channel a diagnosis goes to, and whether anybody wants to hear of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from memdiag.model.occasion import Severity
from memdiag.model.verdict import Cause

ANNOTATION = "memdiag.dev/slack-channel"
"""On a workload or its namespace: the channel that its owners would like."""


@dataclass(frozen=True, slots=True)
class Route:
    """The first route that fits a diagnosis says its channel; what is empty fits all."""

    channel: str
    namespaces: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    min_severity: Severity = Severity.INFO

    def fits(self, namespace: str, cause: Cause, severity: Severity) -> bool:
        """Say whether this route is for a diagnosis."""
        return (
            (not self.namespaces or _named(namespace, self.namespaces))
            and (not self.causes or cause in self.causes)
            and severity.rank >= self.min_severity.rank
        )


@dataclass(frozen=True, slots=True)
class Allowed:
    """Channels that owners in these namespaces may choose by annotation."""

    namespaces: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The channel, and what to say of an annotation that was not heeded."""

    channel: str | None
    refused: str | None = None


def channel_name(text: str) -> str:
    """Return a channel's name as it is compared: without the number sign, lower case; an ID stays as it is."""
    bare = text.strip().removeprefix("#")
    return bare if bare.isupper() else bare.lower()


def choose(
    namespace: str,
    cause: Cause,
    severity: Severity,
    *,
    default: str | None,
    routes: Sequence[Route],
    allowed: Sequence[Allowed],
    wish: str | None,
) -> Choice:
    """Return the channel: what the owners wish where the values allow it, else the first route's, else the default."""
    planned = next((route.channel for route in routes if route.fits(namespace, cause, severity)), default)
    if wish is None:
        return Choice(planned)
    for rule in allowed:
        if _named(namespace, rule.namespaces):
            for channel in rule.channels:
                if channel_name(channel) == channel_name(wish):
                    return Choice(channel)
    return Choice(planned, wish)


def wanted(namespace: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Say whether the rules let a namespace's alerts through."""
    return (not include or _named(namespace, include)) and not _named(namespace, exclude)


def _named(namespace: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(namespace, pattern) for pattern in patterns)
