"""Identities: stable, distinct and valid names."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from memdiag.model.identity import diagnosis_name, incident_name, report_name

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80), st.text(max_size=80), st.integers(1, 99))
def test_every_name_is_a_label_and_repeats(a: str, b: str, c: str, d: str, ordinal: int) -> None:
    def names() -> list[str]:
        return [
            report_name(a, b, ordinal),
            incident_name(a, b, c, d, ordinal),
            incident_name(a, b, c, d, None),
            diagnosis_name(a or "kind", b or "name", c or "c"),
        ]

    assert names() == names()
    assert all(LABEL.fullmatch(name) for name in names())


def test_what_differs_has_another_name() -> None:
    names = {incident_name("p", "c", uid, cid, n) for uid in "ab" for cid in "xy" for n in (None, 1, 2)}
    assert len(names) == 12
    assert report_name("boot", "c", 1) != report_name("boot", "c", 2)
    assert diagnosis_name("Deployment", "a-b", "c") == "deployment-a-b-c"
    long = "x" * 70
    assert diagnosis_name("Deployment", long, "c") != diagnosis_name("Deployment", long, "d")
