"""The repository's Markdown, read: pages, links and anchors, and the commands that they tell people to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
INDEX = REPOSITORY / "docs/README.md"
_FENCE = re.compile(r" *(`{3,}|~{3,})(\w*)")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"#{1,6} +(.+?)(?: +#+)?$")
_ANCHORLESS = re.compile(r"[^\w\- ]")
_SHELL = ("sh", "bash", "shell", "console")
_MARGIN = 4
_ITEM = re.compile(r"( *)(?:[-*+]|\d+\.) +")


@dataclass(frozen=True)
class Command:
    """One command that a page tells people to run, and where it stands."""

    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Line:
    """One line of a page; `code` is the language of the fenced block that it is in ("" for none told), else None."""

    number: int
    text: str
    code: str | None


def pages() -> list[Path]:
    """Return every page that people read."""
    top = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    more = [REPOSITORY / "bench/README.md", REPOSITORY / "charts/memdiag/README.md"]
    return [page for page in top if page.exists()] + more + sorted((REPOSITORY / "docs").rglob("*.md"))


def lines(page: Path) -> Iterator[Line]:
    """Yield the lines of a page, those of fences left out."""
    fence: str | None = None
    language = ""
    for number, text in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        match = _FENCE.match(text)
        if fence is None and match:
            fence, language = match.group(1), match.group(2)
        elif fence is not None and text.strip().startswith(fence):
            fence = None
        else:
            yield Line(number, text, None if fence is None else language)


def links(page: Path) -> list[tuple[int, str]]:
    """Return line and target of each link and picture of a page."""
    prose = ((line.number, _CODE.sub("", line.text)) for line in lines(page) if line.code is None)
    return [(number, target) for number, text in prose for target in _LINK.findall(text)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have, as the usual hosts of Git make them."""
    found: dict[str, int] = {}
    names = set()
    for line in lines(page):
        match = None if line.code is not None else _HEADING.fullmatch(line.text)
        if match:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(1)).replace("`", "")
            name = _ANCHORLESS.sub("", text.strip().lower()).replace(" ", "-")
            count = found[name] = found.get(name, -1) + 1
            names.add(f"{name}-{count}" if count else name)
    return names


def _blocks(page: Path) -> Iterator[Line]:
    """Yield the lines that hold a command: all of shell blocks and indented blocks, `$ ` ones of other blocks."""
    margin, open_block, blank = 0, False, True
    for line in lines(page):
        if line.code is not None:
            if line.code in _SHELL or line.text.startswith("$ "):
                yield line
            continue
        indent = len(line.text) - len(line.text.lstrip(" "))
        item = _ITEM.match(line.text)
        if not line.text.strip():
            blank = True
            continue
        open_block = (open_block or blank) and indent >= margin + _MARGIN
        if open_block:
            yield line
        elif item:
            margin = item.end()
        elif indent == 0:
            margin = 0
        blank = False


def commands(page: Path) -> list[Command]:
    """Return the commands of a page's code blocks, without their comments and prompts, continued lines joined."""
    found: list[Command] = []
    waiting: list[str] = []
    for line in _blocks(page):
        text = re.sub(r"(?:^| +)# .*$", "", line.text.strip().removeprefix("$ "))
        if text.endswith("\\"):
            waiting.append(text[:-1].strip())
        elif text or waiting:
            found.append(Command(page, line.number, " ".join([*waiting, text])))
            waiting = []
    return found


def spoken(page: Path) -> list[Command]:
    """Return what stands in a page's prose between backticks."""
    prose = [line for line in lines(page) if line.code is None]
    return [Command(page, line.number, each.strip("`")) for line in prose for each in _CODE.findall(line.text)]
