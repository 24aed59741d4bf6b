"""Findings for the report's tests: an ordinary one, and one whose every text is hostile."""

from __future__ import annotations

import json
from dataclasses import replace

from memdiag.model.kill import Task
from memdiag.model.process import Process
from memdiag.model.trace import Victim
from memdiag.model.verdict import (
    Action,
    Cause,
    Diagnosis,
    Evidence,
    Forecast,
    Mechanism,
    Recommendation,
    StopGap,
)
from memdiag.report.finding import Finding, Killed, LastKill
from tests.report.lives import MIB, START, trace

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m\u202e\x00</style></title></pre>"

LEAK = Finding(
    name="deployment-checkout-checkout",
    diagnosis=Diagnosis(
        Cause.LEAK,
        Mechanism.HEAP_LEAK,
        0.97,
        "Memory leaks at about 80 MiB a minute.",
        (
            Evidence("rise", Cause.LEAK, 1.0, 0.5, 1.6, "It rose and never came back."),
            Evidence("rise", Cause.GROWTH, 1.0, 0.5, -1.4, "It rose and never came back."),
            Evidence("nothing", Cause.LEAK, 1.0, 0.5, 0.01, "Hardly worth a word."),
        ),
        ("the kernel's log",),
        Recommendation(
            Action.FIX_LEAK, None, None, None, "Any limit is only a delay.", StopGap(180 * MIB, 120), (), ("A quota.",)
        ),
        Forecast(90.0, 60.0, None),
        None,
        ("Attach memray: `memray attach PID` and look.", "One ` alone is no code."),
        ("Watch one more run.",),
    ),
    traces=(trace(), replace(trace(2), pod="checkout-2")),
    namespace="shop",
    workload_kind="Deployment",
    workload_name="checkout",
    container="checkout",
    limit=96 * MIB,
    request=64 * MIB,
    kills_total=7,
    last_kill_time=START + 161,
    recent=(Killed(START + 161, "checkout-1", "the container"), Killed(START + 61, "checkout-1", "Summary", 5)),
    last_kill=LastKill(
        time=START + 161,
        pod="checkout-1",
        node="node-a",
        limit_hit="Container",
        explanation="The pod's limit is the sum of its containers'.",
        victims=(Victim(4711, "python3", 90 * MIB, MIB, 0),),
        tasks=(Task(4711, "python3", 91 * MIB, None, None, 0, 100), Task(1, "sh", MIB, None, None, 0, 100)),
        processes=(
            Process(4711, "python3", rss=88 * MIB, threads=3, grew=61 * MIB, over=120.0),
            Process(1, "sh", rss=MIB, grew=-4096),
        ),
        others=(12, 300 * MIB),
        kernel_log=("oom-kill:constraint=CONSTRAINT_MEMCG", "Killed process 4711 (python3)"),
    ),
)


def hostile() -> Finding:
    """Return a finding in which every text that a pod, a node or a file may choose is hostile."""
    told = LEAK.diagnosis
    evidence = tuple(replace(piece, statement=EVIL, name=EVIL) for piece in told.evidence)
    advice = replace(told.recommendation, basis=EVIL, clamps=(EVIL,), warnings=(EVIL,))
    diagnosis = replace(
        told,
        summary=EVIL,
        evidence=evidence,
        missing=(EVIL,),
        next_steps=(EVIL, f"`{EVIL}`"),
        would_settle=(EVIL,),
        recommendation=advice,
    )
    kill = replace(
        LEAK.last_kill,
        pod=EVIL,
        node=EVIL,
        limit_hit=EVIL,
        explanation=EVIL,
        kernel_log=(EVIL, EVIL),
        victims=(Victim(1, EVIL),),
        tasks=(Task(1, EVIL),),
        processes=(Process(1, EVIL),),
    )
    return replace(
        LEAK,
        name=EVIL,
        diagnosis=diagnosis,
        namespace=EVIL,
        workload_kind=EVIL,
        workload_name=EVIL,
        container=EVIL,
        last_kill=kill,
        recent=(Killed(None, EVIL, EVIL),),
        traces=(replace(trace(), pod=EVIL, node=EVIL, container=EVIL),),
        patch=json.dumps({EVIL: EVIL}),
        apply_command=EVIL,
        resolved=EVIL,
    )
