"""One of each kind of message, from facts as a cluster has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from memdiag.alerts import compose
from memdiag.alerts.message import Advice, Facts, Message
from memdiag.model.kill import LimitHit
from memdiag.model.occasion import Occasion, Severity
from memdiag.model.verdict import Action, Cause, Mechanism

LEAK = Facts(
    namespace="shop",
    workload_kind="Deployment",
    workload="checkout",
    container="app",
    diagnosis="deployment-checkout-app",
    cause=Cause.LEAK,
    mechanism=Mechanism.HEAP_LEAK,
    confidence_percent=97,
    severity=Severity.WARNING,
    kills=1,
    cluster="prod-eu",
    evidence="Memory that never came back rose from 7.3 MiB to 74 MiB in 60 seconds, 75 % of the way to the limit.",
    limit="96Mi",
    advice=Advice(
        action=Action.FIX_LEAK,
        stop_gap="512Mi",
        stop_gap_seconds=18_000.0,
        next_step="Take two heap snapshots an hour apart with tracemalloc and compare them by size.",
    ),
    last_kill=1_700_000_000.0,
    pod="checkout-96bf7f86-jmhqn",
    node="node-a",
    victim="python3 (937)",
    victim_rss="94Mi",
    limit_hit=LimitHit.CONTAINER,
)
LOW = replace(
    LEAK,
    workload="reports",
    diagnosis="deployment-reports-app",
    cause=Cause.UNDERESTIMATED_LIMIT,
    mechanism=Mechanism.STEADY_ABOVE_LIMIT,
    confidence_percent=86,
    evidence="Demand stood level at 118 MiB for 40 minutes before the kill.",
    advice=Advice(
        action=Action.RAISE_LIMIT,
        limit="144Mi",
        low="128Mi",
        high="192Mi",
        patch='{"spec":{"template":{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"144Mi"}}}]}}}}',
    ),
    pod="reports-5c9d-x2x4z",
)
NODE = replace(
    LEAK,
    workload="batch",
    diagnosis="deployment-batch-app",
    cause=Cause.NODE_PRESSURE,
    mechanism=Mechanism.NODE_OVERCOMMIT,
    severity=Severity.CRITICAL,
    evidence="The kernel killed for the whole node, with 12 MiB of 8 GiB free.",
    advice=Advice(action=Action.MOVE_OR_ADD_MEMORY),
    limit_hit=LimitHit.NODE,
)
MANY = tuple(
    replace(LOW, workload=f"api-{number}", diagnosis=f"deployment-api-{number}-app", kills=number + 1)
    for number in range(23)
)
MESSAGES: dict[str, Callable[[], Message]] = {
    "killed-leak": lambda: compose.head(LEAK, pictured=False),
    "killed-low-limit": lambda: compose.head(LOW, pictured=False),
    "killed-node": lambda: compose.head(NODE, pictured=False),
    "killed-inconclusive": lambda: compose.head(
        replace(
            LEAK,
            cause=Cause.INCONCLUSIVE,
            mechanism=None,
            confidence_percent=0,
            evidence="Only the API saw this kill: no agent watched the container.",
            advice=Advice(would_settle="Run the agent on this node and let it see one whole life of the container."),
            victim=None,
            limit_hit=LimitHit.UNKNOWN,
        ),
        pictured=False,
    ),
    "head-updated-with-picture": lambda: compose.head(replace(LEAK, kills=4), pictured=True),
    "cause-changed": lambda: compose.change(replace(LEAK, kills=3), Occasion.CAUSE_CHANGED, Cause.INCONCLUSIVE),
    "escalated": lambda: compose.change(
        replace(LEAK, kills=5, severity=Severity.CRITICAL), Occasion.ESCALATED, Cause.LEAK
    ),
    "resolved": lambda: compose.change(
        replace(LOW, resolved=True, resolution="No kill for 24 hours since it changed: limit 96Mi → 144Mi."),
        Occasion.RESOLVED,
        Cause.UNDERESTIMATED_LIMIT,
    ),
    "killed-again": lambda: compose.change(replace(LOW, kills=2), Occasion.REOPENED, Cause.UNDERESTIMATED_LIMIT),
    "summary-namespace": lambda: compose.summary(MANY, None),
    "summary-node": lambda: compose.summary((NODE, replace(NODE, namespace="jobs", workload="etl")), "node-a"),
    "sample": lambda: compose.sample("prod-eu"),
}
