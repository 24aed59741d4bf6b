"""Delivery against the local Slack: receipts, threads, pictures, and errors that show no secret."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from memdiag.alerts.blocks import Rendered, render
from memdiag.alerts.compose import sample
from memdiag.alerts.failures import (
    AlertError,
    BusyError,
    MissingThreadError,
    RefusedError,
    Scope,
    UncertainError,
)
from memdiag.alerts.slack import Bot, Webhook
from tests.alerts.fake_slack import CHANNEL_ID, FakeSlack, Fault, slack_server

MESSAGE = render(sample("prod-eu"))
PNG = b"\x89PNG\r\n\x1a\n" + b"\1" * 100


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with slack_server(spacing=0.0) as found:
        yield found


def bot(slack: FakeSlack, token: str | None = None) -> Bot:
    return Bot(token or slack.token, base_url=slack.api, timeout=1)


def test_a_message_its_answer_its_update_and_its_picture(slack: FakeSlack) -> None:
    way = bot(slack)
    head = way.post("#alerts", MESSAGE)
    assert head.channel_id == CHANNEL_ID
    assert head.ts is not None
    way.post(head.channel_id, MESSAGE, thread=head.ts, broadcast=True)
    way.update(CHANNEL_ID, head.ts, Rendered("new", MESSAGE.blocks))
    way.picture(CHANNEL_ID, head.ts, PNG, title="Memory", alt="It rises.")
    assert (slack.messages[0].text, slack.messages[0].updates) == ("new", 1)
    assert slack.messages[1].thread == head.ts
    assert slack.messages[1].request["reply_broadcast"] is True
    (file,) = slack.files.values()
    assert (file["data"], file["title"], file["alt"], file["thread"]) == (PNG, "Memory", "It rises.", head.ts)


def test_a_webhook_says_ok(slack: FakeSlack) -> None:
    Webhook(slack.webhook).post(MESSAGE)
    assert slack.messages[0].blocks == list(MESSAGE.blocks)


@pytest.mark.parametrize(
    ("answer", "scope", "code"),
    [
        ({"channel": "nowhere"}, Scope.CHANNEL, "channel_not_found"),
        ({"token": "xoxb-wrong"}, Scope.CREDENTIAL, "invalid_auth"),
        ({"account": "token_revoked"}, Scope.CREDENTIAL, "token_revoked"),
        ({"blocks": ({"type": "header", "text": {"type": "mrkdwn", "text": "x"}},)}, Scope.MESSAGE, "invalid_blocks"),
        ({"blocks": ({"type": "shout"},)}, Scope.MESSAGE, "invalid_blocks"),
        ({"blocks": ({"type": "divider"},) * 51}, Scope.MESSAGE, "invalid_blocks"),
    ],
)
def test_refusals(slack: FakeSlack, answer: dict[str, object], scope: Scope, code: str) -> None:
    slack.account = str(answer["account"]) if "account" in answer else None
    way = bot(slack, str(answer.get("token", slack.token)))
    message = Rendered(str(answer.get("text", "text")), answer.get("blocks", MESSAGE.blocks))  # type: ignore[arg-type]  # bad on purpose
    with pytest.raises(RefusedError) as found:
        way.post(str(answer.get("channel", "alerts")), message)
    assert (found.value.scope, found.value.code) == (scope, code)
    assert slack.token not in str(found.value)


@pytest.mark.parametrize(
    ("hook", "code"),
    [
        ("no_service", "no_service"),
        ("invalid_token", "invalid_token"),
        ("action_prohibited", "action_prohibited"),
        ("channel_is_archived", "channel_is_archived"),
        ("invalid_payload", "invalid_payload"),
    ],
)
def test_plain_text_answers_of_a_webhook(slack: FakeSlack, hook: str, code: str) -> None:
    slack.hook = hook
    with pytest.raises(RefusedError) as found:
        Webhook(slack.webhook).post(MESSAGE)
    assert found.value.code == code


def test_a_wrong_hook_is_no_service(slack: FakeSlack) -> None:
    with pytest.raises(RefusedError, match="no_service"):
        Webhook(f"{slack.url}/services/T/B/wrong").post(MESSAGE)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.LIMITED, BusyError),
        (Fault.BROKEN, BusyError),
        (Fault.INTERNAL, UncertainError),
        (Fault.LOST, UncertainError),
        (Fault.HANG, UncertainError),
    ],
)
@pytest.mark.parametrize("way", ["bot", "webhook"])
def test_what_may_work_later(slack: FakeSlack, fault: Fault, kind: type[AlertError], way: str) -> None:
    slack.faults.append(fault)
    hook = Webhook(slack.webhook, timeout=1)
    with pytest.raises(kind) as found:
        bot(slack).post("alerts", MESSAGE) if way == "bot" else hook.post(MESSAGE)
    if fault is Fault.LIMITED:
        assert isinstance(found.value, BusyError)
        assert found.value.after == 1.0
    assert "verysecret" not in str(found.value)


def test_too_quick_is_told_by_the_server() -> None:
    with slack_server() as slack:
        way = bot(slack)
        way.post("alerts", MESSAGE)
        with pytest.raises(BusyError) as found:
            way.post("alerts", MESSAGE)
        assert found.value.after == 1.0


def test_a_thread_that_is_gone(slack: FakeSlack) -> None:
    with pytest.raises(MissingThreadError):
        bot(slack).post("alerts", MESSAGE, thread="1.2")
    with pytest.raises(MissingThreadError):
        bot(slack).update(CHANNEL_ID, "1.2", MESSAGE)


def test_a_picture_needs_its_scope(slack: FakeSlack) -> None:
    slack.scopes.discard("files:write")
    with pytest.raises(RefusedError, match="files:write"):
        bot(slack).picture(CHANNEL_ID, "1.2", PNG, title="x", alt="y")


def test_nobody_there_is_not_delivered() -> None:
    with slack_server() as slack:
        url, hook = slack.api, slack.webhook
    with pytest.raises(BusyError, match="Connection refused"):
        Bot("xoxb-verysecret", base_url=url).post("alerts", MESSAGE)
    with pytest.raises(BusyError) as found:
        Webhook(hook).post(MESSAGE)
    assert "verysecret" not in str(found.value)


@pytest.mark.parametrize("url", ["hooks.slack.com/verysecret", "https://hooks.slack.com:44e/verysecret"])
def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(RefusedError) as found:
        Webhook(url).post(MESSAGE)
    assert "verysecret" not in str(found.value)


@pytest.mark.parametrize("way", ["bot", "webhook"])
def test_a_proxy_is_used(slack: FakeSlack, way: str) -> None:
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    proxy = f"http://127.0.0.1:{server.server_address[1]}"
    token = Bot(slack.token, base_url="http://slack.example/api/", proxy=proxy)
    hook = Webhook("http://slack.example/services/x", proxy=proxy)
    with pytest.raises(BusyError):
        token.post("alerts", MESSAGE) if way == "bot" else hook.post(MESSAGE)
    thread.join()
    server.server_close()
    assert asked[0].startswith("http://slack.example/")
