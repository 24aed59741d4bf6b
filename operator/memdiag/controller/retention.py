"""Which incidents go: the oldest beyond a namespace's and the cluster's bound, none before it was counted. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memdiag.controller.metrics import Retention
from memdiag.controller.options import Keep


@dataclass(frozen=True, slots=True)
class Stub:
    """What retention reads of an incident."""

    namespace: str
    name: str
    diagnosis: str
    """The label: the name that a diagnosis of the workload's container has when no user made it."""
    created: float
    """Unix seconds."""


def surplus(incidents: Sequence[Stub], keep: Keep, settled: frozenset[Stub]) -> Iterator[tuple[Stub, Retention]]:
    """Yield the settled incidents that are beyond a bound, oldest first; `settled` ones are counted or nobody's."""
    spaces: dict[str, list[Stub]] = defaultdict(list)
    for one in sorted(incidents, key=_age):
        spaces[one.namespace].append(one)
    gone: set[Stub] = set()
    for group in spaces.values():
        expendable = (one for one in group if one in settled)
        for one, _ in zip(expendable, range(max(len(group) - keep.namespace, 0)), strict=False):
            gone.add(one)
            yield one, Retention.NAMESPACE
    rest = sorted(settled - gone, key=_age)
    for one in rest[: max(len(incidents) - len(gone) - keep.cluster, 0)]:
        yield one, Retention.CLUSTER


def _age(stub: Stub) -> tuple[float, str, str]:
    return stub.created, stub.namespace, stub.name
