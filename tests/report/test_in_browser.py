"""The HTML report in a real browser: on a phone and a desk, light, dark and printed; it asks nobody for anything.

The screenshots stay in the testbed's cache (`pictures/`), to be looked at.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from memdiag.report.finding import Finding
from memdiag.report.page import page
from testbed import cache
from testbed.browser import Page
from tests.report.findings import LEAK, hostile

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(120)]

PHONE, DESK = 390, 1000
FINDINGS = {"leak": LEAK, "hostile": hostile()}


def shown(browser: Page, folder: Path, name: str, width: int, *, dark: bool = False, paper: bool = False) -> Path:
    """Show a finding's page and return its file."""
    file = folder / f"{name}.html"
    file.write_text(page([FINDINGS[name]], "Made by memdiag.", 0.0), encoding="utf-8")
    browser.requests.clear()
    browser.complaints.clear()
    browser.show(file, width, dark=dark, paper=paper)
    return file


def displayed(browser: Page, selector: str) -> int:
    """Return how many elements that a selector chooses are to be seen."""
    every = f"[...document.querySelectorAll({selector!r})]"
    return int(browser.value(f"{every}.filter(one => one.getClientRects().length).length"))


@pytest.mark.parametrize("name", FINDINGS)
@pytest.mark.parametrize("width", [320, PHONE, DESK])
def test_it_fits_and_asks_nobody(browser: Page, tmp_path: Path, name: str, width: int) -> None:
    file = shown(browser, tmp_path, name, width)
    assert browser.requests == [file.as_uri()]
    assert browser.complaints == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    wider = "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
    assert browser.value(f"{wider}.map(one => one.tagName)") == []
    assert displayed(browser, "svg.narrow" if width < 640 else "svg.wide") > 0
    assert displayed(browser, "svg.wide" if width < 640 else "svg.narrow") == 0
    assert browser.value("document.scripts.length") == 0


def colours(browser: Page) -> tuple[str, str, str]:
    """Return the colours of ground, card and text."""
    style = "getComputedStyle(document.{}).{}"
    places = (("body", "backgroundColor"), ("querySelector('section')", "backgroundColor"), ("body", "color"))
    ground, card, ink = (str(browser.value(style.format(*place))) for place in places)
    return ground, card, ink


def brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


def test_both_themes_and_paper(browser: Page, tmp_path: Path) -> None:
    pictures = cache.root() / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, dark in (("light", False), ("dark", True)):
        for place, width in (("phone", PHONE), ("desk", DESK)):
            shown(browser, tmp_path, "leak", width, dark=dark)
            (pictures / f"report-{name}-{place}.png").write_bytes(browser.picture())
        found[name] = colours(browser)
        ground, card, ink = map(brightness, found[name])
        assert (ground > ink + 400 and card > ink + 400) is not dark
        assert (ink > ground + 400 and ink > card + 400) is dark
    shown(browser, tmp_path, "leak", DESK, dark=True, paper=True)
    assert colours(browser)[0] == "rgb(255, 255, 255)"
    assert colours(browser)[1:] == found["light"][1:]
    printed = browser.printed()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") >= 1


def test_a_page_without_anything_fits_too(browser: Page, tmp_path: Path) -> None:
    bare = Finding(LEAK.name, LEAK.diagnosis)
    file = tmp_path / "bare.html"
    file.write_text(page([bare], "Made by memdiag.", 0.0), encoding="utf-8")
    browser.show(file, PHONE)
    assert browser.value("document.documentElement.scrollWidth") <= PHONE
    assert "Memory leaks at about 80 MiB a minute." in str(browser.value("document.body.innerText"))
