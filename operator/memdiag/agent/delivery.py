"""Brings reports from the spool to the API server: the agent's only word to it is `create memoryreports`."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from memdiag.agent.log import log
from memdiag.agent.spool import Spool

TIMEOUT_SECONDS = 10.0
FIRST_WAIT = 0.25
LONGEST_WAIT = 60.0
_LONGEST_ANSWER = 64 * 1024
_ACCEPT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""The answer to a create is the object; nobody reads it, so its metadata are enough."""
_REJECTED = {400, 405, 406, 413, 415, 422}
_FORBIDDEN = 403
_CONFLICT = "Conflict"
REFUSED_SECONDS = 600.0
"""So long a report is sent again that is forbidden while others are taken."""


class Outcome(Enum):
    """What came of one delivery."""

    DONE = "done"
    REJECTED = "rejected"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, the seconds of Retry-After where it has one, and the server's own words, bounded."""

    status: int
    retry_after: float | None
    message: str
    reason: str = ""
    """The `reason` of the server's Status object, such as AlreadyExists."""


def outcome_of(status: int, reason: str = "") -> Outcome:
    """Return what an HTTP status, and the server's reason for it, mean for a report.

    409 is AlreadyExists: delivered before. With the reason Conflict nothing was made: a quota was counted at the same
    moment. 401, 403 and 404 pass: a token, a right or the kind itself can be late. (A report may be forbidden for
    good, too: one of a node that had another name, or by somebody's admission policy.)
    """
    if 200 <= status < 300 or (status == 409 and reason != _CONFLICT):
        return Outcome.DONE
    return Outcome.REJECTED if status in _REJECTED else Outcome.RETRY


def wait_after(failures: int, retry_after: float | None, spread: float) -> float:
    """Return the seconds to wait after so many failures in a row (from 1); `spread` is a random number in [0, 1)."""
    wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT) * (0.5 + spread / 2)
    return max(wait, min(retry_after or 0.0, LONGEST_WAIT))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _words(body: bytes) -> tuple[str, str]:
    """Return message and reason of a Status object, bounded; empty where a body is none."""
    try:
        status = json.loads(body)
        return str(status["message"])[:500], str(status.get("reason", ""))[:100]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", ""


class ApiClient:
    """One connection to the API server, kept open; the token is read anew for each request and never logged."""

    def __init__(self, address: str, namespace: str, token_file: Path, ca_file: Path) -> None:
        self._address = urlsplit(address)
        self._path = f"/apis/memdiag.dev/v1alpha1/namespaces/{namespace}/memoryreports"
        self._token_file = token_file
        self._ca_file = ca_file
        self._connection: http.client.HTTPConnection | None = None

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port or 80, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=str(self._ca_file))
        # Python 3.13 refuses authorities without a key usage, which clusters in the field have; the chain is verified
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return http.client.HTTPSConnection(host, port or 443, timeout=TIMEOUT_SECONDS, context=context)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, report: bytes, token: str) -> tuple[http.client.HTTPResponse, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._connection.request(
                "POST",
                self._path,
                body=report,
                headers={"Content-Type": "application/json", "Accept": _ACCEPT, "Authorization": f"Bearer {token}"},
            )
            answer = self._connection.getresponse()
            body = answer.read(_LONGEST_ANSWER)
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if not answer.isclosed() or answer.will_close:
            self.close()
        return answer, body

    def create(self, report: bytes) -> Answer:
        """Send one report.

        Raises OSError or http.client.HTTPException when there is no answer, ValueError when there is no token.
        """
        token = self._token_file.read_text(encoding="ascii").strip()
        if len(token.split()) != 1:  # the library's own error would show it
            raise ValueError(f"{self._token_file} holds no token, which is one word")
        reused = self._connection is not None
        try:
            answer, body = self._exchange(report, token)
        except (ConnectionError, http.client.BadStatusLine):
            if not reused:
                raise
            # The server closed a connection that was idle; a report that it took nevertheless answers 409.
            answer, body = self._exchange(report, token)
        message, reason = _words(body)
        return Answer(answer.status, _seconds(answer.getheader("Retry-After")), message, reason)


class Delivery(threading.Thread):
    """The thread that empties the spool."""

    def __init__(
        self,
        spool: Spool,
        create: Callable[[bytes], Answer],
        spread: Callable[[], float] = random.random,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="delivery", daemon=True)
        self._spool = spool
        self._create = create
        self._spread = spread
        self._steady = steady
        self._failed_last = ""
        self._forbidden: dict[str, tuple[float, int]] = {}
        """Of each report that is forbidden: since when, and how many had been delivered then."""
        self._stopping = threading.Event()
        self._failures = 0
        self.last_turn = time.monotonic()
        """When the thread last showed life, monotonic seconds."""
        self.last_delivered: float | None = None
        """When the API server last took a report, monotonic seconds."""

    def stop(self) -> None:
        """End the thread after the delivery that is under way."""
        self._stopping.set()
        self._spool.arrived.set()

    def deliver(self, name: str) -> float | None:
        """Deliver one report; returns the seconds to wait before the next attempt, None to go on at once."""
        try:
            report = self._spool.read(name)
            if report is None:
                return None
            answer = self._create(report)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return self._failed(name, None, f"{type(error).__name__}: {error}")
        outcome = outcome_of(answer.status, answer.reason)
        if answer.status == _FORBIDDEN and self._forbidden_alone(name):
            outcome = Outcome.REJECTED
        if outcome is Outcome.RETRY:
            return self._failed(name, answer.retry_after, f"HTTP {answer.status} {answer.message}")
        self._failures = 0
        self._forbidden.pop(name, None)
        if outcome is Outcome.DONE:
            self._spool.done(name)
            self.last_delivered = time.monotonic()
            log("report delivered", report=name, status=answer.status)
        else:
            self._spool.reject(name)
            log("report rejected, put aside", report=name, status=answer.status, reason=answer.message)
        return None

    def _forbidden_alone(self, name: str) -> bool:
        """Return whether a report was forbidden for ten minutes in which others were taken: its own fault, then."""
        since, delivered = self._forbidden.setdefault(name, (self._steady(), self._spool.counts.delivered))
        return self._steady() - since >= REFUSED_SECONDS and self._spool.counts.delivered > delivered

    def in_turn(self) -> list[str]:
        """Return the reports that wait, oldest first, but from the one on that failed last: it may fail alone."""
        names = self._spool.waiting()
        place = names.index(self._failed_last) + 1 if self._failed_last in names else 0
        return names[place:] + names[:place]

    def _failed(self, name: str, retry_after: float | None, reason: str) -> float:
        self._failures += 1
        self._failed_last = name
        wait = wait_after(self._failures, retry_after, self._spread())
        log("report not delivered, waiting", report=name, reason=reason, seconds=round(wait, 2))
        return wait

    def run(self) -> None:
        """Deliver until stopped."""
        while not self._stopping.is_set():
            self.last_turn = time.monotonic()
            self._spool.arrived.clear()
            for name in self.in_turn():
                wait = self.deliver(name)
                self.last_turn = time.monotonic()
                if wait is not None:
                    self._stopping.wait(wait)
                    break
                if self._stopping.is_set():
                    return
            else:
                self._spool.arrived.wait(5.0)
