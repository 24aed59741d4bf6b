"""The recommendation: what to do about the limit, by cause, with its basis in words and its range."""

from __future__ import annotations

from collections.abc import Callable

from memdiag.diagnosis import leaking, oversized
from memdiag.diagnosis.causes import MECHANISMS
from memdiag.diagnosis.clamps import Wish, for_a_time, keep, settle
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.forecast import forecast
from memdiag.diagnosis.growing import GROWING, by_calendar
from memdiag.diagnosis.sizing import Sizing, hit_pods_limit, size
from memdiag.diagnosis.stationary import WISHES, escalate
from memdiag.diagnosis.words import human_bytes
from memdiag.model.quantity import round_up
from memdiag.model.verdict import Action, Cause, Mechanism, Recommendation

__all__ = ["ADVICE", "forecast", "no_kill"]


def _nothing(action: Action, basis: str) -> Recommendation:
    return Recommendation(action, None, None, None, basis)


def _sized(found: Features, wish: Callable[[Features, Sizing], Wish]) -> Recommendation:
    sized = size(found)
    if found.limit is None and sized.floor == 0:
        return _nothing(Action.NONE, "Neither the limit nor demand is known, so no number can be given.")
    if hit_pods_limit(found):
        return _pods_limit(found, sized)
    if found.limitless:
        return _nothing(Action.NONE, "The container has no limit of its own: first see whose was hit.")
    return settle(found, sized, wish(found, sized))


def _pods_limit(found: Features, sized: Sizing) -> Recommendation:
    if found.limit is None:
        basis = (
            "The pod's limit was hit, and this container has none of its own: raise the pod's (resources of the pod's "
            "spec), or give its containers limits, so that one cannot take what the others need."
        )
        return _nothing(Action.NONE, basis)
    had = max(sized.peak or 0, sized.highest)
    basis = (
        f"The pod's limit was hit while this container had at most {human_bytes(had)} of its own "
        f"{human_bytes(found.limit)}: raise the pod's limit, or bound its other containers and its tmpfs."
    )
    return keep(found, basis)


def _low(found: Features) -> Recommendation:
    return _sized(found, WISHES.get(MECHANISMS[Cause.UNDERESTIMATED_LIMIT](found), escalate))


def _growth(found: Features) -> Recommendation:
    return _sized(found, GROWING.get(MECHANISMS[Cause.GROWTH](found), by_calendar))


_NODE_WORDS = {
    Mechanism.ANCESTOR_LIMIT: "A group above the pod ran out of memory: raise that group's limit, or move pods out of "
    "it. This container's own limit was not hit.",
    Mechanism.EVICTION: "The kubelet evicted the pod because the node ran short: give the node more memory, or move "
    "pods away. This container's own limit was not hit.",
}
_NODE = (
    "The node ran out of memory: give it more, or move pods away. This container's own limit was not hit, and a higher "
    "one would make it worse."
)


def _node(found: Features) -> Recommendation:
    mechanism = MECHANISMS[Cause.NODE_PRESSURE](found)
    basis = _NODE if mechanism is None else _NODE_WORDS.get(mechanism, _NODE)
    usual, request, limit = size(found).usual, found.trace.request_bytes, found.limit
    if usual is None or request is None or request >= usual or request == limit:
        return _nothing(Action.MOVE_OR_ADD_MEMORY, basis)
    wanted = round_up(usual) if limit is None else min(round_up(usual), limit)
    basis += (
        f" Its request of {human_bytes(request)} is less than the {human_bytes(usual)} that it usually needs: with an "
        f"honest request the scheduler leaves room for it, and the kernel kills others first."
    )
    return Recommendation(Action.MOVE_OR_ADD_MEMORY, None, wanted, None, basis)


def _not_ours(_: Features) -> Recommendation:
    return _nothing(
        Action.NONE, "The kernel's OOM killer did not do this, so the memory limit is not to blame: leave it as it is."
    )


def _keep(found: Features) -> Recommendation:
    if hit_pods_limit(found):
        return _pods_limit(found, size(found))
    if found.kill is not None and found.kill.kernel is None:
        basis = "It is not known whether the kernel killed it for memory, so nothing speaks for another limit yet."
    elif found.limitless:
        basis = "It has no limit of its own, so none of its own was too low."
    else:
        basis = "The evidence does not tell a leak from a real need, and raising a leak's limit only hides it."
        sized = size(found)
        if sized.cut_limits >= 2:
            basis += f" It filled every limit from {human_bytes(sized.first_cut_at or 0)} up: look for a leak first."
        elif sized.cut_now and for_a_time(found) is not None:
            basis += (
                " Half as much again, for once, would tell: if that fills up too, it leaks or grows; if it comes to "
                "rest below, the limit was too low."
            )
    return _nothing(Action.NONE, basis) if found.limit is None else keep(found, basis)


ADVICE: dict[Cause, Callable[[Features], Recommendation]] = {
    Cause.LEAK: leaking.advise,
    Cause.GROWTH: _growth,
    Cause.UNDERESTIMATED_LIMIT: _low,
    Cause.NODE_PRESSURE: _node,
    Cause.NOT_KERNEL_OOM: _not_ours,
    Cause.INCONCLUSIVE: _keep,
}


def no_kill(found: Features, *, suspected: bool = True) -> Recommendation:
    """Return the advice where nothing was killed: nothing, or a lower limit where far too much was given for long.

    `suspected` is whether its shape suggests a cause, or whether nobody asked: then the limit stays.
    """
    lower = None if suspected else oversized.advise(found)
    return lower if lower is not None else Recommendation(Action.NONE, found.limit, None, None, "Nothing was killed.")
