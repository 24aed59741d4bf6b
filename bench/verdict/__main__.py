"""The bench of the verdict: `python -m bench.verdict --help`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.verdict import corpus, table
from bench.verdict.baselines import DETECTORS, alarms, longest
from bench.verdict.corpus import HEALTHY, TRACES, Case
from bench.verdict.fit import fit, recorded, simulated
from bench.verdict.measures import GROWTH, LEAK, LOW, Outcome, share
from bench.verdict.production import windows
from memdiag.diagnosis import diagnose
from memdiag.diagnosis.weights import WEIGHTS, Weights
from memdiag.model.trace import Trace

Suspected = tuple[str | None, float]
"""The cause that a trace without a kill makes suspect (None: none), and how sure that is."""

OURS = "memdiag"
_WANTED = 0.7
"""Share of the cut leaks that the threshold of suspicion must suspect."""
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "alibaba-machines"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.verdict",
        description="Judges the verdict on labelled traces of a real kernel and on production data, beside baselines.",
        epilog="Each family is judged by weights fitted without it; production data by the committed weights.",
    )
    add = parser.add_argument
    add("--traces", type=Path, default=TRACES, metavar="DIR", help="traces with their manifest (default: committed)")
    add("--production", type=Path, default=_BESIDE, metavar="DIR", help="unlabelled machine data, *.csv.gz")
    add("-o", "--output", type=Path, metavar="FILE", help="also write every verdict, one JSON object a line")
    return parser


class Progress:
    """A line on standard error every few seconds."""

    def __init__(self, what: str) -> None:
        self.what, self.count, self.last = what, 0, time.monotonic()

    def step(self) -> None:
        """Count one more."""
        self.count += 1
        if time.monotonic() - self.last > 3:
            self.last = time.monotonic()
            print(f"  {self.what}: {self.count}", file=sys.stderr, flush=True)


def judge(case: Case, weights: Weights) -> Outcome:
    """Diagnose a trace as a whole, and as it was known at each of its kills."""
    found = diagnose(case.trace, weights=weights)
    first: int | None = None
    for count, (place, t) in enumerate(corpus.deaths(case.trace), 1):
        if str(diagnose(corpus.until(case.trace, place, t), weights=weights).cause) == case.cause:
            first = count
            break
    said = str(found.cause) if found.cause is not None else "None"
    mechanism = str(found.mechanism) if found.mechanism is not None else None
    return Outcome(case.name, case.family, case.cause, case.mechanism, said, mechanism, found.confidence, first)


def suspected(trace: Trace, weights: Weights = WEIGHTS) -> Suspected:
    """Return the cause that a trace without a kill makes suspect, and how sure that is."""
    found = diagnose(trace, weights=weights).suspicion
    return (None, 0.0) if found is None else (str(found.cause), found.confidence)


def threshold(confidences: Iterable[float], wanted: float = _WANTED) -> float:
    """Return the highest threshold at which the wanted share is suspected, 0 when no threshold reaches it."""
    ordered = sorted(confidences, reverse=True)
    place = max(0, -(-int(wanted * 1000) * len(ordered) // 1000) - 1)
    return ordered[place] if ordered else 0.0


def left_out(found: Sequence[tuple[str, float]]) -> float | None:
    """Return the share suspected when each family is judged by a threshold chosen on the others."""
    seen: list[bool] = []
    for family in dict.fromkeys(name for name, _ in found):
        at = threshold(value for name, value in found if name != family)
        seen += [value >= at > 0 for name, value in found if name == family]
    return share(seen)


@dataclass(slots=True)
class Judged:
    """What was found over all traces."""

    cases: list[Case] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    healthy: list[Suspected] = field(default_factory=list)
    not_as_meant: list[str] = field(default_factory=list)
    cuts: dict[str, Trace] = field(default_factory=dict)
    """Leaks cut before their first death, by the case's name."""
    weights: dict[str, Weights] = field(default_factory=dict)
    """Fitted without a family, by the family's name."""

    @property
    def dead(self) -> list[Case]:
        """The cases with a verdict."""
        return [case for case in self.cases if case.cause != HEALTHY]


def judge_all(folder: Path) -> Judged:
    """Read and diagnose every trace. Raises OSError and ValueError."""
    found, progress = Judged(), Progress("traces read and observed")
    cases: list[Case] = []
    for case in corpus.cases(folder):
        progress.step()
        cases.append(case)
    rows = [*recorded(cases), *simulated()]
    progress = Progress("traces diagnosed")
    for case in cases:
        progress.step()
        if not case.as_meant:
            found.not_as_meant.append(case.name)
            continue
        found.cases.append(case)
        if case.family not in found.weights:
            found.weights[case.family] = fit(rows, (case.family,))
        weights = found.weights[case.family]
        if case.cause == HEALTHY:
            found.healthy.append(suspected(case.trace, weights))
            continue
        found.outcomes.append(judge(case, weights))
        cut = corpus.before_first_death(case.trace) if case.cause == LEAK else None
        if cut is not None:
            found.cuts[case.name] = cut
    return found


