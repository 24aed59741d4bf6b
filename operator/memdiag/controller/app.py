"""Wire the operator together: kopf for our reports, own watches for pods and diagnoses, worker, witness and health."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import kopf
from kubernetes import client

from memdiag.controller.diagnoser import Diagnoser, Verdict, Written, no_history, subject_of
from memdiag.controller.events import Events
from memdiag.controller.health import HealthServer
from memdiag.controller.installation import Installation
from memdiag.controller.lease import Lease
from memdiag.controller.listwatch import ListWatch, Sink
from memdiag.controller.longhistory import HistoryReader
from memdiag.controller.meteredapi import MeteredApi
from memdiag.controller.metrics import Metrics, Resolution, Retention
from memdiag.controller.namespaces import Namespaces
from memdiag.controller.nostorage import NoDiffBase, NoProgress
from memdiag.controller.options import Options
from memdiag.controller.podbook import Ended, PodBook
from memdiag.controller.prometheus import Prometheus
from memdiag.controller.secondwitness import SecondWitness
from memdiag.controller.surroundings import SurroundingsReader
from memdiag.controller.upkeep import Upkeep
from memdiag.controller.worker import Worker
from memdiag.controller.workloads import Workloads
from memdiag.kube.api import Api, ApiError, HttpApi, lenient
from memdiag.kube.kinds import API_VERSION, DIAGNOSIS, KINDS, REPORT
from memdiag.kube.pods import Pod
from memdiag.model.report import GROUP, VERSION
from memdiag.model.verdict import Cause

if TYPE_CHECKING:
    from memdiag.controller.alerting import Alerting

_log = logging.getLogger(__name__)
_HEARTBEAT = 1.0
_STUCK = 30.0
_WATCH_TOO_OLD = 180.0
_QUEUE_TOO_OLD = 120.0
_LEASE_TOO_OLD = 30.0
_KINDS_PAUSE = 5.0
_NAMESPACES_PAUSE = 0.2
_THREADS = 16
_Part = Coroutine[Any, Any, None]


def kopf_settings() -> kopf.OperatorSettings:
    """Return settings under which kopf watches and does nothing else: no events, no peering, no discovery of kinds."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = 600
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 50
    settings.networking.request_timeout = 30
    settings.queueing.worker_limit = 50
    # a report is seen once: its worker would otherwise wait 5 s for more, and keep others out
    settings.queueing.idle_timeout = 0.1
    settings.execution.max_workers = 4
    settings.process.ultimate_exiting_timeout = 10
    settings.persistence.finalizer = f"{GROUP}/never-set"
    settings.persistence.progress_storage = NoProgress()
    settings.persistence.diffbase_storage = NoDiffBase()
    return settings


def kopf_registry(login: Callable[[], kopf.ConnectionInfo], worker: Worker) -> kopf.OperatorRegistry:
    """Return a registry with the one handler that writes nothing on the object: on.event of reports."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return login()

    @kopf.on.event(GROUP, VERSION, REPORT.plural, registry=registry)
    async def on_report(event: kopf.RawEvent, **_: Any) -> None:
        item: Mapping[str, Any] = event["object"]
        if event["type"] == "DELETED":
            worker.drop(item["metadata"]["name"])
        else:
            worker.put(item)

    return registry


class _Connection(kopf.ConnectionInfo):
    """kopf's way to the API server, as strict about certificates as the client's: see `kube.api.lenient`."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """Return kopf's context without the pedantry that Python 3.13 added."""
        return lenient(super().as_ssl_context())


def connection_of(configuration: client.Configuration) -> kopf.ConnectionInfo:
    """Return the client's way to the API server as kopf's; a token is read anew, as the client does."""
    text = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    return _Connection(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        token=text.split(" ", 1)[-1] if text else None,
    )


