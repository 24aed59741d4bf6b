"""Every link of the documentation leads somewhere, and every page of it can be found from the index."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import INDEX, REPOSITORY, anchors, links, pages, spoken

HOME = {"https", "http"}
ROOTS = ("bench/", "charts/", "docs/", "examples/", "fuzz/", "operator/", "requirements/", "testbed/", "tests/")


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def target_of(page: Path, target: str) -> Path:
    path = unquote(urlsplit(target).path)
    return page if not path else (page.parent / path).resolve()


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for line, target in links(page):
        parts = urlsplit(target)
        where = f"{name(page)}:{line}: {target}"
        if parts.scheme:
            assert parts.scheme in HOME, where
            assert parts.netloc, where
            continue
        found = target_of(page, target)
        assert found.is_relative_to(REPOSITORY), where
        assert found.exists(), where
        if parts.fragment:
            assert found.suffix == ".md", where
            assert parts.fragment in anchors(found), where


def test_every_page_is_found_from_the_index_in_one_or_two_steps() -> None:
    first = {target_of(INDEX, target) for _, target in links(INDEX)}
    second = {target_of(page, target) for page in first if page.suffix == ".md" for _, target in links(page)}
    assert [name(page) for page in pages() if page not in first | second] == []
    docs = [page for page in pages() if page.is_relative_to(INDEX.parent) and "adr" not in page.parts]
    assert [name(page) for page in docs if page not in first | {INDEX}] == [], "docs/README.md links each page of docs/"


def test_the_readme_leads_to_the_index() -> None:
    readme = REPOSITORY / "README.md"
    assert INDEX in {target_of(readme, target) for _, target in links(readme)}


def test_headings_of_a_page_are_told_apart() -> None:
    for page in pages():
        assert not {anchor for anchor in anchors(page) if anchor.endswith("-1")}, name(page)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_files_that_are_named_are_there(page: Path) -> None:
    for word in spoken(page):
        if word.text.startswith(ROOTS) and " " not in word.text:
            assert list(REPOSITORY.glob(word.text.rstrip("/"))), str(word)
