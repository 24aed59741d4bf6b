"""A small synchronous client of the Kubernetes API: dictionaries in and out, an error tree, timeouts everywhere."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import urllib3
import yaml
from kubernetes import client, config
from urllib3.util.ssl_ import create_urllib3_context

from memdiag.kube.kubeconfig import current_context, impersonates

REQUEST_TIMEOUT = (5.0, 20.0)
"""Seconds to connect, and to wait for the next byte."""
PAGE = 100
"""Objects of a list at once: in memory they are thrice as large as on the way, and the heap keeps its largest size."""
MOST_PAGE_BYTES = 8 * 2**20
"""Of a page: one that is longer is asked for again with fewer objects. Anybody may make objects of a megabyte each."""
_CONNECTIONS = 32
"""More than there are threads: one that is given back to a full pool is closed, and its next use begins with TLS."""
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""What to accept where of an object its metadata are enough."""
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Body = Mapping[str, Any] | Sequence[Any]
JsonObject = dict[str, Any]


class ApiError(Exception):
    """The API server did not do what it was asked."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TransientError(ApiError):
    """It may work when tried again: overload, a restart, a broken connection."""

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class PermanentError(ApiError):
    """Trying the same again will not help."""


class TooLongError(PermanentError):
    """The answer is longer than is read."""


class NotFoundError(PermanentError):
    """The object, its namespace or its kind does not exist."""


class AlreadyExistsError(PermanentError):
    """An object of that name exists."""


class ConflictError(ApiError):
    """The object was changed in between: read it again."""


class ExpiredError(ApiError):
    """The resource version is too old: list again."""


class Api(Protocol):
    """What the operator asks of the API server."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        """Return what a GET answers."""

    def create(self, path: str, body: Body) -> JsonObject:
        """Create an object in a collection; of the answer only `metadata` is sure to be there."""

    def replace(self, path: str, body: Body) -> JsonObject:
        """Replace an object, or its status."""

    def patch(self, path: str, body: Body) -> JsonObject:
        """Apply a JSON merge patch."""

    def delete(self, path: str, version: str | None = None) -> None:
        """Delete an object, at that resource version only if one is given; one that is gone already is no error."""

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the pages of a list."""

    def metadata(self, path: str) -> Iterator[JsonObject]:
        """Yield the pages of a list, of each object its metadata only."""

    def watch(self, path: str, query: Mapping[str, str], read_timeout: float) -> Iterator[JsonObject]:
        """Yield watch events until the server ends the stream."""


def lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context without RFC 5280's letter: it verifies the chain and the name as before.

    Python 3.13 refuses authorities without a key usage or key identifier, and clusters in the field have such ones.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


_ACTS_AS = (
    "the context's user acts as another one (`as`), which memdiag cannot, and would silently have other rights: name a "
    "context without it with --context"
)


