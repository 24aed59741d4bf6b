"""Liveness, readiness and metrics over HTTP, in a thread, so that a stuck event loop is seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from memdiag.controller.metrics import CONTENT_TYPE
from memdiag.pages import Page, PageServer

Check = Callable[[], str | None]
"""Returns what is wrong, None when nothing is."""


class HealthServer(PageServer):
    """Serves /healthz and /readyz: 200 `ok`, or 503 and what is wrong, one problem a line; and /metrics."""

    def __init__(
        self, port: int, live: Mapping[str, Check], ready: Mapping[str, Check], metrics: Callable[[], bytes]
    ) -> None:
        checks = {"/healthz": live, "/readyz": ready}

        def page(path: str) -> Page:
            if path == "/metrics":
                return Page(200, CONTENT_TYPE, metrics())
            asked = checks.get(path)
            found = [] if asked is None else [(name, check()) for name, check in asked.items()]
            wrong = [f"{name}: {problem}" for name, problem in found if problem is not None]
            body = "\n".join(wrong or ["ok" if asked is not None else "no such page"]).encode() + b"\n"
            return Page(404 if asked is None else 503 if wrong else 200, "text/plain; charset=utf-8", body)

        super().__init__("", port, page)
