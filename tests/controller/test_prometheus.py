"""A real Prometheus, over TLS and behind a gate that asks for token and tenant: a slow leak is told by two weeks."""

from __future__ import annotations

import http.client
import math
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from memdiag.controller.longhistory import HistoryReader, Question, step_for
from memdiag.controller.prometheus import Prometheus, StoreError, StoreOptions
from memdiag.diagnosis import diagnose
from memdiag.model.trace import Run, RunEnd, Trace
from memdiag.model.verdict import Cause
from testbed import pki
from testbed import prometheus as package
from testbed.shell import TestbedError
from tests.controller.support import MIB, identity, wait_for

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(120)]

SCRAPE = 300.0
DAY = 86400.0
TOKEN = "s3cret-token"
QUESTION = Question("shop", "Deployment", "web", "app", 1)
POD = "web-6d4b75cb6d-hwxpq"


def openmetrics(now: float) -> str:
    """Return two runs of a pod, each leaking for days from 40 to 120 MiB; the first is told on after its end."""
    spans = [(1, now - 11 * DAY, now - 6 * DAY), (2, now - 6 * DAY + 60, now - 3 * SCRAPE)]
    working, limits, starts = [], [], []
    for number, begin, end in spans:
        path = f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{identity(number)}.scope"
        labels = f'{{namespace="shop",pod="{POD}",container="app",id="{path}",name="{identity(number)}"}}'
        count = int((end - begin) / SCRAPE)
        for step in range(count + (4 if number == 1 else 1)):
            moment = begin + step * SCRAPE
            wave = 1.5 * MIB * math.sin(moment / 7000)
            value = (40 + 80 * min(step, count) / count) * MIB + (wave if step < count else 0)
            working.append(f"container_memory_working_set_bytes{labels} {value:.0f} {moment:.0f}")
            limits.append(f"container_spec_memory_limit_bytes{labels} {128 * MIB} {moment:.0f}")
            starts.append(f"container_start_time_seconds{labels} {begin - 5:.0f} {moment:.0f}")
    other = f'{{namespace="shop",pod="webx",container="app",id="/{identity(9)}"}} 1 {now - DAY:.0f}'
    lines = ["# TYPE container_memory_working_set_bytes gauge", *working]
    lines += [f"container_memory_working_set_bytes{other}"]
    lines += ["# TYPE container_spec_memory_limit_bytes gauge", *limits]
    lines += ["# TYPE container_start_time_seconds gauge", *starts]
    return "\n".join([*lines, "# EOF", ""])


class Gate(BaseHTTPRequestHandler):
    """Lets who has token and tenant through to Prometheus, over TLS on both sides."""

    upstream: int
    context: ssl.SSLContext

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if (self.headers.get("Authorization"), self.headers.get("X-Scope-OrgID")) != (f"Bearer {TOKEN}", "team-a"):
            self._answer(401, b"who are you? " + TOKEN.encode())
            return
        connection = http.client.HTTPSConnection("127.0.0.1", self.upstream, context=self.context, timeout=20)
        try:
            connection.request("POST", self.path, body, {"Content-Type": self.headers["Content-Type"]})
        except ConnectionRefusedError:
            self._answer(502, b"Prometheus has not started yet")
            return
        answer = connection.getresponse()
        self._answer(answer.status, answer.read())
        connection.close()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreOptions]:
    """Give a store behind its gate, filled with two weeks."""
    try:
        package.program("prometheus")
    except TestbedError as error:
        pytest.fail(f"Debian's package prometheus cannot be had: {error}", pytrace=False)
    folder = tmp_path_factory.mktemp("prometheus")
    keys = pki.create(folder / "pki", ())
    tls = f"tls_server_config:\n  cert_file: {keys.crt('apiserver')}\n  key_file: {keys.key('apiserver')}\n"
    (folder / "web.yml").write_text(tls)
    with package.filled(folder, openmetrics(time.time()), f"--web.config.file={folder / 'web.yml'}") as inner:
        yield from _behind_its_gate(folder, keys, inner)


def _behind_its_gate(folder: Path, keys: pki.Pki, inner: int) -> Iterator[StoreOptions]:
    context = ssl.create_default_context(cafile=str(keys.crt("ca")))
    gate = ThreadingHTTPServer(("127.0.0.1", 0), type("Gate", (Gate,), {"upstream": inner, "context": context}))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(keys.crt("apiserver"), keys.key("apiserver"))
    gate.socket = serving.wrap_socket(gate.socket, server_side=True)
    thread = threading.Thread(target=gate.serve_forever, daemon=True)
    thread.start()
    (folder / "token").write_text(f"{TOKEN}\n")
    options = StoreOptions(f"https://127.0.0.1:{gate.server_address[1]}", keys.crt("ca"), folder / "token", "team-a")
    try:
        wait_for(lambda: _answers(options), 30)
        yield options
    finally:
        gate.shutdown()
        gate.server_close()


def _answers(options: StoreOptions) -> bool:
    try:
        return bool(Prometheus(options).at("vector(1)", time.time()))
    except StoreError:
        return False


def test_two_weeks_tell_a_slow_leak_that_the_api_alone_cannot(store: StoreOptions) -> None:
    now = time.time()
    killed = Run(identity(2), end=RunEnd(now - 2.5 * SCRAPE, exit_code=137, reason="OOMKilled", killed=True))
    trace = Trace((killed,), namespace="shop", pod=POD, container="app", limit_bytes=128 * MIB)
    assert diagnose(trace).cause is Cause.INCONCLUSIVE

    (longer,), missing = HistoryReader(Prometheus(store)).extend([trace], QUESTION)
    assert missing == ()
    assert [run.container_id for run in longer.runs] == [identity(1), identity(2)]
    first, second = longer.runs
    for run, days in ((first, 5), (second, 6)):
        assert len(run.samples) == pytest.approx(days * DAY / step_for(1), rel=0.05)
        assert {sample.level.max for sample in run.samples} == {128 * MIB}
        assert run.samples[-1].level.current == pytest.approx(120 * MIB, rel=0.02)
    assert first.end is not None
    assert second.started is not None
    assert first.end.t <= second.started, "what cAdvisor repeated of the first run is gone"
    found = diagnose(longer)
    assert found.cause is Cause.LEAK, found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tenant": None}, "answers 401"),
        ({"token_file": None}, "answers 401"),
        ({"token_file": Path("/nowhere/token")}, "token file /nowhere/token cannot be read"),
        ({"ca_file": None}, "does not answer: SSLError"),
        ({"url": "https://127.0.0.1:1"}, "does not answer"),
    ],
)
def test_what_is_wrong_is_said_without_a_secret(store: StoreOptions, change: dict[str, Any], said: str) -> None:
    with pytest.raises(StoreError, match=said) as found:
        Prometheus(replace(store, **change)).at("up", time.time())
    assert TOKEN not in str(found.value)


def test_prometheus_own_words_on_a_bad_query_are_kept(store: StoreOptions) -> None:
    with pytest.raises(StoreError, match=r"answers 400: .*parse error"):
        Prometheus(store).at("sum(", time.time())
