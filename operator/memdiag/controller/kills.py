"""Count kills exactly once, whatever is interrupted: the total and what it counted are written in one update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memdiag.controller.traces import Incident
from memdiag.kube.fields import LARGEST_INTEGER
from memdiag.kube.memory_diagnosis import MOST_COUNTED, MOST_FORGOTTEN, MOST_RECENT, Kills, RecentKill
from memdiag.model.identity import incident_key
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
    """Names of incidents that came again or are beyond those that are kept; to be deleted once this is written."""


def tally(before: Kills, incidents: Sequence[Incident], keep: int = KEPT_INCIDENTS) -> Tally:
    """Add the incidents that are not part of the account yet; at most `keep` are to stay.

    An incident's name is its identity and stays in `counted` for as long as the object exists, so a crash between
    creating incidents and writing the account, or in the middle of either, neither loses nor doubles a kill. Of one
    that is gone the end of its name is remembered: made anew by a report that came again, it is not counted again.
    """
    by_name = {incident.name: incident for incident in incidents}
    counted = [name for name in before.counted if name in by_name]
    gone = [incident_key(name) for name in before.counted if name not in by_name]
    forgotten = (*(one for one in before.forgotten if one not in gone), *gone)[-MOST_FORGOTTEN:]
    known = set(counted)
    again = [one.name for one in incidents if one.name not in known and incident_key(one.name) in forgotten]
    known.update(again)
    waiting = sorted((one for one in incidents if one.name not in known), key=lambda one: one.when)
    fresh = waiting[: MOST_COUNTED - len(counted)]
    counted += [incident.name for incident in fresh]
    recent = {kill.incident: kill for kill in before.recent}
    for incident in fresh:
        recent[incident.name] = RecentKill(
            time=rfc3339(incident.when),
            pod=incident.spec.pod.name,
            kind=incident.spec.kill.kind,
            incident=incident.name,
            count=None if incident.spec.kill.fold is None else incident.kills,
        )
    newest = sorted(recent.values(), key=lambda kill: from_rfc3339(kill.time), reverse=True)[:MOST_RECENT]
    kills = Kills(
        total=min(before.total + sum(incident.kills for incident in fresh), LARGEST_INTEGER),
        last_time=newest[0].time if newest else before.last_time,
        recent=tuple(newest),
        counted=tuple(counted),
        forgotten=forgotten,
        before_install=min(
            before.before_install + sum(one.kills for one in fresh if one.spec.found_before_install), LARGEST_INTEGER
        ),
    )
    oldest_first = sorted(counted, key=lambda name: by_name[name].when)
    beyond = max(len(incidents) - len(again) - keep, 0)
    return Tally(kills, len(waiting) - len(fresh), (*again, *oldest_first[:beyond]))


def counted(kills: Kills, name: str) -> bool:
    """Say whether an incident is part of the account, also one that is gone."""
    return name in kills.counted or incident_key(name) in kills.forgotten
