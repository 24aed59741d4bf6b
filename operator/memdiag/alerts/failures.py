"""What Slack answers when it does not take a message: refused for good, busy, or nobody knows.

The codes are those of https://docs.slack.dev/reference/methods/chat.postMessage (errors), of chat.update, of the file
methods, and of https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (handling errors).
"""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What is wrong when Slack refuses."""

    CREDENTIAL = "credential"
    CHANNEL = "channel"
    MESSAGE = "message"


class AlertError(Exception):
    """A message was not accepted. Its text never holds a token or a webhook's URL."""


class RefusedError(AlertError):
    """Slack refuses, and would again: somebody has to change something."""

    def __init__(self, code: str, scope: Scope, remedy: str) -> None:
        super().__init__(f"Slack refuses with {code}: {remedy}")
        self.code = code
        self.scope = scope
        self.remedy = remedy


class BusyError(AlertError):
    """Not accepted now, and certainly not delivered; `after` are the seconds that Slack asks to wait."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class UncertainError(AlertError):
    """The answer was lost: the message may have been delivered."""


class MissingThreadError(AlertError):
    """The message that was to be updated or answered is gone."""


_ANOTHER_BOT = "create a new bot token (OAuth & Permissions of the Slack app) and put it into the Secret"
_ANOTHER_HOOK = "create a new incoming webhook in Slack and put its URL into the Secret"
_CREDENTIALS = {
    "invalid_auth": _ANOTHER_BOT,
    "not_authed": _ANOTHER_BOT,
    "token_revoked": _ANOTHER_BOT,
    "token_expired": _ANOTHER_BOT,
    "account_inactive": "the app or its workspace was removed: install it again, and put the new token into the Secret",
    "not_allowed_token_type": "the Secret must hold a bot token, which begins with xoxb-",
    "missing_scope": "give the Slack app the scope chat:write, for charts files:write too, and install it again",
    "no_permission": "the workspace does not let this app post: ask its administrators",
    "org_login_required": "the workspace is being moved: try again later",
    "ekm_access_denied": "the workspace's administrators have suspended posting",
    "access_denied": "the workspace does not let this app post: ask its administrators",
    "team_access_not_granted": "the app is not installed in that workspace",
    "no_service": _ANOTHER_HOOK,
    "no_service_id": _ANOTHER_HOOK,
    "no_active_hooks": _ANOTHER_HOOK,
    "no_team": _ANOTHER_HOOK,
    "invalid_token": _ANOTHER_HOOK,
    "team_disabled": "the workspace is disabled",
    "user_not_found": _ANOTHER_HOOK,
}
_INVITE = "invite the app to the channel (/invite @APP in it), or name another channel"
_CHANNELS = {
    "channel_not_found": f"the channel does not exist, or it is private and the app is not in it: {_INVITE}",
    "not_in_channel": _INVITE,
    "is_archived": "the channel is archived: name another one",
    "channel_is_archived": "the channel is archived: name another one, or make a new webhook",
    "restricted_action": "the workspace restricts who may post there: ask its administrators",
    "restricted_action_read_only_channel": "the channel is read-only for this app: name another one",
    "restricted_action_thread_only_channel": "the channel takes answers in threads only: name another one",
    "restricted_action_non_threadable_channel": "the channel takes no threads: name another one",
    "action_prohibited": "the workspace does not let webhooks post there: ask its administrators",
    "posting_to_general_channel_denied": "the workspace does not let webhooks post to that channel",
    "messages_tab_disabled": "the app takes no direct messages: name a channel",
    "invalid_channel": "name the channel by its ID (C…) or its name",
    "cant_update_message": "the message belongs to another app: the token was changed",
    "edit_window_closed": "the workspace forbids changing messages after a while",
}
_MESSAGES = frozenset(
    {
        "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "invalid_payload",
        "invalid_arguments", "invalid_json", "too_many_attachments", "metadata_too_large", "block_mismatch",
        "missing_text_or_fallback_or_attachments", "markdown_text_conflict",
    }
)  # fmt: skip
_BUSY = frozenset({"ratelimited", "rate_limited", "service_unavailable", "team_added_to_org"})
_UNCERTAIN = frozenset({"internal_error", "fatal_error", "request_timeout", "rollup_error"})
_GONE = frozenset(
    {
        "message_not_found", "thread_not_found", "invalid_thread_ts",
        # a deleted message that had answers leaves a tombstone, and a thread can be locked: neither takes an answer
        "cannot_reply_to_message", "restricted_action_thread_locked",
    }
)  # fmt: skip
_LONGEST_CODE = 64


def failure(status: int, code: str, retry_after: float | None) -> AlertError:
    """Return the error that an answer stands for; `code` is Slack's word, `retry_after` seconds."""
    code = "".join(sign for sign in code[:_LONGEST_CODE] if sign.isascii() and (sign.isalnum() or sign == "_"))
    if status == 429 or code in _BUSY:
        return BusyError("Slack is busy: its limit of messages is reached", retry_after)
    if code in _GONE:
        return MissingThreadError("the message is gone in Slack")
    if code in _UNCERTAIN:
        return UncertainError(f"Slack broke off with {code}")
    known = _refused(code)
    if known is None and status >= 500:
        return BusyError(f"Slack answers {status}", retry_after)
    return known or _unknown(status, code)


def is_own(code: str) -> bool:
    """Say whether a refusal is for what the message holds: nobody can mend that but memdiag."""
    return code in _MESSAGES


def _refused(code: str) -> RefusedError | None:
    for scope, remedies in ((Scope.CREDENTIAL, _CREDENTIALS), (Scope.CHANNEL, _CHANNELS)):
        if code in remedies:
            return RefusedError(code, scope, remedies[code])
    if code in _MESSAGES:
        return RefusedError(code, Scope.MESSAGE, "this is an error in memdiag: please report it with the diagnosis")
    return None


def _unknown(status: int, code: str) -> RefusedError:
    if not code and status in {403, 404, 410}:
        return RefusedError(f"http_{status}", Scope.CREDENTIAL, "Slack does not know that address: check the URL")
    return RefusedError(code or f"http_{status}", Scope.MESSAGE, "Slack's documentation of this code says more")