class _Diagnoses:
    """Asks for a new verdict when a user made a diagnosis or changed its spec; alerts hear of every change."""

    def __init__(self, ask: Callable[[dict[str, Any]], None], tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._ask = ask
        self._tell = tell

    def changed(self, item: Mapping[str, Any]) -> None:
        self._tell(item)
        status = item.get("status") or {}
        if status.get("observedGeneration") != item["metadata"].get("generation"):
            self._ask(dict(item))

    def removed(self, item: Mapping[str, Any]) -> None:
        """Leave it: a diagnosis that a user deletes comes back with the next kill."""

    def listed(self, uids: set[str]) -> None:
        """Leave it: nothing is kept of a diagnosis."""


class Operator:
    """The whole operator; `run` ends when its flag is set, or a part of it fails."""

    def __init__(
        self, api_client: client.ApiClient, options: Options, verdict: Verdict, api: Api | None = None
    ) -> None:
        self._client = api_client
        self._options = options
        self._metrics = Metrics()
        self._api: Api = MeteredApi(api or HttpApi(api_client), self._metrics)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._book = PodBook(self._pod_changed)
        self._pods = self._follow("pods", "/api/v1/pods", self._book)
        self._mine = self._follow(
            DIAGNOSIS.plural, DIAGNOSIS.path(), _Diagnoses(self._spec_changed, self._diagnosis_changed)
        )
        self._events = Events(self._api, self._metrics, options.instance)
        self._namespaces = Namespaces(
            options.include_namespaces, options.exclude_namespaces, selector=options.namespace_selector
        )
        self._named = self._follow("namespaces", "/api/v1/namespaces", self._namespaces, options.namespace_selector)
        self._installation = Installation(self._api, options.namespace, options.service_account, options.instance)
        self._diagnoser = Diagnoser(
            self._api,
            verdict,
            told=self._written,
            deleted=self._metrics.retention.labels(Retention.WORKLOAD).inc,
            keep=options.keep.workload,
            around=SurroundingsReader(self._api).of,
            alike=self._book.alike,
            pod_limit=self._book.limit,
            history=no_history if options.store is None else HistoryReader(Prometheus(options.store)).extend,
        )
        workloads = Workloads(self._api)
        self._witness = SecondWitness(
            self._api,
            self._diagnoser,
            metrics=self._metrics,
            installation=self._installation,
            enabled=options.second_witness,
            agents=options.agents,
        )
        self._alerting = _alerting(self._api, options, self._events, self._metrics)
        self._worker = Worker(
            self._api,
            self._book,
            self._diagnoser,
            self._witness,
            synced=lambda: self._pods.synced,
            metrics=self._metrics,
            chosen=self._namespaces.chosen,
            installation=self._installation,
            workloads=workloads,
        )
        self._upkeep = Upkeep(
            self._api,
            self._diagnoser,
            workloads,
            self._book.living,
            self._metrics,
            keep=options.keep,
            quiet_hours=options.quiet_hours,
        )
        self._lease = Lease(
            self._api, options.namespace, options.service_account or "memdiag-operator", options.instance
        )
        self._witness.reported = self._worker.expects
        self._diagnoser.pouring = self._worker.pouring
        self._add_gauges()
        self._beat = time.monotonic()
        self._ready = asyncio.Event()
        self._kopf_end = asyncio.Event()
        self._asked: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event, watching: Callable[[], None] = lambda: None) -> None:
        """Run until stopped; `watching` is called once kopf has started. Raises what a part could not survive."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="api"))
        health = None
        if self._options.health_port is not None:
            health = HealthServer(self._options.health_port, self._liveness(), self._readiness(), self._metrics.expose)
            health.start()
        parts = [asyncio.create_task(self._heartbeat(), name="heartbeat")]
        last: list[asyncio.Task[None]] = []
        try:
            if self._options.standby:
                await self._lease.acquire(stop)
                if not stop.is_set():
                    parts.append(asyncio.create_task(self._lease.keep(), name="lease"))
            await self._kinds_exist(stop)
            await self._load(stop)
            if stop.is_set():
                return
            await self._choose(stop)
            self._pods.start()
            self._mine.start()
            parts += [asyncio.create_task(part, name=name) for name, part in self._parts(watching)]
            parts.append(asyncio.create_task(_flag(stop), name="told to end"))
            last.append(asyncio.create_task(self._kopf(), name="kopf"))
            done, _ = await asyncio.wait([*parts, *last], return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for watch in (self._named, self._pods, self._mine):
                watch.stop()
            parts += self._asked
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await self._diagnoser.close()
            # kopf takes whatever still runs for its own, waits 5 s for it, and cancels it
            self._kopf_end.set()
            await asyncio.gather(*last, return_exceptions=True)
            await asyncio.to_thread(self._lease.release)
            if health is not None:
                health.stop()

    def _parts(self, watching: Callable[[], None]) -> Iterator[tuple[str, _Part]]:
        """Yield what runs from the start to the end, beside kopf."""
        yield "worker", self._worker.run()
        yield "witness", self._witness.run()
        yield "events", self._events.run()
        yield "installation", self._installation.run(self._events.put)
        yield "upkeep", self._upkeep.run()
        if self._alerting is not None:
            yield "alerting", self._alerting.run()
        yield "announce", self._announce(watching)

    def _follow(self, collection: str, path: str, sink: Sink, selector: str = "") -> ListWatch:
        restarts = self._metrics.watch_restarts
        return ListWatch(
            self._api, path, sink, selector=selector, began_anew=lambda why: restarts.labels(collection, why).inc()
        )

    def _add_gauges(self) -> None:
        for name, read in (
            ("memdiag_report_queue_depth", self._worker.depth),
            ("memdiag_report_queue_age_seconds", self._worker.oldest_age),
            ("memdiag_pods", lambda: len(self._book)),
            ("memdiag_events_waiting", self._events.waiting),
            ("memdiag_alerts_waiting", lambda: 0 if self._alerting is None else self._alerting.waiting()),
        ):
            self._metrics.read_gauge(name, read)

    async def _kopf(self) -> None:
        configuration = self._client.configuration
        await kopf.operator(
            registry=kopf_registry(lambda: connection_of(configuration), self._worker),
            settings=kopf_settings(),
            namespaces=[self._options.namespace],
            stop_flag=self._kopf_end,
            ready_flag=self._ready,
        )

    async def _announce(self, watching: Callable[[], None]) -> None:
        await self._ready.wait()
        watching()
        _log.info("operator watches", extra={"k8s.namespace.name": self._options.namespace})
        await asyncio.Event().wait()

    async def _kinds_exist(self, stop: asyncio.Event) -> None:
        wanted = {kind.plural for kind in KINDS}
        while not stop.is_set():
            try:
                found = await asyncio.to_thread(self._api.get, f"/apis/{API_VERSION}")
                missing = wanted - {resource["name"] for resource in found["resources"]}
                if not missing:
                    return
                _log.warning("kinds are missing: %s; apply memdiag's CRDs", ", ".join(sorted(missing)))
            except ApiError as error:
                _log.warning("kinds of %s not found (are memdiag's CRDs applied?): %s", API_VERSION, error)
            await _pause(stop, _KINDS_PAUSE)

    async def _choose(self, stop: asyncio.Event) -> None:
        """Wait until the namespaces are known, where labels choose them: no pod is looked at before."""
        if self._namespaces.selector:
            self._named.start()
            while not self._named.synced and not stop.is_set():
                await _pause(stop, _NAMESPACES_PAUSE)

    async def _load(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await asyncio.to_thread(self._installation.load)
                await asyncio.to_thread(self._witness.load)
            except ApiError as error:
                _log.warning("incidents not read, trying again in %.0f s: %s", _KINDS_PAUSE, error)
                await _pause(stop, _KINDS_PAUSE)
            else:
                return

    async def _heartbeat(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(_HEARTBEAT)

    def _pod_changed(self, pod: Pod, ended: list[Ended]) -> None:
        self._in_loop(self._take_pod, pod, ended)

    def _take_pod(self, pod: Pod, ended: list[Ended]) -> None:
        self._worker.pod_changed(pod.uid)
        if self._namespaces.chosen(pod.namespace):
            self._witness.pod(pod)
            for end in ended:
                self._witness.ended(end)

    def _written(self, written: Written) -> None:
        """Count and announce a diagnosis; called from the thread that wrote it."""
        self._metrics.diagnoses.labels(written.status.cause or Cause.INCONCLUSIVE).inc()
        if written.reopened:
            self._metrics.resolutions.labels(Resolution.REOPENED).inc()
        now = time.time()
        for incident in written.fresh:
            if not incident.spec.found_before_install and incident.spec.kill.fold is None:
                self._metrics.kill_to_diagnosis.observe(max(now - incident.time, 0.0))
        self._in_loop(self._events.offer, written)

    def _spec_changed(self, item: dict[str, Any]) -> None:
        self._in_loop(self._ask, item)

    def _diagnosis_changed(self, item: Mapping[str, Any]) -> None:
        if self._alerting is not None:
            self._in_loop(self._alerting.changed, item)

    def _ask(self, item: dict[str, Any]) -> None:
        task = asyncio.create_task(self._diagnose(item), name="changed diagnosis")
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _diagnose(self, item: dict[str, Any]) -> None:
        try:
            await self._diagnoser.request(subject_of(item))
        except (ApiError, ValueError) as error:
            _log.warning("diagnosis %s not written anew: %s", item["metadata"]["name"], error)

    def _in_loop(self, call: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call, *arguments)

    def _liveness(self) -> dict[str, Callable[[], str | None]]:
        return {
            "event loop": self._stuck,
            "pod watch": lambda: _ended(self._pods),
            "diagnosis watch": lambda: _ended(self._mine),
            "namespace watch": lambda: _ended(self._named),
        }

    def _readiness(self) -> dict[str, Callable[[], str | None]]:
        working: dict[str, Callable[[], str | None]] = {
            "pod list": lambda: None if self._pods.synced else "not complete yet",
            "pod watch silence": lambda: _over(self._pods.age(), _WATCH_TOO_OLD),
            "diagnosis watch silence": lambda: _over(self._mine.age(), _WATCH_TOO_OLD),
            "kopf": lambda: None if self._ready.is_set() else "not started yet",
            "queue": lambda: _over(self._worker.queue_age(), _QUEUE_TOO_OLD),
        }
        ready = self._liveness()
        for name, check in working.items():
            ready[name] = partial(self._at_work, check)
        if self._options.standby:
            ready["lease"] = self._lease_silent
        return ready

    def _at_work(self, check: Callable[[], str | None]) -> str | None:
        """Ask a check of an operator that works: one that stands by is ready to."""
        return None if self._options.standby and not self._lease.held else check()

    def _lease_silent(self) -> str | None:
        return _over(self._lease.age(), _LEASE_TOO_OLD)

    def _stuck(self) -> str | None:
        return _over(time.monotonic() - self._beat, _STUCK)


def _alerting(api: Api, options: Options, events: Events, metrics: Metrics) -> Alerting | None:
    """Return the alerts that the command line asks for, None for none. Raises SettingsError."""
    if options.alerts is None or options.alerts_secret is None:
        return None
    # slack_sdk and the drawing library cost memory that is not paid where nobody is told
    from memdiag.controller.alerting import alerting_of  # noqa: PLC0415

    return alerting_of(api, options.alerts, options.alerts_secret, options.instance, events=events, metrics=metrics)


def _ended(watch: ListWatch) -> str | None:
    return "its thread ended" if watch.ended() else None


def _over(age: float, most: float) -> str | None:
    return f"{age:.0f} s old, at most {most:.0f} s are healthy" if age > most else None


async def _flag(stop: asyncio.Event) -> None:
    await stop.wait()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
