"""The API, with every answer that is no success counted by its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from memdiag.controller.metrics import Metrics, api_code
from memdiag.kube.api import Api, ApiError, Body, JsonObject


class MeteredApi:
    """Hands every call on to another Api."""

    def __init__(self, api: Api, metrics: Metrics) -> None:
        self._api = api
        self._errors = metrics.api_errors

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            self._errors.labels(api_code(error.status)).inc()
            raise

    def _call(self, call: Callable[[], JsonObject]) -> JsonObject:
        with self._counted():
            return call()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        """Return what a GET answers."""
        return self._call(lambda: self._api.get(path, query))

    def create(self, path: str, body: Body) -> JsonObject:
        """Create an object in a collection; of the answer only `metadata` is sure to be there."""
        return self._call(lambda: self._api.create(path, body))

    def replace(self, path: str, body: Body) -> JsonObject:
        """Replace an object, or its status."""
        return self._call(lambda: self._api.replace(path, body))

    def patch(self, path: str, body: Body) -> JsonObject:
        """Apply a JSON merge patch."""
        return self._call(lambda: self._api.patch(path, body))

    def delete(self, path: str, version: str | None = None) -> None:
        """Delete an object; one that is gone already is no error."""
        with self._counted():
            self._api.delete(path, version)

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the pages of a list."""
        with self._counted():
            yield from self._api.pages(path, query)

    def metadata(self, path: str) -> Iterator[JsonObject]:
        """Yield the pages of a list, of each object its metadata only."""
        with self._counted():
            yield from self._api.metadata(path)

    def watch(self, path: str, query: Mapping[str, str], read_timeout: float) -> Iterator[JsonObject]:
        """Yield watch events until the server ends the stream."""
        with self._counted():
            yield from self._api.watch(path, query, read_timeout)
