"""Names outlive pods and runs, for a while."""

from __future__ import annotations

from typing import Any

from memdiag.controller.podbook import KEPT_SECONDS, Ended, PodBook
from memdiag.kube.pods import Pod
from tests.controller.support import ended, identity, pod_object, running


def item(uid: str, *statuses: dict[str, Any]) -> dict[str, Any]:
    body = pod_object("shop", f"pod-{uid}", ["app"], None)
    body["metadata"]["uid"] = uid
    body["status"] = {"containerStatuses": list(statuses)}
    return body


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_pod_that_is_gone_is_remembered_for_a_while() -> None:
    clock = Clock()
    book = PodBook(clock=clock)
    book.changed(item("a", running("app", identity(1))))
    book.removed(item("a", ended("app", identity(1), "Error", 137)))
    assert not book.lives("a")
    found = book.find("a")
    assert found is not None
    assert found.containers[0].terminations[0].exit_code == 137
    clock.now = KEPT_SECONDS + 1
    book.listed(set())
    assert book.find("a") is None


def test_a_list_shows_which_pods_went_in_a_gap() -> None:
    book = PodBook()
    book.changed(item("a"))
    book.changed(item("b"))
    book.listed({"b"})
    assert (book.lives("a"), book.lives("b"), len(book)) == (False, True, 1)
    assert book.find("a") is not None


def test_earlier_runs_keep_their_name() -> None:
    book = PodBook()
    book.changed(item("a", running("app", identity(1), 0)))
    second = running("app", identity(2), 1)
    second["lastState"] = ended("app", identity(1), "OOMKilled", 137)["state"]
    book.changed(item("a", second))
    assert book.past_runs("a") == {}
    book.changed(item("a", running("app", identity(3), 2)))
    runs = book.past_runs("a")
    assert {run: past.restarts for run, past in runs.items()} == {identity(1): 0, identity(2): 1}
    assert runs[identity(1)].termination is not None


def test_runs_remembered_of_one_pod_are_bounded() -> None:
    book = PodBook()
    for number in range(100):
        book.changed(item("a", running("app", identity(number), number)))
    assert len(book.past_runs("a")) == 32
    assert identity(98) in book.past_runs("a")


def test_an_end_is_told_once() -> None:
    told: list[Ended] = []

    def tell(_pod: Pod, ends: list[Ended]) -> None:
        told.extend(ends)

    book = PodBook(tell)
    book.changed(item("a", running("app", identity(1))))
    book.changed(item("a", ended("app", identity(1), "Error", 137)))
    book.changed(item("a", ended("app", identity(1), "Error", 137)))
    again = running("app", identity(2), 1)
    again["lastState"] = ended("app", identity(1), "Error", 137)["state"]
    book.changed(item("a", again))
    assert [(end.container.name, end.termination.reason) for end in told] == [("app", "Error")]


def test_a_mirror_that_is_made_anew_is_the_same_pod() -> None:
    book = PodBook()
    first = item("api-1", running("app", identity(1)))
    first["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "static"}
    second = item("api-2", running("app", identity(1)))
    second["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "static"}
    book.changed(first)
    book.removed(first)
    assert not book.lives("static")
    book.changed(second)
    book.listed({"api-2"})
    assert book.lives("static")


def test_who_calls_itself_the_mirror_of_a_real_pod_does_not_take_its_place() -> None:
    liar = item("liar", running("app", identity(9)))
    liar["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "a"}
    real = item("a", running("app", identity(1)))
    for order in ((real, liar), (liar, real), (liar, real, liar)):
        book = PodBook()
        for body in order:
            book.changed(body)
        found = book.find("a")
        assert found is not None
        assert found.name == "pod-a"
        assert book.past_runs("a") == {}
        book.removed(real)
        book.changed(liar)
        gone = book.find("a")
        assert gone is not None
        assert gone.name == "pod-a"
        assert book.lives("liar")


def test_a_pods_own_limit_is_known() -> None:
    book, bounded = PodBook(), item("uid-2")
    bounded["spec"]["resources"] = {"limits": {"memory": "2Gi"}}
    for one in (item("uid-1"), bounded):
        book.changed(one)
    assert [book.limit(f"uid-{number}") for number in (1, 2, 3)] == [None, 2**31, None]
