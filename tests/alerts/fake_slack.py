"""A local Slack: the methods that memdiag uses, with the documented answers and limits; slack_sdk checks the blocks.

What is checked follows https://docs.slack.dev/reference/methods (chat.postMessage, chat.update, the file methods),
https://docs.slack.dev/reference/block-kit, https://docs.slack.dev/apis/web-api/rate-limits (a message a second and
channel, 429 with Retry-After) and https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

TOKEN = "xoxb-1111-2222-verysecret"
HOOK = "/services/T0001/B0001/verysecret"
CHANNEL, CHANNEL_ID = "alerts", "C0000000001"
MOST_BLOCKS = 50
LONGEST_BLOCKS = 13_000
LONGEST_TEXT = 40_000
_PNG = b"\x89PNG\r\n\x1a\n"
_KNOWN = {
    "header": {"type", "text", "block_id"},
    "section": {"type", "text", "block_id", "fields", "accessory", "expand"},
    "context": {"type", "elements", "block_id"},
    "rich_text": {"type", "elements", "block_id"},
    "image": {"type", "alt_text", "image_url", "slack_file", "title", "block_id"},
    "divider": {"type", "block_id"},
}


class Fault(StrEnum):
    """How an answer goes wrong."""

    HANG = "the request is taken and nothing done or answered"
    LOST = "the request is done and the answer lost"
    BROKEN = "500, nothing done"
    LIMITED = "429, nothing done"
    INTERNAL = "200 with internal_error, nothing done"


@dataclass
class Channel:
    """One channel."""

    name: str
    identity: str
    member: bool = True
    archived: bool = False
    last: float = -10.0


@dataclass
class Posted:
    """One message as people see it."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread: str | None
    request: Mapping[str, Any]
    at: float
    updates: int = 0

    def words(self) -> str:
        """Return all that is to be read."""
        return " ".join(_strings(self.blocks))


