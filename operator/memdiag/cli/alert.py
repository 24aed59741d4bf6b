"""`memdiag alert test`: one marked message to each channel, and what Slack says of it in plain words."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from memdiag.alerts import compose
from memdiag.alerts.blocks import Rendered, render
from memdiag.alerts.credential import Credential
from memdiag.alerts.failures import AlertError, BusyError, RefusedError, Scope, UncertainError
from memdiag.alerts.routing import channel_name
from memdiag.alerts.settings import Method, Settings, SettingsError, load
from memdiag.alerts.slack import Bot, Delivery, Receipt
from memdiag.report.words import printable

_SETTINGS = Path("/etc/memdiag/alerts/alerts.json")
_SECRETS = Path("/etc/memdiag/alerts-secret")
"""Where the chart mounts them in the operator's pod."""
_ATTEMPTS = 3
_LONGEST_PAUSE = 30.0
_SPACING = 1.05
_EXAMPLE = """
In a cluster it runs where the settings and the Secret are, in the operator's pod:

  kubectl -n memdiag exec deployment/memdiag-operator -- memdiag alert test
  kubectl -n memdiag exec deployment/memdiag-operator -- memdiag alert test --channel '#payments-oom'

Exit status: 0 every channel took the message, 1 one did not, 2 the settings cannot be used.
"""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one thing in one channel; `remedy` says what to do where it failed."""

    where: str
    said: str
    remedy: str = ""
    final: bool = False
    """The credential is at fault: no other channel would do better."""

    def __str__(self) -> str:
        word = "FAIL" if self.remedy else "ok"
        return printable(f"{word:<4} {self.where}: {self.said}") + (
            f"\n     {printable(self.remedy)}" if self.remedy else ""
        )


def channels(settings: Settings) -> tuple[str | None, ...]:
    """Return every channel that the settings name, each once; a webhook has one without a name."""
    if settings.method is Method.WEBHOOK:
        return (None,)
    named = {channel_name(one): one for one in sorted(settings.channels())}
    return tuple(sorted(named.values()))


def attempts(
    delivery: Delivery,
    where: Sequence[str | None],
    message: Rendered,
    png: bytes | None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Tried]:
    """Send the message to each channel, with a picture where one is given, and yield what became of it."""
    for channel in where:
        name = channel or "the webhook's channel"
        try:
            receipt = _patiently(partial(_post, delivery, channel, message), pause)
        except AlertError as error:
            tried = _failed(name, error)
            yield tried
            if tried.final:
                return
        else:
            yield Tried(name, "the test message is there" + (f" ({receipt.channel_id})" if receipt.channel_id else ""))
            if png is not None and isinstance(delivery, Bot):
                pause(_SPACING)
                yield _illustrated(delivery, name, receipt, png, pause)


def _illustrated(delivery: Bot, name: str, receipt: Receipt, png: bytes, pause: Callable[[float], None]) -> Tried:
    upload = partial(delivery.picture, receipt.channel_id or "", receipt.ts or "", png)
    try:
        _patiently(partial(upload, title="A test", alt="A test without data."), pause)
    except AlertError as error:
        return replace(_failed(f"{name}, picture", error), final=False)
    return Tried(name, "the picture is in its thread")


def _post(delivery: Delivery, channel: str | None, message: Rendered) -> Receipt:
    if isinstance(delivery, Bot):
        return delivery.post(channel, message)
    delivery.post(message)
    return Receipt()


def _patiently(call: Callable[[], _T], pause: Callable[[float], None]) -> _T:
    """Return what the call returns, trying it again while Slack is busy. Raises AlertError."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return call()
        except BusyError as error:
            pause(min(error.after or attempt, _LONGEST_PAUSE))
    return call()


def _failed(where: str, error: AlertError) -> Tried:
    if isinstance(error, RefusedError):
        return Tried(where, f"Slack refuses with {error.code}", error.remedy, error.scope is Scope.CREDENTIAL)
    if isinstance(error, UncertainError):
        return Tried(where, str(error), "look into the channel: the message may be there")
    remedy = "look at alerts.slack.proxy, alerts.slack.baseURL and networkPolicy.slackTo, then at Slack's status page"
    return Tried(where, str(error), remedy)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    help_text = "send one marked message to each channel that the settings name, and say what Slack answers"
    test = what.add_parser(
        "test",
        help=help_text,
        description=help_text.capitalize() + ".",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    test.add_argument(
        "--channel",
        action="append",
        metavar="NAME",
        help="only this channel, by name or ID; may be repeated",
    )
    test.add_argument("--dry-run", action="store_true", help="print the message as Block Kit JSON and send nothing")
    test.add_argument(
        "--alerts", type=Path, default=_SETTINGS, metavar="FILE", help="the operator's settings (default: %(default)s)"
    )
    test.add_argument(
        "--alerts-secret",
        type=Path,
        metavar="FILE",
        help=f"holds the bot token or the webhook's URL (default: the file in {_SECRETS})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Send, or print what would be sent; return the exit status."""
    try:
        settings = load(arguments.alerts)
    except SettingsError as error:
        print(f"memdiag alert test: {printable(str(error))}", file=sys.stderr)
        if not arguments.alerts.exists():
            print("Are alerts on (alerts.slack.enabled)? It runs in the operator's pod:" + _EXAMPLE, file=sys.stderr)
        return 2
    where = tuple(arguments.channel or ()) or channels(settings)
    if settings.method is Method.WEBHOOK and arguments.channel:
        print("memdiag alert test: a webhook has one channel of its own: leave --channel out", file=sys.stderr)
        return 2
    message = render(compose.sample(settings.cluster))
    if arguments.dry_run:
        print(json.dumps({"text": message.text, "blocks": list(message.blocks)}, indent=2, ensure_ascii=False))
        print(f"Not sent. It would go to {', '.join(one or 'the webhook' for one in where)}.", file=sys.stderr)
        return 0
    secret = arguments.alerts_secret or _SECRETS / settings.method.key
    try:
        delivery = Credential(secret, settings.method, settings.base_url, settings.proxy).delivery()
    except RefusedError as error:
        print(Tried("the Secret", "no credential", error.remedy))
        return 1
    png = _picture() if settings.method is Method.BOT and settings.pictures else None
    good = True
    for tried in attempts(delivery, where, message, png):
        print(tried, flush=True)
        good = good and not tried.remedy
        if tried.final and len(where) > 1:
            print("     No other channel was tried.")
    return 0 if good else 1


def _picture() -> bytes:
    """Return a picture that shows that there is nothing to show."""
    from memdiag.model.trace import Trace  # noqa: PLC0415 - the drawing library's memory, only where it is wanted
    from memdiag.report.curve import curve_of  # noqa: PLC0415
    from memdiag.report.drawing import draw  # noqa: PLC0415
    from memdiag.report.png import png  # noqa: PLC0415

    return png(draw(curve_of(Trace(())), title="memdiag: a test"))
