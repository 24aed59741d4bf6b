"""A small client of any Prometheus-compatible store: range and instant queries, TLS, bearer token, tenant header."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

TENANT_HEADER = "X-Scope-OrgID"
"""As Mimir, Cortex, Loki and Thanos' receivers have it."""
MOST_BYTES = 2 * 2**20
"""Of one answer; a longer one is an error: as objects it would take twelve times as much."""
_TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)


class StoreError(Exception):
    """The store did not answer as it should; the message says what and holds no secret."""


class TooLongError(StoreError):
    """The answer is longer than is read: fewer points are to be asked for."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store is reached; secrets are read from files at each request, so that they may be renewed."""

    url: str
    """Where `/api/v1/query` hangs, such as `https://prometheus.monitoring:9090` or `https://mimir/prometheus`."""
    ca_file: Path | None = None
    token_file: Path | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and pairs of time (Unix seconds) and value in order."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """Asks one store. May be called from any thread."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        authority = None if options.ca_file is None else str(options.ca_file)
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=4, retries=False, timeout=_TIMEOUT, ca_certs=authority)
        parts = urlsplit(options.url)
        self.name = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        """The store as people may see it: host and port, never a password of the URL."""

    def over(self, query: str, start: float, end: float, step: int) -> list[Series]:
        """Return the series of a query over a range, a point each `step` seconds. Raises StoreError."""
        fields = {"query": query, "start": f"{start:.0f}", "end": f"{end:.0f}", "step": str(step)}
        return [_series(item, lambda one: one["values"]) for item in self._ask("query_range", fields, "matrix")]

    def at(self, query: str, moment: float) -> list[Series]:
        """Return the series of a query at one time, a point each. Raises StoreError."""
        fields = {"query": query, "time": f"{moment:.0f}"}
        return [_series(item, lambda one: [one["value"]]) for item in self._ask("query", fields, "vector")]

    def _ask(self, what: str, fields: Mapping[str, str], kind: str) -> list[dict[str, Any]]:
        url = f"{self._options.url.rstrip('/')}/api/v1/{what}"
        try:
            answer = self._pool.request(
                "POST", url, fields=dict(fields), encode_multipart=False, headers=self._headers(), preload_content=False
            )
            body = answer.read(MOST_BYTES + 1, decode_content=True)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreError(self._unreadable() or f"{self.name} does not answer: {type(error).__name__}") from error
        except ValueError:  # its words would show the token
            raise StoreError("the tenant, or the token in its file, has a character that no header may have") from None
        if answer.status != 200:
            raise StoreError(f"{self.name} answers {answer.status}{_reason(body)}")
        if len(body) > MOST_BYTES:
            raise TooLongError(f"{self.name} answers with more than {MOST_BYTES // 2**20} MiB")
        try:
            data = json.loads(body)["data"]
            found = data["result"]
            if data["resultType"] != kind or not isinstance(found, list):
                raise StoreError(f"{self.name} answers with no {kind}")
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.name} answers with no Prometheus API") from error
        return found

    def _unreadable(self) -> str | None:
        """Return what is wrong with the authority's file: the library says of it no more than that TLS failed."""
        authority = self._options.ca_file
        if authority is None:
            return None
        try:
            ssl.create_default_context(cafile=authority)
        except OSError as error:
            return f"the authority's file {authority} cannot be used: {error.strerror or type(error).__name__}"
        return None

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._options.tenant:
            headers[TENANT_HEADER] = self._options.tenant
        if self._options.token_file is not None:
            try:
                headers["Authorization"] = f"Bearer {self._options.token_file.read_text().strip()}"
            except OSError as error:
                raise StoreError(f"the token file {self._options.token_file} cannot be read") from error
        return headers


def _reason(body: bytes) -> str:
    """Return what a Prometheus says of its own error, nothing of what somebody else answered."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {''.join(sign for sign in str(said)[:200] if sign.isprintable())}"


def _series(item: Mapping[str, Any], read: Callable[[Mapping[str, Any]], list[Any]]) -> Series:
    try:
        labels = {str(name): str(value) for name, value in item["metric"].items()}
        return Series(labels, tuple((float(moment), float(value)) for moment, value in read(item)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError("a series of the answer is malformed") from error
