"""kopf's own pod watch, with a handler that only counts: `python -m bench.operator.kopf_watch KUBECONFIG COUNT`.

Prints a line once it has seen so many pods, and goes on watching until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import kopf

from memdiag.controller.app import connection_of
from memdiag.kube.api import connect


async def watch(kubeconfig: Path, count: int) -> None:
    """Watch all pods."""
    registry, seen = kopf.OperatorRegistry(), set()
    configuration = connect(kubeconfig).configuration

    @kopf.on.login(registry=registry)
    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return connection_of(configuration)

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def on_pod(uid: str, **_: Any) -> None:
        seen.add(uid)
        if len(seen) == count:
            print("seen", flush=True)

    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    await kopf.operator(registry=registry, settings=settings, clusterwide=True)


if __name__ == "__main__":
    asyncio.run(watch(Path(sys.argv[1]), int(sys.argv[2])))
