"""Why people are told about a diagnosis, and how loudly: closed lists, and the order of the severities."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """How loudly a diagnosis is announced, mildest first."""

    INFO = "Info"
    WARNING = "Warning"
    CRITICAL = "Critical"

    @property
    def rank(self) -> int:
        """Where it stands: 0 is the mildest."""
        return list(Severity).index(self)


class Occasion(StrEnum):
    """Why a message is sent."""

    KILLED = "Killed"
    CAUSE_CHANGED = "CauseChanged"
    ESCALATED = "Escalated"
    RESOLVED = "Resolved"
    REOPENED = "Reopened"
