"""What stands around a container and bounds its limit: LimitRange, ResourceQuota, node, VPA, HPA, replicas' use.

Nothing of it is needed: what cannot be read is one line of what is missing, and a kind that the cluster does not have
is nothing.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from memdiag.kube.api import Api, ApiError, NotFoundError
from memdiag.kube.workload import Workload
from memdiag.model.quantity import parse_bytes
from memdiag.model.surroundings import Bound, Surroundings

KEPT_SECONDS = 60.0
"""How long an answer is used again: a storm asks once a namespace."""
MOST_KEPT = 256
MOST_ITEMS = 200
_OFF = "Off"

Items = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The container that is asked about. Limits are bytes, `alike` names the living pods that hold one like it."""

    namespace: str
    workload: Workload
    container: str
    node: str | None = None
    limit: int | None = None
    alike: tuple[str, ...] = ()
    pod_limit: int | None = None
    """What the pod's spec allows all its containers together, where it says so."""


def _bytes(value: object) -> int | None:
    try:
        return None if value is None else parse_bytes(str(value))
    except ValueError:
        return None


def _ratio(value: object) -> float | None:
    """Return a quantity without a unit; the API server writes 1.5 as 1500m."""
    text = str(value)
    try:
        found = float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
    except ValueError:
        return None
    return found if 1 <= found < math.inf else None


def _name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name") or "?")


def of_limit_ranges(items: Items) -> Iterator[Bound]:
    """Yield what LimitRanges say of a container, and of a pod as far as it bounds each of its containers."""
    for item in items:
        for rule in (item.get("spec") or {}).get("limits") or ():
            kind = rule.get("type")
            if kind not in ("Container", "Pod"):
                continue
            most = _bytes((rule.get("max") or {}).get("memory"))
            least = _bytes((rule.get("min") or {}).get("memory")) if kind == "Container" else None
            ratio = _ratio((rule.get("maxLimitRequestRatio") or {}).get("memory"))
            if most is not None or least is not None or ratio is not None:
                what = f"LimitRange {_name(item)}" + (" for the whole pod" if kind == "Pod" else "")
                yield Bound(what, most, least, ratio)


def of_quotas(items: Items, place: Place) -> Iterator[Bound]:
    """Yield how far a namespace's quota of limits lets each replica's limit grow."""
    for item in items:
        status = item.get("status") or {}
        hard = _bytes((status.get("hard") or {}).get("limits.memory"))
        used = _bytes((status.get("used") or {}).get("limits.memory"))
        if hard is not None and used is not None and place.limit is not None:
            room = max(hard - used, 0) // max(len(place.alike), 1)
            yield Bound(f"ResourceQuota {_name(item)}", place.limit + room)


def of_node(item: Mapping[str, Any]) -> Iterator[Bound]:
    """Yield a node's allocatable memory."""
    most = _bytes(((item.get("status") or {}).get("allocatable") or {}).get("memory"))
    if most is not None:
        yield Bound("node allocatable", most)


def of_siblings(items: Items, place: Place) -> Iterator[Bound]:
    """Yield what the replica holds now that uses most: no limit below that is of use."""
    used = {
        _name(item): _bytes((one.get("usage") or {}).get("memory"))
        for item in items
        if _name(item) in place.alike
        for one in item.get("containers") or ()
        if one.get("name") == place.container
    }
    pod = max(used, key=lambda name: used[name] or 0, default=None)
    if pod is not None and used[pod]:
        yield Bound(f"what pod {pod} uses now by metrics.k8s.io", least=used[pod])


def _targets(reference: Mapping[str, Any] | None, workload: Workload) -> bool:
    found = reference or {}
    groups = (str(found.get("apiVersion") or "").rpartition("/")[0], workload.api_version.rpartition("/")[0])
    return groups[0] == groups[1] and (found.get("kind"), found.get("name")) == (workload.kind, workload.name)


