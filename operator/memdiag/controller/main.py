"""`memdiag operator`: options, connection, signals."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import sys
from collections.abc import Sequence

from memdiag.alerts.settings import SettingsError
from memdiag.controller import logs
from memdiag.controller.app import Operator
from memdiag.controller.lease import LeaseLostError
from memdiag.controller.options import configure, options_of
from memdiag.diagnosis import diagnose
from memdiag.kube.api import PermanentError, connect
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Diagnosis

__all__ = ["configure", "run"]

_log = logging.getLogger(__name__)
_M_ARENA_MAX, _HEAPS = -8, 2


def run(arguments: argparse.Namespace) -> int:
    """Run the operator until it is told to stop; return the exit status."""
    if not arguments.namespace:
        print("memdiag operator: --namespace is needed: the namespace that memdiag is installed in", file=sys.stderr)
        return 2
    if (arguments.alerts is None) != (arguments.alerts_secret is None):
        print("memdiag operator: --alerts and --alerts-secret go together", file=sys.stderr)
        return 2
    logs.configure()
    _few_heaps()
    try:
        api_client = connect(arguments.kubeconfig)
        operator = Operator(api_client, options_of(arguments), _verdict)
    except (PermanentError, SettingsError) as error:
        print(f"memdiag operator: {error}", file=sys.stderr)
        return 2
    # what is there now stays: the collector need not look through it again in each of its turns
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(_until_signal(operator))
    except LeaseLostError as error:
        _log.warning("%s; this operator ends, to stand by when it is started again", error)
        return 1
    return 0


def _few_heaps() -> None:
    """Let threads share heaps where the C library is glibc: each of its own keeps what its largest answer took."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)


def _verdict(
    trace: Trace, siblings: Sequence[Trace], limit_hit: LimitHit | None, surroundings: Surroundings
) -> Diagnosis:
    return diagnose(trace, siblings, limit_hit=limit_hit, surroundings=surroundings)


async def _until_signal(operator: Operator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    listen()
    # kopf takes the signals when it starts, and nobody else would hear of them
    await operator.run(stop, watching=listen)
    _log.info("operator stopped")
