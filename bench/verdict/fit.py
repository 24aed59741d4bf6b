"""Fits the weights of evidence: `python -m bench.verdict.fit --help`.

A multinomial logistic regression on the strengths of the observations, drawn towards weights that were set by hand from
what each observation means (a Gaussian prior). Whatever the traces do not say, the meaning decides.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from bench.verdict import corpus
from bench.verdict.corpus import HEALTHY, TRACES, Case
from bench.verdict.simulated import FAMILIES, simulate
from memdiag.diagnosis import weights as committed
from memdiag.diagnosis.evidence import observe
from memdiag.diagnosis.features import measure
from memdiag.diagnosis.weights import CANDIDATES, PRIOR, Weights
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace

FILE = Path(committed.__file__)
TOLERANCE = 0.02
"""Most by which a weight of another machine's arithmetic may differ."""

_DRAW = 3.0
"""Inverse variance of the prior, in units of traces."""
_WHOLE = 4.0
"""How much a trace as a whole counts beside one view of it with something missing."""
_SIMULATED = 0.4
_SIMULATED_SEEDS = range(1000, 1012)
_NAMES = tuple(PRIOR)

Target = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One view of a trace: the strengths of its observations, and what should be said of it."""

    family: str
    trace: str
    view: str
    strengths: tuple[float, ...]
    target: Target


def target_of(cause: str) -> Target | None:
    """Return what should be said: 1 for the cause; healthy demand is stationary. None where shape does not decide."""
    named = "UnderestimatedLimit" if cause == HEALTHY else cause
    found = tuple(float(named == str(one)) for one in CANDIDATES)
    return found if sum(found) else None


def without(trace: Trace, *, packets: bool, cpu: bool) -> Trace:
    """Return a trace without a signal of load."""
    runs = tuple(
        replace(
            run,
            samples=tuple(
                replace(
                    one,
                    net={} if packets else one.net,
                    level=replace(one.level, cpu={}) if cpu else one.level,
                )
                for one in run.samples
            ),
        )
        for run in trace.runs
    )
    return replace(trace, runs=runs)


def views(trace: Trace) -> Iterator[tuple[str, Trace]]:
    """Yield a trace as it was known earlier, and with less known of it."""
    yield "whole", trace
    deaths = corpus.kills(trace)
    for name, place in (("first", 0), ("second", 1)):
        if len(deaths) > place + 1:
            yield name, corpus.until(trace, *deaths[place])
    yield "no packets", without(trace, packets=True, cpu=False)
    yield "no load", without(trace, packets=True, cpu=True)
    yield "thin", replace(trace, runs=tuple(replace(run, samples=run.samples[::3]) for run in trace.runs))


def strengths_of(trace: Trace) -> tuple[float, ...] | None:
    """Return the strength of every observation, None where something else than shape decides the verdict."""
    found = measure(trace, (), None, Surroundings())
    kill = found.kill
    if kill is not None and (not kill.kernel or kill.limit_hit in (LimitHit.NODE, LimitHit.ANCESTOR)):
        return None
    seen = {one.name: one.strength for one in observe(found)}
    return tuple(seen.get(name, 0.0) for name in _NAMES)


def recorded(cases: Sequence[Case]) -> Iterator[Row]:
    """Yield the rows of recorded traces."""
    for case in cases:
        target = target_of(case.cause)
        if target is not None and case.as_meant:
            for view, trace in views(case.trace):
                strengths = strengths_of(trace)
                if strengths is not None:
                    yield Row(case.family, case.name, view, strengths, target)


def simulated() -> Iterator[Row]:
    """Yield the rows of synthetic programs, with and without packets, after one kill and after three."""
    for family in FAMILIES:
        causes = {family.cause, *family.also}
        named = [float(one in causes) for one in CANDIDATES]
        if not any(named) or family.name == "random walk":
            named = [1.0] * len(CANDIDATES)
        target = tuple(share / sum(named) for share in named)
        for seed in _SIMULATED_SEEDS:
            for kills, samples, packets in ((1, 100, True), (3, 100, True), (3, 100, False), (3, 20, True)):
                trace = simulate(family, seed, kills=kills, samples=samples, packets=packets)
                strengths = strengths_of(trace) if trace.runs[0].end is not None else None
                if strengths is not None:
                    yield Row(f"simulated {family.name}", str(seed), f"{kills} {samples}", strengths, target)


def _shares(rows: Sequence[Row]) -> list[float]:
    """Return how much each row counts: traces of one family are no independent ones."""
    views_of: dict[tuple[str, str], float] = {}
    traces_of: dict[str, set[str]] = {}
    for row in rows:
        key = row.family, row.trace
        views_of[key] = views_of.get(key, 0.0) + (_WHOLE if row.view == "whole" else 1.0)
        traces_of.setdefault(row.family, set()).add(row.trace)
    found = []
    for row in rows:
        part = (_WHOLE if row.view == "whole" else 1.0) / views_of[row.family, row.trace]
        kind = _SIMULATED if row.family.startswith("simulated ") else 1.0
        found.append(kind * part / len(traces_of[row.family]) ** 0.5)
    return found


def fit(rows: Sequence[Row], left_out: Collection[str] = ()) -> Weights:
    """Return the weights that explain the rows of all families but those left out."""
    kept = [row for row in rows if row.family not in left_out]
    seen = np.array([row.strengths for row in kept])
    targets = np.array([row.target for row in kept])
    counts = np.array(_shares(kept))[:, None]
    prior = np.array([PRIOR[name] for name in _NAMES])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        now = flat.reshape(prior.shape)
        scores = seen @ now
        scores = scores - scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        away = now - prior
        gradient = seen.T @ (counts * (np.exp(logs) - targets)) + _DRAW * away
        return float(-(counts * targets * logs).sum() + _DRAW / 2 * (away**2).sum()), gradient.ravel()

    found = minimize(loss, prior.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x.reshape(prior.shape)
    table = [[round(float(value), 2) + 0.0 for value in line] for line in found]
    return {name: (line[0], line[1], line[2]) for name, line in zip(_NAMES, table, strict=True)}


def written(weights: Weights, text: str) -> str:
    """Return the text of weights.py with this table in the place of the one that it has."""
    lines = "".join(f'    "{name}": ({a}, {b}, {c}),\n' for name, (a, b, c) in weights.items())
    return re.sub(r"(?<=WEIGHTS: Weights = \{).*?\}(?=\n)", lambda _: f"\n{lines}}}", text, flags=re.DOTALL)


def main(words: Sequence[str] | None = None) -> int:
    """Fit, and write the table into the package or compare it. Returns 1 when it differs."""
    parser = argparse.ArgumentParser(prog="python -m bench.verdict.fit", description=__doc__.split("\n\n")[1])
    parser.add_argument("--traces", type=Path, default=TRACES, metavar="DIR", help="labelled traces")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when the table is another")
    arguments = parser.parse_args(words)
    rows = [*recorded(list(corpus.cases(arguments.traces))), *simulated()]
    found = fit(rows)
    if arguments.check:
        differing = [
            name
            for name, line in found.items()
            if name not in committed.WEIGHTS
            or any(abs(a - b) > TOLERANCE for a, b in zip(line, committed.WEIGHTS[name], strict=True))
        ]
        if differing:
            print(f"weights.py is not what the traces say ({', '.join(differing)}): python -m bench.verdict.fit")
        return int(bool(differing))
    FILE.write_text(written(found, FILE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{len(rows)} views of traces; wrote {FILE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