def connect(kubeconfig: Path | None, context: str | None = None) -> client.ApiClient:
    """Return a client from a kubeconfig and one of its contexts, or from the pod that this runs in when none is given.

    The path may be several files, as $KUBECONFIG has them. Raises PermanentError, saying what to do, when there is no
    way to an API server.
    """
    configuration = client.Configuration()
    try:
        if kubeconfig is not None:
            context = context or current_context(kubeconfig)
            config.load_kube_config(  # type: ignore[no-untyped-call]  # the client's config loaders carry no types
                str(kubeconfig), context=context, client_configuration=configuration, persist_config=False
            )
            if impersonates(kubeconfig, context):
                raise PermanentError(f"{kubeconfig}: {_ACTS_AS}")
        else:
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # as above
    except (config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
        where = "this pod's service account" if kubeconfig is None else str(kubeconfig)
        raise PermanentError(f"no way to the API server from {where}: {error} (name one with --kubeconfig)") from error
    except (AttributeError, LookupError, TypeError) as error:  # the client trusts the file's shape
        raise PermanentError(f"{kubeconfig} is no kubeconfig, or a broken one: {error}") from error
    configuration.retries = False
    configuration.connection_pool_maxsize = _CONNECTIONS
    api_client = client.ApiClient(configuration)
    tls = lenient(create_urllib3_context())
    how = api_client.rest_client.pool_manager.connection_pool_kw
    certificate, key = how.pop("cert_file", None), how.pop("key_file", None)
    if certificate is not None:
        try:
            # once: threads that each load it for a connection of theirs disturb one another
            tls.load_cert_chain(certificate, key)
        except OSError as error:
            raise PermanentError(f"{kubeconfig}: client certificate {certificate} cannot be used: {error}") from error
    how["ssl_context"] = tls
    return api_client


def error_from(status: int, body: bytes, headers: Mapping[str, str], what: str) -> ApiError:
    """Return the error that an answer stands for."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    message = f"{what}: {status} {str(answer.get('message') or body[:200].decode(errors='replace'))[:500]}"
    if status == 404:
        return NotFoundError(message, status)
    if status == 409:
        return (AlreadyExistsError if answer.get("reason") == "AlreadyExists" else ConflictError)(message, status)
    if status == 410:
        return ExpiredError(message, status)
    if status in {401, 408, 429} or status >= 500:
        after = headers.get("Retry-After", "")
        return TransientError(message, status, float(after) if after.isdigit() else None)
    return PermanentError(message, status)


class HttpApi:
    """The API over HTTP, through the official client's connection, credentials and their renewal."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self._client = api_client

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: tuple[float, float] = REQUEST_TIMEOUT,
    ) -> urllib3.BaseHTTPResponse:
        what = f"{method} {path}"
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=timeout)
            response: urllib3.BaseHTTPResponse = answer.response
            if response.status >= 400:
                raise error_from(response.status, response.read(), response.headers, what)
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise TransientError(f"{what}: {error}") from error
        return response

    def _json(self, method: str, path: str, most: int | None = None, **how: Any) -> JsonObject:
        response = self._send(method, path, **how)
        try:
            body = response.read(None if most is None else most + 1)
            if most is not None and len(body) > most:
                response.close()
                raise TooLongError(f"{method} {path}: the answer is longer than {most // 2**20} MiB")
            answer = json.loads(body)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise TransientError(f"{method} {path}: broken answer: {error}") from error
        finally:
            response.release_conn()
        if not isinstance(answer, dict):
            raise PermanentError(f"{method} {path}: answer is no object")
        return answer

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        """Return what a GET answers."""
        return self._json("GET", path, query=query)

    def create(self, path: str, body: Body) -> JsonObject:
        """Create an object in a collection; the answer has its metadata only."""
        return self._json("POST", path, body=body, accept=METADATA)

    def replace(self, path: str, body: Body) -> JsonObject:
        """Replace an object, or its status."""
        return self._json("PUT", path, body=body)

    def patch(self, path: str, body: Body) -> JsonObject:
        """Apply a JSON merge patch."""
        return self._json("PATCH", path, body=body, content_type="application/merge-patch+json")

    def strategic_patch(self, path: str, body: Body) -> JsonObject:
        """Apply a strategic merge patch, which kinds of Kubernetes itself understand: lists merge by their keys."""
        return self._json("PATCH", path, body=body, content_type="application/strategic-merge-patch+json")

    def delete(self, path: str, version: str | None = None) -> None:
        """Delete an object, at that resource version only if one is given; one that is gone already is no error.

        Raises ConflictError when it has another version by now.
        """
        try:
            self._json(
                "DELETE", path, body=None if version is None else {"preconditions": {"resourceVersion": version}}
            )
        except NotFoundError:
            return

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the pages of a list."""
        return self._pages(path, query or {})

    def metadata(self, path: str) -> Iterator[JsonObject]:
        """Yield the pages of a list, of each object its metadata only."""
        return self._pages(path, {}, accept=_METADATA_LIST)

    def _pages(self, path: str, query: Mapping[str, str], **how: Any) -> Iterator[JsonObject]:
        token, whole = "", int(query.get("limit", PAGE))
        limit = whole
        while True:
            asked = {**query, "limit": str(limit), **({"continue": token} if token else {})}
            try:
                page = self._json("GET", path, most=MOST_PAGE_BYTES if limit > 1 else None, query=asked, **how)
            except TooLongError:
                limit = max(limit // 4, 1)
                continue
            yield page
            limit = min(limit * 2, whole)
            token = str(page.get("metadata", {}).get("continue") or "")
            if not token:
                return

    def watch(self, path: str, query: Mapping[str, str], read_timeout: float) -> Iterator[JsonObject]:
        """Yield watch events until the server ends the stream; silence for `read_timeout` seconds is an error."""
        response = self._send("GET", path, query={**query, "watch": "true"}, timeout=(5.0, read_timeout))
        try:
            for line in response:
                if line.strip():
                    yield json.loads(line)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise TransientError(f"watch {path}: {error}") from error
        finally:
            response.close()
