"""Text for other people's screens: control signs out, what is too long cut where one sees it, Slack's signs escaped."""

from __future__ import annotations

CUT = " … (cut)"


def clean(text: str) -> str:
    """Return the text in one line without control, direction and zero-width signs, which could forge what is read."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def cut(text: str, most: int) -> str:
    """Return the text in at most that many characters, with a mark where something is missing."""
    return text if len(text) <= most else text[: max(most - len(CUT), 0)].rstrip() + CUT[:most]


def escape(text: str) -> str:
    """Return the text with the three signs escaped by which Slack knows links, mentions and commands.

    See https://docs.slack.dev/messaging/formatting-message-text (escaping text).
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
