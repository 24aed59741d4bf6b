"""Which cluster and namespace a command is about: kubeconfig, context, -n and -A; and what is said when it fails."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from memdiag.kube.api import Api, ApiError, Body, HttpApi, JsonObject, NotFoundError, PermanentError, connect
from memdiag.kube.kubeconfig import chosen_kubeconfig, namespace_of
from memdiag.report.words import printable

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_NO_ANSWER = re.compile(r"(Failed to establish a new connection: )?(\[Errno [-0-9]+\] [^')\"]+)")


class Reached(Api, Protocol):
    """What the commands ask of an API server: `memdiag.kube.api.HttpApi`."""

    def strategic_patch(self, path: str, body: Body) -> JsonObject:
        """Apply a strategic merge patch."""


class Refused(Exception):  # noqa: N818  # nothing went wrong: what was asked for is not done, and why
    """What is asked for cannot or should not be done; the message says why, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """An API server, and the namespace that was chosen: None for all of them."""

    api: Reached
    namespace: str | None

    @property
    def where(self) -> str:
        """The namespace for people."""
        return "any namespace" if self.namespace is None else f"namespace {self.namespace}"


def configure(parser: argparse.ArgumentParser, *, everywhere: bool = False) -> None:
    """Add the options; `everywhere` allows all namespaces at once."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("-n", "--namespace", type=name, help="the namespace (default: that of the context)")
    if everywhere:
        chosen.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces")
    configure_cluster(parser)


def configure_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which cluster is meant."""
    parser.add_argument("--context", metavar="NAME", help="a context of the kubeconfig (default: its current one)")
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: $KUBECONFIG, as kubectl)"
    )


def name(text: str) -> str:
    """Return a name of an object as it is. Raises argparse.ArgumentTypeError when no object can have it."""
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no name of an object")
    return text


def _target(arguments: argparse.Namespace) -> Target:
    """Return the target of the command line. Raises PermanentError when there is no way to a cluster."""
    kubeconfig = chosen_kubeconfig(arguments.kubeconfig)
    api = HttpApi(connect(kubeconfig, arguments.context))
    if getattr(arguments, "all_namespaces", False):
        return Target(api, None)
    return Target(api, arguments.namespace or namespace_of(kubeconfig, arguments.context))


def explained(error: ApiError) -> str:
    """Return what an answer of the API server, or its absence, means for people."""
    said = printable(str(error))
    if error.status == 401:
        return f"the cluster does not know who you are: log in again, or choose another --context ({said})"
    if error.status == 403:
        return f"you are not allowed to do this: {said}"
    if isinstance(error, NotFoundError) and "/apis/memdiag.dev/" in said:
        return f"the cluster does not serve memdiag's kinds: install memdiag, or its crds, first ({said})"
    if error.status is None and not isinstance(error, PermanentError):
        reason = _NO_ANSWER.search(said)
        return f"the cluster does not answer: {reason[2] if reason else said} (another --context or --kubeconfig?)"
    return said


def online(arguments: argparse.Namespace, act: Callable[[argparse.Namespace, Target], int]) -> int:
    """Act on the chosen cluster and return the exit status: 1 for what is refused, 2 when the cluster did not do it."""
    try:
        return act(arguments, _target(arguments))
    except Refused as error:
        print(f"memdiag {arguments.command}: {error}", file=sys.stderr)
        return 1
    except ApiError as error:
        print(f"memdiag {arguments.command}: {explained(error)}", file=sys.stderr)
        return 2
