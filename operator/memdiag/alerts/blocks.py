"""From a message to Block Kit within Slack's limits: everything that varies stands in plain text, links are none.

The limits are those of https://docs.slack.dev/reference/block-kit/blocks: a header of 150 characters, a section of
3,000, 50 blocks a message. All blocks together are refused (`msg_blocks_too_long`) from about 13,000 characters on,
which Slack does not document; this stays far below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    PlainTextObject,
    RichTextBlock,
    RichTextElementParts,
    RichTextPreformattedElement,
    SectionBlock,
)

from memdiag.alerts.message import Colour, Line, Message
from memdiag.alerts.text import clean, cut, escape

LONGEST_HEADER = 150
LONGEST_SECTION = 3000
LONGEST_LINE = 1200
LONGEST_COMMAND = 2500
"""A longer one is left out: half a command would be a wrong one. So is one with signs that are not seen as they are."""
LONGEST_NOTICE = 600
LONGEST_ALL = 10_000
MOST_BLOCKS = 50
_SIGNS = {
    Colour.INFO: "\N{LARGE BLUE CIRCLE}",
    Colour.WARNING: "\N{LARGE ORANGE CIRCLE}",
    Colour.CRITICAL: "\N{LARGE RED CIRCLE}",
    Colour.RESOLVED: "\N{LARGE GREEN CIRCLE}",
}
_LEFT_OUT = "The rest is left out here (cut): the command below, or kubectl get memorydiagnosis -A, shows all."


@dataclass(frozen=True, slots=True)
class Rendered:
    """What Slack is sent: blocks, and the text of notifications and of screen readers."""

    text: str
    blocks: tuple[dict[str, Any], ...]


def render(message: Message, notices: tuple[str, ...] = ()) -> Rendered:
    """Return the message in Block Kit, with remarks on the alert itself at its end."""
    title = f"{_SIGNS[message.colour]} {clean(message.title)}"
    blocks: list[Block] = [HeaderBlock(text=_plain(title, LONGEST_HEADER))]
    blocks += _lines(message.lines)
    remarks = [text for text in map(clean, (message.footer, *notices)) if text]
    blocks.append(ContextBlock(elements=[_plain(text, LONGEST_NOTICE) for text in remarks]))
    why = next((line.text for line in message.lines if line.label == "Why"), "")
    fallback = cut(f"{title}. {clean(why)}" if why else title, 300)
    return Rendered(escape(fallback), tuple(block.to_dict() for block in blocks))


def _lines(lines: tuple[Line, ...]) -> list[Block]:
    """Return the lines, without those in the middle that would make the message too long; the last one always stays."""
    *others, last = lines
    end = _line(last)
    room = LONGEST_ALL - _size(end) - 2 * LONGEST_NOTICE
    found: list[Block] = []
    for line in others:
        made = _line(line)
        size = _size(made)
        if size > room or len(found) + len(made) + len(end) + 3 > MOST_BLOCKS:
            found.append(SectionBlock(text=_plain(_LEFT_OUT, LONGEST_LINE)))
            break
        room -= size
        found += made
    return found + end


def _line(line: Line) -> list[Block]:
    command = line.command
    if command is not None and (len(command) > LONGEST_COMMAND or not command.isprintable()):
        command = None
    text = clean(f"{line.label}: {line.text}" if line.label else f"• {line.text}")
    made: list[Block] = [SectionBlock(text=_plain(text, LONGEST_LINE))]
    if command is not None:
        words = RichTextElementParts.Text(text=command)
        made.append(RichTextBlock(elements=[RichTextPreformattedElement(elements=[words])]))
    return made


def _plain(text: str, most: int) -> PlainTextObject:
    return PlainTextObject(text=cut(text, most), emoji=False)


def _size(blocks: list[Block]) -> int:
    return sum(len(json.dumps(block.to_dict(), ensure_ascii=False)) for block in blocks)
