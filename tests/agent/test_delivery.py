from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from memdiag.agent.delivery import (
    LONGEST_WAIT,
    REFUSED_SECONDS,
    Answer,
    ApiClient,
    Delivery,
    Outcome,
    outcome_of,
    wait_after,
)
from memdiag.agent.health import LATE_REPORT_SECONDS, STALE_SAMPLE_SECONDS, Signals, alive, ready
from memdiag.agent.ledger import MOST_LINES, MOST_REMEMBERED, Entry, Ledger
from memdiag.agent.pids import PidMap
from memdiag.agent.sampler import full_due
from memdiag.agent.spool import MOST_WITH_HISTORY, Spool

ID = "a" * 64


def report(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"history": {"runs": []}, "missing": []}}


class Server:
    def __init__(self, *answers: Answer | OSError) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    def create(self, body: bytes) -> Answer:
        self.bodies.append(body)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (201, Outcome.DONE),
        (409, Outcome.DONE),
        (422, Outcome.REJECTED),
        (400, Outcome.REJECTED),
        (429, Outcome.RETRY),
        (500, Outcome.RETRY),
        (503, Outcome.RETRY),
        (401, Outcome.RETRY),
        (403, Outcome.RETRY),
        (404, Outcome.RETRY),
    ],
)
def test_outcomes(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


def test_a_conflict_is_no_delivery() -> None:
    """A quota of the namespace answers so when another object was counted at the same moment."""
    assert outcome_of(409, "AlreadyExists") is Outcome.DONE
    assert outcome_of(409, "Conflict") is Outcome.RETRY


def test_waits_grow_to_a_bound_and_honour_retry_after() -> None:
    waits = [wait_after(failures, None, 0.5) for failures in range(1, 60)]
    assert waits == sorted(waits)
    assert waits[-1] <= LONGEST_WAIT
    assert wait_after(1, 7.0, 0.0) == 7.0
    assert wait_after(1, 10_000.0, 0.0) == LONGEST_WAIT


def test_a_report_leaves_the_spool_only_when_the_server_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(report("r"))
    server = Server(OSError("refused"), Answer(503, 2.0, "busy"), Answer(201, None, ""))
    delivery = Delivery(spool, server.create, spread=lambda: 0.0)
    first = delivery.deliver("r")
    assert first is not None
    assert spool.waiting() == ["r"]
    assert delivery.deliver("r") == 2.0
    assert delivery.deliver("r") is None
    assert spool.waiting() == []
    assert list((tmp_path / "spool").iterdir()) == []
    assert {json.loads(body)["metadata"]["name"] for body in server.bodies} == {"r"}


def test_a_rejected_report_is_put_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = Spool(tmp_path)
    spool.put(report("r"))
    assert Delivery(spool, Server(Answer(422, None, "spec: wrong")).create).deliver("r") is None
    assert spool.waiting() == []
    assert [path.name for path in (tmp_path / "dead-letter").iterdir()] == ["r.json"]
    assert "spec: wrong" in capsys.readouterr().err


def test_the_spool_survives_and_is_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for index in range(MOST_WITH_HISTORY + 5):
        spool.put(report(f"r{index}"))
    (tmp_path / "spool" / ".torn.json.new").write_text("{")
    again = Spool(tmp_path)
    assert len(again.waiting()) == MOST_WITH_HISTORY + 5
    oldest, newest = (json.loads(again.read(name) or b"") for name in ("r0", f"r{MOST_WITH_HISTORY + 4}"))
    assert "history" not in oldest["spec"]
    assert "dropped" in oldest["spec"]["missing"][0]
    assert "history" in newest["spec"]
    assert not list((tmp_path / "spool").glob(".*"))


def test_an_idle_connection_that_the_server_closed_costs_no_wait(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["Authorization"])
            answer = b'{"kind":"Status","reason":"Conflict","message":"modified"}' if len(seen) > 1 else b"{}"
            self.send_response(409 if len(seen) > 1 else 201)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = True  # without having said so

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        client = ApiClient(f"http://127.0.0.1:{server.server_address[1]}", "ns", token, tmp_path / "ca")
        try:
            assert client.create(b"{}").status == 201
            token.write_text("second\n")
            assert client.create(b"{}") == Answer(409, None, "modified", "Conflict")
        finally:
            client.close()
            server.shutdown()
            thread.join()
    assert seen == ["Bearer first", "Bearer second"]


def test_a_long_ledger_is_cut(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", "boot-1")
    entries = [entry(number, (float(number), number)) for number in range(2 * MOST_LINES + 1)]
    ledger.write(*entries)
    ledger.write(entry(2 * MOST_LINES + 2, (0.5, 1)))
    ledger.close()
    lines = (tmp_path / "ledger").read_bytes().splitlines()
    assert len(lines) < 1000
    assert json.loads(lines[-1])["ordinal"] == 2 * MOST_LINES + 2
    again = Ledger(tmp_path / "ledger", "boot-1")
    assert again.next_ordinal(ID) == 2 * MOST_LINES + 3
    assert len(again.seen) == MOST_REMEMBERED
    assert again.seen[float(2 * MOST_LINES), 2 * MOST_LINES] == 2
    again.close()


def entry(ordinal: int, key: tuple[float | None, int | None] | None = (1.5, 7)) -> Entry:
    return Entry("pod", ID, ordinal, key, 2, 3, 4)


def test_the_ledger_remembers_within_one_boot(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path, "boot-1")
    assert [ledger.next_ordinal(ID), ledger.next_ordinal(ID)] == [1, 2]
    ledger.write(entry(1), entry(2, None))
    ledger.baseline("other", 9)
    ledger.close()
    with path.open("ab") as file:
        file.write(b'{"boot":"boot-1","po')
    again = Ledger(path, "boot-1")
    assert again.seen == {(1.5, 7): 2}
    assert again.next_ordinal(ID) == 3
    assert (again.leaf_told(ID), again.leaf_told("other"), again.pod_told) == (3, 0, {"pod": 4, "other": 9})
    again.close()
    rebooted = Ledger(path, "boot-2")
    assert (rebooted.seen, rebooted.next_ordinal(ID)) == ({}, 1)
    rebooted.close()
    assert path.read_bytes() == b""


def test_processes_are_found_by_their_own_cgroup_file(tmp_path: Path) -> None:
    uid = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
    texts = {
        "10": f"0::/kubepods/pod{uid}/{ID}\n",
        "11": f"0::/../cri-containerd-{'b' * 64}.scope/init.scope\n",
        "12": "0::/system.slice/sshd.service\n",
    }
    for pid, text in texts.items():
        (tmp_path / pid / "net").mkdir(parents=True)
        (tmp_path / pid / "cgroup").write_text(text)
    (tmp_path / "10" / "net" / "dev").write_text("eth0: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n")
    pids = PidMap(str(tmp_path))
    pids.refresh()
    assert [pids.owner(pid) for pid in (10, 11, 12, 13)] == [ID, "b" * 64, None, None]
    assert pids.net(ID)["rx_packets"] == 2
    assert pids.net("b" * 64) == {}
    for name in ("net/dev", "cgroup"):
        (tmp_path / "10" / name).unlink()
    (tmp_path / "10" / "net").rmdir()
    (tmp_path / "10").rmdir()
    pids.refresh()
    assert pids.owner(10) == ID, "a process that has just died still has its owner"


def test_full_readings_are_due_by_time_movement_nearness_and_events() -> None:
    limit = 1000
    assert full_due(5.0, 0, 0, None, event=False)
    assert not full_due(1.0, 0, 100, limit, event=False)
    assert full_due(1.0, 21, 100, limit, event=False)
    assert full_due(1.0, 0, 800, limit, event=False)
    assert not full_due(1.0, 500, 900, None, event=False)
    assert full_due(1.0, 0, 0, None, event=True)
    assert not full_due(0.1, 900, 999, limit, event=True)


def test_health_goes_by_what_was_done_last() -> None:
    good = Signals(last_sample=1.0, oldest_report=None, last_delivery_turn=1.0, containers=3)
    assert alive(good)
    assert ready(good)
    assert not alive(Signals(STALE_SAMPLE_SECONDS + 1, None, 1.0, 3))
    assert not alive(Signals(None, None, 1.0, 3))
    assert not alive(Signals(1.0, None, 1e6, 3))
    late = Signals(1.0, LATE_REPORT_SECONDS + 1, 1.0, 3)
    assert alive(late)
    assert not ready(late)


def test_a_report_that_is_forbidden_alone_holds_up_no_other(tmp_path: Path) -> None:
    """As one that an agent wrote when its node had another name."""
    now = 0.0
    spool = Spool(tmp_path)
    for name in ("foreign", "b", "c"):
        spool.put(report(name))

    def create(body: bytes) -> Answer:
        foreign = b"foreign" in body
        return Answer(403 if foreign else 201, None, "an agent may report on its own node only")

    delivery = Delivery(spool, create, spread=lambda: 0.0, steady=lambda: now)
    assert delivery.deliver("foreign") is not None
    assert delivery.in_turn() == ["b", "c", "foreign"]
    assert [delivery.deliver(name) for name in ("b", "c")] == [None, None]
    now = REFUSED_SECONDS - 1
    assert delivery.deliver("foreign") is not None, "a right may come late"
    now = REFUSED_SECONDS
    assert delivery.deliver("foreign") is None
    assert (spool.waiting(), spool.dead_letters(), spool.counts.rejected) == ([], 1, 1)


def test_while_nothing_is_allowed_nothing_is_put_aside(tmp_path: Path) -> None:
    now = 0.0
    spool = Spool(tmp_path)
    spool.put(report("r"))
    delivery = Delivery(spool, lambda _body: Answer(403, None, ""), spread=lambda: 0.0, steady=lambda: now)
    for _ in range(9):
        assert delivery.deliver("r") is not None
        now += REFUSED_SECONDS
    assert spool.waiting() == ["r"]


def test_a_disk_that_fails_ends_no_delivery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = Spool(tmp_path)
    spool.put(report("r"))
    file = tmp_path / "spool" / "r.json"
    body = file.read_bytes()
    file.unlink()
    file.mkdir()  # neither to be read nor to be unlinked
    delivery = Delivery(spool, Server(Answer(201, None, "")).create, spread=lambda: 0.0)
    assert delivery.deliver("r") is not None
    assert spool.waiting() == ["r"], "it is read again"
    file.rmdir()
    file.write_bytes(body)
    assert delivery.deliver("r") is None
    spool.put(report("s"))
    (tmp_path / "spool" / "s.json").unlink()
    assert delivery.deliver("s") is None
    assert (spool.waiting(), spool.size()) == ([], (0, 0))
    spool.put(report("t"))
    (tmp_path / "spool" / "t.json").unlink()
    (tmp_path / "spool" / "t.json").mkdir()
    spool.done("t")
    assert "could not be removed" in capsys.readouterr().err


def test_a_token_file_that_is_none_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    spool = Spool(tmp_path)
    spool.put(report("r"))
    client = ApiClient("http://127.0.0.1:1", "ns", token, tmp_path / "ca")
    delivery = Delivery(spool, client.create, spread=lambda: 0.0)
    for text in ("", "secret\nwords"):
        token.write_text(text)
        assert delivery.deliver("r") is not None
    said = capsys.readouterr().err
    assert said.count("holds no token") == 2
    assert "secret" not in said
