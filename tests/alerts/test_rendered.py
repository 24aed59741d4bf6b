"""Each kind of message is what its committed sample says, within Slack's limits, and says its five lines.

Write the samples anew with: python -m tests.alerts.test_rendered
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memdiag.alerts import compose
from memdiag.alerts.blocks import render
from memdiag.alerts.message import Facts
from tests.alerts.fake_slack import check_blocks
from tests.alerts.samples import LEAK, LOW, MESSAGES

FIXTURES = Path(__file__).parent / "fixtures"


def payload(name: str) -> str:
    found = render(MESSAGES[name]())
    return json.dumps({"text": found.text, "blocks": list(found.blocks)}, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", MESSAGES)
def test_the_sample_is_what_is_sent(name: str) -> None:
    assert (FIXTURES / f"{name}.json").read_text(encoding="utf-8") == payload(name)
    check_blocks(json.loads(payload(name))["blocks"])


def test_every_sample_is_of_a_message() -> None:
    assert {path.stem for path in FIXTURES.glob("*.json")} == set(MESSAGES)


@pytest.mark.parametrize("facts", [LEAK, LOW], ids=["leak", "low"])
def test_the_first_message_says_what_why_what_to_do_picture_and_where(facts: Facts) -> None:
    message = compose.head(facts, pictured=True)
    assert [line.label for line in message.lines] == ["What died", "Why", "What to do", "Picture", "Where to look"]
    died, why, do, _, where = message.lines
    for word in (facts.workload, facts.container, facts.namespace, "prod-eu", "1 kill"):
        assert word in died.text
    assert f"{facts.cause} ({facts.mechanism}), confidence {facts.confidence_percent} %" in why.text
    assert facts.evidence is not None
    assert facts.evidence in why.text
    assert where.command == f"kubectl -n shop describe memorydiagnosis {facts.diagnosis}"
    assert do.command is not None


def test_a_leak_gets_no_more_memory_and_a_low_limit_a_command() -> None:
    leak, low = (compose.head(facts, pictured=False).lines[2] for facts in (LEAK, LOW))
    assert "Do not raise the limit: fix the leak" in leak.text
    assert "512Mi buys about 5 hours" in leak.text
    assert leak.command is not None
    assert "patch" not in leak.command
    assert "144Mi (now 96Mi; 128Mi to 192Mi fit the evidence)" in low.text
    assert low.command == (
        "kubectl -n shop patch deployment/reports --type strategic -p "
        """'{"spec":{"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"144Mi"}}}]}}}}'"""
    )


if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    for each in MESSAGES:
        (FIXTURES / f"{each}.json").write_text(payload(each), encoding="utf-8")
