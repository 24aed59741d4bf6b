"""Deliver to Slack with slack_sdk: a bot token (threads, updates, pictures) or an incoming webhook (one way)."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, InvalidURL
from typing import Any
from urllib.error import HTTPError, URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient

from memdiag.alerts.blocks import Rendered
from memdiag.alerts.failures import AlertError, BusyError, RefusedError, Scope, UncertainError, failure
from memdiag.alerts.settings import API

TIMEOUT = 10
"""Seconds for one answer."""
_LONGEST_WAIT = 300.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an accepted message is: how later calls name it. A webhook tells neither."""

    channel_id: str | None = None
    ts: str | None = None


def _silent() -> logging.Logger:
    """Return a logger that says nothing: slack_sdk's own would log URLs, which are secrets here."""
    logger = logging.getLogger("memdiag.alerts.slack_sdk")
    logger.setLevel(logging.CRITICAL)
    logger.disabled = True
    return logger


class Bot:
    """With a bot token: messages can be answered, updated and illustrated. Each method blocks and raises AlertError."""

    def __init__(self, token: str, *, base_url: str = API, proxy: str | None = None, timeout: int = TIMEOUT) -> None:
        self._client = WebClient(
            token,
            base_url=base_url,
            timeout=timeout,
            ssl=ssl.create_default_context(),
            logger=_silent(),
            retry_handlers=[],
        )
        # without one urllib asks the environment, and unlike slack_sdk it heeds NO_PROXY
        self._client.proxy = proxy

    def post(
        self, channel: str | None, message: Rendered, *, thread: str | None = None, broadcast: bool = False
    ) -> Receipt:
        """Post a message (`chat.postMessage`)."""
        if channel is None:
            raise RefusedError("channel_not_found", Scope.CHANNEL, "name one: alerts.slack.channel")
        with _translated():
            answer = self._client.chat_postMessage(
                channel=channel,
                text=message.text,
                blocks=list(message.blocks),
                thread_ts=thread,
                reply_broadcast=broadcast if thread is not None else None,
                unfurl_links=False,
                unfurl_media=False,
                parse="none",
                link_names=False,
            )
        return Receipt(_word(answer.get("channel")), _word(answer.get("ts")))

    def update(self, channel_id: str, ts: str, message: Rendered) -> None:
        """Change a message (`chat.update`)."""
        with _translated():
            self._client.chat_update(
                channel=channel_id,
                ts=ts,
                text=message.text,
                blocks=list(message.blocks),
                parse="none",
                link_names=False,
            )

    def picture(self, channel_id: str, thread: str, png: bytes, *, title: str, alt: str) -> None:
        """Upload a PNG (`files.getUploadURLExternal`, the upload, `files.completeUploadExternal`)."""
        with _translated():
            self._client.files_upload_v2(
                content=png, filename="memory.png", title=title, alt_txt=alt, channel=channel_id, thread_ts=thread
            )


class Webhook:
    """With an incoming webhook: one channel, no threads, no updates, no pictures."""

    def __init__(self, url: str, *, proxy: str | None = None, timeout: int = TIMEOUT) -> None:
        self._client = WebhookClient(
            url, timeout=timeout, ssl=ssl.create_default_context(), logger=_silent(), retry_handlers=[]
        )
        self._client.proxy = proxy  # as above

    def post(self, message: Rendered) -> None:
        """Post a message to the webhook's own channel. Blocks; raises AlertError."""
        with _translated():
            answer = self._client.send(
                text=message.text, blocks=list(message.blocks), unfurl_links=False, unfurl_media=False
            )
        if answer.status_code != 200 or answer.body.strip() != "ok":
            raise failure(answer.status_code, _plain_code(answer.body), _seconds(answer.headers))


Delivery = Bot | Webhook
"""A way into Slack."""


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what slack_sdk and the standard library raise as an AlertError that shows neither token nor URL."""
    try:
        yield
    except AlertError:
        raise
    except SlackApiError as error:
        raise _of_answer(error.response) from None
    except HTTPError as error:
        raise failure(error.code, "", _seconds(error.headers)) from None
    except URLError as error:
        raise BusyError(f"no way to Slack: {_reason(error.reason)}") from None
    except (SlackClientError, ValueError, InvalidURL) as error:
        raise RefusedError(
            "invalid_url", Scope.CREDENTIAL, f"check base URL, proxy and Secret ({_kind(error)})"
        ) from None
    except (OSError, HTTPException) as error:
        raise UncertainError(f"Slack's answer was lost ({_kind(error)})") from None


def _of_answer(response: Any) -> AlertError:
    status = int(getattr(response, "status_code", 0) or response.get("status") or 200)
    headers = getattr(response, "headers", None) or {}
    found = response.get("error")
    code = found if isinstance(found, str) and len(found) <= 64 and " " not in found else ""
    if not code and 200 <= status < 300:
        return UncertainError("Slack answered with what is no JSON")
    return failure(status, code, _seconds(headers))


def _plain_code(body: str) -> str:
    """Return the code of a webhook's answer: plain text, in newer ones JSON."""
    text = body.strip()
    if text.startswith("{"):
        try:
            text = str(json.loads(text).get("error") or "")
        except ValueError:
            return ""
    return text if text and text.replace("_", "").isalnum() and len(text) <= 64 else ""


def _seconds(headers: Mapping[str, Any] | Message) -> float | None:
    for name, value in headers.items():
        if name.lower() == "retry-after":
            text = str(value[0] if isinstance(value, list) else value)
            return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else None
    return None


def _word(value: Any) -> str | None:
    return str(value)[:64] if value else None


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _reason(reason: str | BaseException) -> str:
    """Return why no connection came about; of text only its kind, since it may quote an address."""
    if isinstance(reason, OSError) and reason.strerror:
        return f"{_kind(reason)}, {reason.strerror}"
    return _kind(reason) if isinstance(reason, BaseException) else "refused"