def say_early(judged: Judged) -> tuple[float, float | None]:
    """Print how early leaks are suspected; return the threshold and the share of the cut leaks that it suspects."""
    families = {case.name: case.family for case in judged.cases}
    early = [(families[name], *suspected(cut, judged.weights[families[name]])) for name, cut in judged.cuts.items()]
    leaks = [(family, confidence if cause == LEAK else 0.0) for family, cause, confidence in early]
    at = threshold(confidence for _, confidence in leaks)
    reached = share([value >= at > 0 for _, value in leaks])
    print(f"\nleaks cut at 80 % of their first life: {len(leaks)}")
    print(f"  suspected at all: {table.number(share([value > 0 for _, value in leaks]))}")
    print(f"  at the threshold {at:.3f}: {table.number(reached)}")
    print(f"  at thresholds chosen without their own family: {table.number(left_out(leaks))}")
    calm = share([cause is not None and confidence >= at for cause, confidence in judged.healthy])
    print(f"healthy traces: {len(judged.healthy)}; alarmed at the threshold: {table.number(calm)}, ", end="")
    print(f"at all: {table.number(share([cause is not None for cause, _ in judged.healthy]))}")
    return at, reached


def say_production(folder: Path, at: float) -> dict[str, float | None]:
    """Print the alarms on production data; return the share of windows that each detector alarms on."""
    progress = Progress("production windows")
    ours: list[Suspected] = []
    alarmed: dict[str, list[bool]] = {name: [] for name in DETECTORS}
    for trace in windows(folder):
        progress.step()
        ours.append(suspected(trace))
        series = longest(trace)
        for name, detector in DETECTORS.items():
            alarmed[name].append(alarms(detector, series))
    if not ours:
        print(f"production windows: skipped, no *.csv.gz in {folder} (see --production)")
        return {}
    print(f"production windows: {len(ours)}; alarmed at the threshold")
    for name, causes in {"Leak": (LEAK,), "Leak or Growth": (LEAK, GROWTH), "any cause": (LEAK, GROWTH, LOW)}.items():
        print(f"  {name}: {table.number(share([cause in causes and value >= at for cause, value in ours]))}")
    found = {name: share(values) for name, values in alarmed.items()}
    return {**found, OURS: share([cause == LEAK and value >= at for cause, value in ours])}


def say_baselines(judged: Judged, reached: float | None, production: dict[str, float | None]) -> None:
    """Print every detector on the same data."""
    series = {case.name: longest(case.trace) for case in judged.dead}
    part = [longest(cut) for cut in judged.cuts.values()]
    columns: dict[str, Sequence[Outcome]] = {OURS: judged.outcomes}
    shares = {OURS: (reached, production.get(OURS))}
    for name, detector in DETECTORS.items():
        said = {case.name: LEAK if alarms(detector, series[case.name]) else LOW for case in judged.dead}
        columns[name] = [
            Outcome(case.name, case.family, case.cause, case.mechanism, said[case.name], None, 0.5)
            for case in judged.dead
        ]
        shares[name] = (share([alarms(detector, cut) for cut in part]), production.get(name))
    print(f"\n{table.baselines(columns, shares)}")


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables. Returns 2 when the traces cannot be read."""
    arguments, begin = _parser().parse_args(words), time.monotonic()
    try:
        judged = judge_all(arguments.traces)
    except (OSError, ValueError) as error:
        print(f"bench.verdict: --traces {arguments.traces}: {error}", file=sys.stderr)
        return 2
    outcomes = judged.outcomes
    families = {case.family for case in judged.cases}
    print(f"{len(judged.cases)} traces of {len(families)} families; {len(outcomes)} with a kill")
    if judged.not_as_meant:
        print(f"left out, for the kernel did not do what they were made for: {', '.join(judged.not_as_meant)}")
    print(f"\n{table.confusion(outcomes)}\n\n{table.by_family(outcomes)}\n\n{table.totals(outcomes)}")
    at, reached = say_early(judged)
    production = say_production(arguments.production, at)
    say_baselines(judged, reached, production)
    if arguments.output:
        lines = (json.dumps(asdict(outcome)) + "\n" for outcome in outcomes)
        arguments.output.write_text("".join(lines), encoding="utf-8")
    print(f"\n{time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