def vertical_autoscaler(items: Items, place: Place) -> tuple[str | None, tuple[Bound, ...]]:
    """Return who sets the limits in the owner's stead, and within which bounds; None where nobody does."""
    for item in items:
        spec = item.get("spec") or {}
        if not _targets(spec.get("targetRef"), place.workload):
            continue
        if (spec.get("updatePolicy") or {}).get("updateMode") == _OFF:
            continue
        policies = {
            policy.get("containerName"): policy
            for policy in (spec.get("resourcePolicy") or {}).get("containerPolicies") or ()
        }
        policy = policies.get(place.container) or policies.get("*") or {}
        controlled = policy.get("controlledResources")
        only_requests = policy.get("controlledValues") == "RequestsOnly"
        if policy.get("mode") == _OFF or only_requests or (controlled is not None and "memory" not in controlled):
            continue
        owner = f"VerticalPodAutoscaler {_name(item)}"
        most = _bytes((policy.get("maxAllowed") or {}).get("memory"))
        least = _bytes((policy.get("minAllowed") or {}).get("memory"))
        bound = () if most is None and least is None else (Bound(f"{owner} maxAllowed", most, least),)
        return owner, bound
    return None, ()


def scales_on_memory(items: Items, place: Place) -> str | None:
    """Return the name of the HorizontalPodAutoscaler that scales the workload on this container's memory."""
    for item in items:
        spec = item.get("spec") or {}
        if not _targets(spec.get("scaleTargetRef"), place.workload):
            continue
        for metric in spec.get("metrics") or ():
            whole, one = metric.get("resource") or {}, metric.get("containerResource") or {}
            if whole.get("name") == "memory":
                return _name(item)
            if one.get("name") == "memory" and one.get("container") == place.container:
                return _name(item)
    return None


class SurroundingsReader:
    """Reads the surroundings of containers, each answer kept for a minute. May be called from any thread."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Items | str]] = OrderedDict()
        self._lock = Lock()

    def of(self, place: Place, headroom_percent: int | None) -> tuple[Surroundings, tuple[str, ...]]:
        """Return what bounds a container's limit, and what of it could not be read. Blocks; never raises ApiError."""
        missing: list[str] = []

        def items(what: str, path: str) -> Items:
            found = self._items(path)
            if isinstance(found, str):
                missing.append(f"{what}: {found}")
                return ()
            return found

        own = f"namespaces/{place.namespace}"
        owner, allowed = vertical_autoscaler(
            items("VerticalPodAutoscalers", f"/apis/autoscaling.k8s.io/v1/{own}/verticalpodautoscalers"), place
        )
        bounds = [
            *of_limit_ranges(items("LimitRanges", f"/api/v1/{own}/limitranges")),
            *of_quotas(items("ResourceQuotas", f"/api/v1/{own}/resourcequotas"), place),
            *allowed,
        ]
        if place.pod_limit is not None:
            bounds.append(Bound("the limit of the whole pod in its spec", place.pod_limit))
        if place.alike:
            usage = items("the replicas' present use", f"/apis/metrics.k8s.io/v1beta1/{own}/pods")
            bounds += of_siblings(usage, place)
        if place.node is not None:
            for node in items("the node's size", f"/api/v1/nodes/{place.node}"):
                bounds += of_node(node)
        scaled = scales_on_memory(
            items("HorizontalPodAutoscalers", f"/apis/autoscaling/v2/{own}/horizontalpodautoscalers"), place
        )
        return Surroundings(headroom_percent, tuple(bounds), scaled, owner), tuple(missing)

    def _items(self, path: str) -> Items | str:
        """Return a collection's items or the one object, or why they cannot be read; () where there is no such kind."""
        now = self._clock()
        with self._lock:
            kept = self._kept.get(path)
            if kept is not None and now < kept[0]:
                return kept[1]
        answer = self._asked(path)
        with self._lock:
            self._kept[path] = now + KEPT_SECONDS, answer
            self._kept.move_to_end(path)
            while len(self._kept) > MOST_KEPT or next(iter(self._kept.values()))[0] <= now:
                self._kept.popitem(last=False)
        return answer

    def _asked(self, path: str) -> Items | str:
        try:
            found = self._api.get(path, {"limit": str(MOST_ITEMS)})
        except NotFoundError:
            return ()
        except ApiError as error:
            return f"not readable ({error.status or 'no answer'})"
        return tuple(found["items"] or ()) if "items" in found else (found,)
