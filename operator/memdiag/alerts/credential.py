"""The file with the bot token or the webhook's URL, and the way into Slack that it opens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from memdiag.alerts.failures import RefusedError, Scope
from memdiag.alerts.settings import API, Method
from memdiag.alerts.slack import Bot, Delivery, Webhook

_LONGEST_SECRET = 4096


@dataclass(frozen=True, slots=True)
class Credential:
    """The file with the bot token or the webhook's URL. It is read anew each time: a Secret may change."""

    path: Path
    method: Method
    base_url: str = API
    proxy: str | None = None
    made: dict[str, Delivery] = field(default_factory=dict, repr=False, compare=False)

    def delivery(self) -> Delivery:
        """Return the way into Slack. Raises RefusedError, with what to do, when the file does not show one."""
        secret = self._read()
        known = self.made.get(secret)
        if known is None:
            self.made.clear()
            known = self.made[secret] = (
                Bot(secret, base_url=self.base_url, proxy=self.proxy)
                if self.method is Method.BOT
                else Webhook(secret, proxy=self.proxy)
            )
        return known

    def _read(self) -> str:
        where = f"the Secret's key {self.path.name}"
        try:
            secret = self.path.read_text(encoding="utf-8")[:_LONGEST_SECRET].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(f"{where} cannot be read ({type(error).__name__}): {self.path}") from None
        if not secret:
            raise _unusable(f"{where} is empty")
        if any(not sign.isprintable() or sign.isspace() for sign in secret):
            raise _unusable(f"{where} holds more than one word")
        if self.method is Method.WEBHOOK and not secret.startswith(("https://", "http://")):
            raise _unusable(f"{where} is no URL; it should begin with https://hooks.slack.com/")
        if self.method is Method.BOT and secret.startswith(("https://", "http://")):
            raise _unusable(f"{where} is a URL, not a token: set alerts.slack.method to webhook")
        return secret


def _unusable(remedy: str) -> RefusedError:
    return RefusedError("no_credential", Scope.CREDENTIAL, remedy)
