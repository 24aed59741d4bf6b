"""The bench's tables as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.verdict.measures import INCONCLUSIVE, MEASURES, Outcome, interval

CAUSES = ("Leak", "Growth", "UnderestimatedLimit", "NodePressure", "NotKernelOOM")
_SHORT = {"UnderestimatedLimit": "Low", "NodePressure": "Node", "NotKernelOOM": "NotOOM", INCONCLUSIVE: "Inconcl."}


def number(value: float | None) -> str:
    """Return three digits, or a dash for what is not known."""
    return "-" if value is None else f"{value:.3f}"


def confusion(outcomes: Sequence[Outcome]) -> str:
    """Return the confusion matrix: labels down, verdicts across."""
    columns = (*CAUSES, INCONCLUSIVE)
    rows = ["label \\ verdict".ljust(22) + "".join(_SHORT.get(c, c).rjust(10) for c in columns)]
    for cause in CAUSES:
        found = Counter(o.said for o in outcomes if o.cause == cause)
        if found:
            rows.append(cause.ljust(22) + "".join(str(found[c]).rjust(10) for c in columns))
    return "\n".join(rows)


def by_family(outcomes: Sequence[Outcome]) -> str:
    """Return a line for each family: how often right, wrong, Inconclusive, and what was said instead."""
    title = "family".ljust(30) + "label".ljust(20) + "n".rjust(4) + "right".rjust(7) + "inconcl.".rjust(10)
    rows = [title + "  mech.  kills  wrong verdicts"]
    families: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        families.setdefault(outcome.family, []).append(outcome)
    for family, found in families.items():
        wrong = Counter(o.said for o in found if not o.right and o.said != INCONCLUSIVE)
        text = ", ".join(f"{_SHORT.get(said, said)} {count}" for said, count in wrong.most_common())
        unsure = sum(o.said == INCONCLUSIVE for o in found)
        right = sum(o.right for o in found)
        mechanism, until = MEASURES["mechanism"](found), MEASURES["kills until right"](found)
        row = family.ljust(30) + found[0].cause.ljust(20) + str(len(found)).rjust(4) + str(right).rjust(7)
        row += str(unsure).rjust(10) + number(mechanism).rjust(7) + number(until).rjust(7)
        rows.append(f"{row}  {text}".rstrip())
    return "\n".join(rows)


def totals(outcomes: Sequence[Outcome]) -> str:
    """Return every measure with its interval."""
    rows = []
    for name, measure in MEASURES.items():
        low_high = interval(outcomes, measure)
        between = f"  [{low_high[0]:.3f}, {low_high[1]:.3f}]" if low_high else ""
        rows.append(f"{name.ljust(20)}{number(measure(outcomes)).rjust(7)}{between}")
    return "\n".join(rows)


def baselines(columns: dict[str, Sequence[Outcome]], suspected: dict[str, tuple[float | None, float | None]]) -> str:
    """Return a line for each detector; `suspected` has the shares of cut leaks and of production windows alarmed."""
    names = ("leak precision", "leak recall", "leak called low", "coverage", "cause accuracy")
    rows = ["".ljust(24) + "".join(name.rjust(17) for name in names) + "cut leaks".rjust(12) + "production".rjust(12)]
    for judged, outcomes in columns.items():
        row = judged.ljust(24) + "".join(number(MEASURES[name](outcomes)).rjust(17) for name in names)
        rows.append(row + "".join(number(value).rjust(12) for value in suspected.get(judged, (None, None))))
    return "\n".join(rows)
