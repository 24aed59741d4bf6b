"""The HTML report: what it tells, that it asks nobody, and that no text of a cluster becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from memdiag.model.trace import Trace
from memdiag.model.verdict import Action, Cause, Diagnosis, Mechanism, Recommendation, Suspicion
from memdiag.report.finding import Finding
from memdiag.report.page import page
from tests.report.findings import EVIL, LEAK, hostile
from tests.report.lives import MIB, odd_traces

ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "article", "header", "section", "footer"),
    *("h1", "h2", "h3", "p", "small", "dl", "div", "dt", "dd", "figure", "ul", "ol", "li", "pre", "code", "span"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "polygon", "polyline", "text"),
}


class Reader(HTMLParser):
    """Reads a page as a browser would: its elements, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.said: list[str] = []
        self.style = ""
        self._in = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in == "style":
            self.style += data
            self._in = ""
        elif data.strip():
            self.said.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(self.said)


def test_it_tells_what_the_issue_asks_for() -> None:
    found = Reader(page([LEAK], "Made by memdiag.", 0.0))
    for words in (
        "shop · Deployment checkout · container checkout",
        "HeapLeak, 97 % sure",
        "Memory leaks at about 80 MiB a minute.",
        "Limit now 96 MiB",
        "run 1",
        "stop-gap 180 MiB",
        "Fix the leak",
        "Until then: a limit of 180 MiB lasts about 2m from each start.",
        "Warning: A quota.",
        "memray attach PID",
        "One ` alone is no code.",
        "It rose and never came back. +1.6 Leak \N{MINUS SIGN}1.4 Growth",
        "the kernel's log",
        "Watch one more run.",
        "python3 91 MiB",
        "Processes of the container shortly before",
        "python3 88 MiB 3 +61 MiB in 2m",
        "\N{MINUS SIGN}4.0 KiB",
        "Other pods: 12 tasks",
        "Killed process 4711 (python3)",
        "OOM-killed (exit code 137)",
        "still running",
        "Pod checkout-2",
        "Made by memdiag.",
    ):
        assert words in found.text, words
    assert "Hardly worth a word" not in found.text


def test_nothing_of_a_cluster_becomes_markup_or_steers_anything() -> None:
    html = page([hostile()], EVIL)
    found = Reader(html)
    assert found.tags <= ALLOWED, found.tags - ALLOWED
    assert not [one for one in found.attributes if one[1].startswith("on") or one[1] in {"src", "href", "style"}]
    assert html.count("</style>") == 1
    assert "\\x1b" in html
    assert all(letter.isprintable() or letter == "\n" for letter in html)
    assert found.text.count("<script>alert(1)</script>") > 20


def test_it_asks_nobody_and_its_policy_allows_its_own_style_only() -> None:
    html = page([LEAK], "made")
    found = Reader(html)
    policy = next(value for tag, name, value in found.attributes if name == "content" and "default-src" in str(value))
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(
        r"(src|href|url\(|@import|https?:)", html.replace("http://www.w3.org/2000/svg", "").replace(str(policy), "")
    )


def test_both_themes_the_phone_and_paper_have_rules() -> None:
    style = Reader(page([LEAK], "made")).style
    assert "prefers-color-scheme:dark" in style
    assert "@media print" in style
    assert "max-width:640px" in style
    assert set(re.findall(r"var\((--[a-z]+)\)", style)) <= set(re.findall(r"(--[a-z]+):", style))


@pytest.mark.parametrize("name", odd_traces())
def test_odd_traces_make_a_page(name: str) -> None:
    advice = Recommendation(Action.RAISE_LIMIT, 144 * MIB, None, None, "why")
    found = Diagnosis(Cause.INCONCLUSIVE, None, 0.5, "It is not settled.", (), (), advice)
    html = page([Finding(name, found, traces=(odd_traces()[name],))], "made")
    assert "It is not settled." in html


def test_a_trace_without_a_kill_shows_its_suspicion() -> None:
    doubt = Suspicion(Cause.LEAK, Mechanism.HEAP_LEAK, 0.8)
    nothing = Recommendation(Action.NONE, None, None, None, "why")
    found = Diagnosis(None, None, 0.0, "calm", (), (), nothing, suspicion=doubt)
    text = Reader(page([Finding("a.jsonl", found, traces=(Trace(()),))], "made")).text
    assert "No kill suspicion: Leak (HeapLeak), 80 %" in text
    assert "There is none." in text
    assert "No report of the kernel is kept of it." in text


def test_many_pods_are_counted_not_drawn() -> None:
    html = page([replace(LEAK, traces=LEAK.traces * 5)], "made")
    assert "4 more pods are not shown." in html
