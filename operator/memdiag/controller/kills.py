"""Count kills exactly once, whatever is interrupted: the total and what it counted are written in one update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memdiag.controller.traces import Incident
from memdiag.kube.memory_diagnosis import MOST_COUNTED, MOST_RECENT, Kills, RecentKill
from memdiag.model.report import from_rfc3339, rfc3339

KEPT_INCIDENTS = 20
"""Incidents kept of one workload's container."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The new account, and what follows from it."""

    kills: Kills
    uncounted: int
    """Incidents that did not fit into this update and wait for the next."""
    expendable: tuple[str, ...]
    """Names of counted incidents beyond those that are kept, oldest first; to be deleted once this is written."""


def tally(before: Kills, incidents: Sequence[Incident]) -> Tally:
    """Add the incidents that are not part of the account yet.

    An incident's name is its identity and stays in `counted` for as long as the object exists, so a crash between
    creating incidents and writing the account, or in the middle of either, neither loses nor doubles a kill.
    """
    by_name = {incident.name: incident for incident in incidents}
    counted = [name for name in before.counted if name in by_name]
    known = set(counted)
    waiting = sorted((one for one in incidents if one.name not in known), key=lambda one: one.time)
    fresh = waiting[: MOST_COUNTED - len(counted)]
    counted += [incident.name for incident in fresh]
    recent = {kill.incident: kill for kill in before.recent}
    for incident in fresh:
        recent[incident.name] = RecentKill(
            time=rfc3339(incident.time),
            pod=incident.spec.pod.name,
            kind=incident.spec.kill.kind,
            incident=incident.name,
        )
    newest = sorted(recent.values(), key=lambda kill: from_rfc3339(kill.time), reverse=True)[:MOST_RECENT]
    kills = Kills(
        total=before.total + len(fresh),
        last_time=newest[0].time if newest else before.last_time,
        recent=tuple(newest),
        counted=tuple(counted),
    )
    oldest_first = sorted(counted, key=lambda name: by_name[name].time)
    return Tally(kills, len(waiting) - len(fresh), tuple(oldest_first[: max(len(incidents) - KEPT_INCIDENTS, 0)]))
