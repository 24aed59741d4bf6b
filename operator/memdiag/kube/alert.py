"""What people were told of a diagnosis, kept in its status: a crash loses no message and repeats one at most."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from memdiag.kube.fields import Count, Shape, Time
from memdiag.model.occasion import Occasion, Severity
from memdiag.model.verdict import Cause

MOST_SENT = 32
LONGEST_CHANNEL = 80
"""Slack's own bound of a channel's name."""

Channel = Annotated[str, Field(max_length=LONGEST_CHANNEL + 1)]
Identity = Annotated[str, Field(max_length=64)]


class AlertPicture(StrEnum):
    """What became of the chart."""

    SENT = "Sent"
    REFUSED = "Refused"
    NONE = "None"
    """There was nothing to draw, or it could not be drawn."""


class AlertClaim(Shape):
    """A message that is about to be sent: written before it is sent, and removed once it is accepted."""

    occasion: Occasion
    time: Time
    attempt: Count = 1
    """How often it was begun; above 1, an operator ended before it could write down that Slack accepted the message."""


class AlertTold(Shape):
    """What the last message said."""

    cause: Cause
    severity: Severity
    resolved: bool = False
    kills: Count = 0
    """Kills that the message, or its last update, counted."""


class AlertRefusal(Shape):
    """Slack does not take messages, and trying the same again at once would not help."""

    code: Annotated[str, Field(max_length=64)]
    """Slack's word for it."""
    time: Time


class Alert(Shape):
    """The alert of one diagnosis."""

    channel: Channel | None = None
    """The channel that was asked for; absent with a webhook, which has its own."""
    channel_id: Identity | None = None
    thread: Identity | None = None
    """The time stamp by which Slack knows the first message; absent with a webhook, which tells none."""
    in_summary: bool = False
    """The first message is a summary that tells of other diagnoses too."""
    claim: AlertClaim | None = None
    told: AlertTold | None = None
    sent: Annotated[tuple[Time, ...], Field(max_length=MOST_SENT)] = ()
    """When messages of the last hour were accepted, oldest first; the last one is kept longer."""
    picture: AlertPicture | None = None
    """What became of the chart; absent before it was tried, and with a webhook."""
    refusal: AlertRefusal | None = None