class RefusalError(Exception):
    """An answer that is no success."""

    def __init__(self, code: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.code, self.status, self.headers = code, status, headers or {}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key == "text" and isinstance(one, str):
                yield one
            else:
                yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def check_blocks(blocks: Any) -> None:
    """Raise RefusalError where Slack would refuse the blocks."""
    if not isinstance(blocks, list) or len(blocks) > MOST_BLOCKS:
        raise RefusalError("invalid_blocks")
    for block in blocks:
        if not isinstance(block, dict) or not set(block) <= _KNOWN.get(str(block.get("type")), set()):
            raise RefusalError("invalid_blocks")
        try:
            parsed = Block.parse(block)
            if parsed is None or parsed.to_dict() != block:
                raise RefusalError("invalid_blocks")
        except (SlackObjectFormationError, TypeError, AttributeError) as error:
            raise RefusalError("invalid_blocks") from error
        if block["type"] == "header" and block["text"]["type"] != "plain_text":
            raise RefusalError("invalid_blocks")
        texts = list(_strings(block))
        if block["type"] != "divider" and (not texts or not all(texts)):
            raise RefusalError("invalid_blocks")
    if len(json.dumps(blocks, ensure_ascii=False)) > LONGEST_BLOCKS:
        raise RefusalError("msg_blocks_too_long")


@dataclass
class FakeSlack:
    """The state of the workspace, and what was asked."""

    token: str = TOKEN
    scopes: set[str] = field(default_factory=lambda: {"chat:write", "files:write"})
    account: str | None = None
    """An error for every call: account_inactive, token_revoked."""
    hook: str | None = None
    """The same for the webhook: no_service, invalid_token, channel_is_archived."""
    gone: str = "thread_not_found"
    """The same for an answer where the first message is gone; cannot_reply_to_message where it left a tombstone."""
    channels: list[Channel] = field(default_factory=lambda: [Channel(CHANNEL, CHANNEL_ID)])
    spacing: float = 1.0
    """Seconds between two messages in a channel."""
    messages: list[Posted] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    url: str = ""
    _number: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def api(self) -> str:
        """The base URL of the Web API."""
        return f"{self.url}/api/"

    @property
    def webhook(self) -> str:
        """The URL of the incoming webhook."""
        return f"{self.url}{HOOK}"

    def heads(self) -> list[Posted]:
        """Return messages that are no answers in a thread."""
        return [one for one in self.messages if one.thread is None]

    def answers(self, ts: str) -> list[Posted]:
        """Return what stands in a thread."""
        return [one for one in self.messages if one.thread == ts]

    def add(self, name: str, **changes: Any) -> Channel:
        """Add a channel."""
        made = Channel(name, f"C{len(self.channels) + 1:010d}", **changes)
        self.channels.append(made)
        return made

    def find(self, asked: Any) -> Channel:
        """Return the channel of a name or ID."""
        for one in self.channels:
            if asked in (one.identity, one.name, f"#{one.name}"):
                if one.archived:
                    raise RefusalError("is_archived")
                if not one.member:
                    raise RefusalError("not_in_channel")
                return one
        raise RefusalError("channel_not_found")

    def post(self, channel: Channel, body: Mapping[str, Any]) -> Posted:
        """Take a message."""
        blocks, text = body.get("blocks") or [], str(body.get("text") or "")
        if not text and not blocks:
            raise RefusalError("no_text")
        if len(text) > LONGEST_TEXT:
            raise RefusalError("msg_too_long")
        check_blocks(blocks)
        now = time.monotonic()
        if now < channel.last + self.spacing:
            raise RefusalError("ratelimited", 429, {"Retry-After": "1"})
        thread = body.get("thread_ts")
        if thread is not None and not any(one.ts == thread for one in self.heads()):
            raise RefusalError(self.gone)
        channel.last = now
        self._number += 1
        made = Posted(
            channel.identity, f"{1_700_000_000 + self._number}.000100", text, blocks, thread, body, time.time()
        )
        self.messages.append(made)
        return made

    def call(self, method: str, body: Mapping[str, Any], token: str | None) -> dict[str, Any]:
        """Answer one call of the Web API. Raises RefusalError."""
        if token is None:
            raise RefusalError("not_authed")
        if token != self.token:
            raise RefusalError("invalid_auth")
        if self.account is not None:
            raise RefusalError(self.account)
        scope = "files:write" if method.startswith("files.") else "chat:write"
        if scope not in self.scopes:
            raise RefusalError("missing_scope")
        found: Callable[[Mapping[str, Any]], dict[str, Any]] | None = {
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete,
        }.get(method)
        if found is None:
            raise RefusalError("unknown_method")
        return found(body)

    def _post_message(self, body: Mapping[str, Any]) -> dict[str, Any]:
        made = self.post(self.find(body.get("channel")), body)
        return {"channel": made.channel, "ts": made.ts, "message": {"text": made.text}}

    def _update(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not re.fullmatch(r"C[A-Z0-9]+", str(body.get("channel"))):
            raise RefusalError("channel_not_found")
        self.find(body.get("channel"))
        for one in self.messages:
            if (one.channel, one.ts) == (body.get("channel"), body.get("ts")):
                check_blocks(body.get("blocks") or [])
                one.blocks, one.text, one.updates = list(body["blocks"]), str(body["text"]), one.updates + 1
                return {"channel": one.channel, "ts": one.ts}
        raise RefusalError("message_not_found")

    def _upload_url(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not body.get("filename") or int(body.get("length") or 0) <= 0:
            raise RefusalError("invalid_arguments")
        identity = f"F{len(self.files) + 1:010d}"
        self.files[identity] = {"length": int(body["length"]), "name": body["filename"], "alt": body.get("alt_txt")}
        return {"file_id": identity, "upload_url": f"{self.url}/upload/{identity}"}

    def _complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        wanted = body.get("files")
        for one in json.loads(wanted) if isinstance(wanted, str) else wanted or []:
            found = self.files.get(one["id"])
            if found is None or "data" not in found:
                raise RefusalError("file_not_found")
            channel = str(body.get("channel_id"))
            if not re.fullmatch(r"C[A-Z0-9]+", channel):
                raise RefusalError("channel_not_found")
            found.update(channel=channel, thread=body.get("thread_ts"), title=one.get("title"))
            return {"files": [{"id": one["id"], "title": one.get("title")}]}
        raise RefusalError("invalid_arguments")

    def upload(self, identity: str, data: bytes) -> None:
        """Take the bytes of a file."""
        found = self.files.get(identity)
        if found is None or len(data) != found["length"] or not data.startswith(_PNG):
            raise RefusalError("bad upload", 400)
        found["data"] = data


class _Handler(BaseHTTPRequestHandler):
    """Turn requests into calls."""

    slack: FakeSlack

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path)
        slack = self.slack
        with slack._lock:
            slack.calls.append(path.path)
            messages = path.path.startswith("/services/") or path.path.endswith("chat.postMessage")
            fault = slack.faults.pop(0) if slack.faults and messages else None
        if fault is Fault.HANG:
            slack.released.wait(60)
            return
        if path.path.startswith("/api/"):
            answer = self._web_api(path.path.removeprefix("/api/"), path.query, data, fault)
        elif path.path.startswith("/upload/"):
            answer = self._answer_text(lambda: slack.upload(path.path.rsplit("/", 1)[1], data), "OK", None)
        else:
            answer = self._answer_text(lambda: self._webhook(path.path, data), "ok", fault)
        if fault is Fault.LOST:
            slack.released.wait(60)
            return
        status, kind, text, headers = answer
        body = text.encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _web_api(
        self, method: str, query: str, data: bytes, fault: Fault | None
    ) -> tuple[int, str, str, dict[str, str]]:
        kind = "application/json; charset=utf-8"
        try:
            _injected(fault)
            body: dict[str, Any] = {key: values[0] for key, values in parse_qs(query).items()}
            if "json" in (self.headers.get("Content-Type") or ""):
                body |= json.loads(data or b"{}")
            else:
                body |= {key: values[0] for key, values in parse_qs(data.decode()).items()}
            bearer = self.headers.get("Authorization")
            with self.slack._lock:
                found = self.slack.call(method, body, None if bearer is None else bearer.removeprefix("Bearer "))
            return 200, kind, json.dumps({"ok": True, **found}), {}
        except RefusalError as error:
            self.slack.refused.append(error.code)
            return error.status, kind, json.dumps({"ok": False, "error": error.code}), dict(error.headers)

    def _answer_text(
        self, work: Callable[[], None], good: str, fault: Fault | None
    ) -> tuple[int, str, str, dict[str, str]]:
        try:
            _injected(fault)
            with self.slack._lock:
                work()
        except RefusalError as error:
            self.slack.refused.append(error.code)
            status = 400 if error.status == 200 else error.status
            return status, "text/html", error.code, dict(error.headers)
        return 200, "text/html", good, {}

    def _webhook(self, path: str, data: bytes) -> None:
        slack = self.slack
        if path != HOOK:
            raise RefusalError("no_service", 404)
        if slack.hook is not None:
            codes = {"no_service": 404, "invalid_token": 403, "action_prohibited": 403, "channel_is_archived": 410}
            raise RefusalError(slack.hook, codes.get(slack.hook, 400))
        try:
            body = json.loads(data)
        except ValueError as error:
            raise RefusalError("invalid_payload", 400) from error
        if not isinstance(body, dict):
            raise RefusalError("invalid_payload", 400)
        slack.post(slack.channels[0], {**body, "thread_ts": None})


def _injected(fault: Fault | None) -> None:
    if fault is Fault.BROKEN:
        raise RefusalError("", 500)
    if fault is Fault.LIMITED:
        raise RefusalError("ratelimited", 429, {"Retry-After": "1"})
    if fault is Fault.INTERNAL:
        raise RefusalError("internal_error")


@contextmanager
def slack_server(**facts: Any) -> Iterator[FakeSlack]:
    """Give a Slack that serves on a loopback port until the end."""
    slack = FakeSlack(**facts)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"slack": slack}))
    server.daemon_threads = True
    slack.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield slack
    finally:
        slack.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
