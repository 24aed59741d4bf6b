"""`memdiag agent`: wires the loop, the delivery and the health server, and ends on SIGTERM."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import threading
import time
from dataclasses import replace
from types import FrameType

from memdiag.agent import config as options
from memdiag.agent import metrics
from memdiag.agent.delivery import ApiClient, Delivery
from memdiag.agent.health import Health, Signals
from memdiag.agent.log import log
from memdiag.agent.loop import Agent, prepare_state
from memdiag.agent.spool import Spool


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    options.configure(parser)


def _more_files() -> None:
    """Allow as many open files as the system lets us: ten for each container."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(arguments: argparse.Namespace) -> int:
    """Run the agent until SIGTERM or SIGINT. Returns 2 for unusable options."""
    try:
        config = options.from_arguments(arguments)
    except options.ConfigError as error:
        print(f"memdiag agent: {error}", file=sys.stderr)
        return 2
    _more_files()
    try:
        prepare_state(config.state_dir)
        spool = Spool(config.state_dir)
        agent = Agent(config, spool)
    except OSError as error:
        print(f"memdiag agent: {error}: is --state-dir {config.state_dir} a writable folder?", file=sys.stderr)
        return 2
    return _work(config, spool, agent)


def _work(config: options.Config, spool: Spool, agent: Agent) -> int:
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    delivery: Delivery | None = None
    if config.api_server is None:
        log("no API server is known, reports wait in the spool", folder=str(config.state_dir / "spool"))
    else:
        client = ApiClient(config.api_server, config.namespace, config.token_file, config.ca_file)
        delivery = Delivery(spool, client.create)

    def signals() -> Signals:
        if delivery is None:
            return agent.signals()
        now, last = time.monotonic(), delivery.last_delivered
        return replace(
            agent.signals(),
            last_delivery_turn=now - delivery.last_turn,
            last_delivery=None if last is None else now - last,
        )

    health: Health | None = None
    if config.health_port:
        try:
            health = Health(config.health_host, config.health_port, signals, metrics.expose, metrics.CONTENT_TYPE)
        except OSError as error:
            print(f"memdiag agent: --health-port {config.health_port}: {error}", file=sys.stderr)
            return 2
        health.start()
    if delivery is not None:
        delivery.start()
    agent.start()
    agent.run(stopped.is_set)
    if delivery is not None:
        delivery.stop()
        delivery.join(timeout=5)
    if health is not None:
        health.stop()
    log("stopped")
    return 0
