"""The bench's tables as plain text, with intervals from resampled seeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from bench.limits.replay import Outcome

_TRIALS = 400
_GIB = 1024


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, None of nothing."""
    return sum(values) / len(values) if values else None


def interval(values: Sequence[float], seed: int = 1) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the mean, None of fewer than three values."""
    if len(values) < 3:
        return None
    rng = random.Random(seed)  # noqa: S311 - resampling, no secret
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(_TRIALS))
    return means[int(0.025 * _TRIALS)], means[int(0.975 * _TRIALS) - 1]


def _cell(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    middle = mean(known)
    if middle is None:
        return "-"
    between = interval(known)
    text = f"{middle:.{digits}f}"
    return text if between is None else f"{text} [{between[0]:.{digits}f}, {between[1]:.{digits}f}]"


COLUMNS: tuple[tuple[str, Callable[[Outcome], float | None], int], ...] = (
    ("kills", lambda one: len(one.kills), 1),
    ("kill-free days", lambda one: one.free_days, 2),
    ("mean slack", lambda one: one.mean_slack, 2),
    ("P95 slack", lambda one: one.high_slack, 2),
    ("GiB h", lambda one: one.gib_hours, 0),
    ("changes", lambda one: one.changes, 1),
)


def _until(found: Sequence[Outcome]) -> str:
    """Return the mean of kills until the limit was found, and for how many it never was."""
    known = [float(one.until_stable) for one in found if one.until_stable is not None]
    middle, never = mean(known), len(found) - len(known)
    text = "-" if middle is None else f"{middle:.1f}"
    return f"{text}, {never} never" if never else text


def _row(cells: Sequence[str]) -> str:
    return "".join([cells[0].ljust(20), *(cell.rjust(24) for cell in cells[1:])]).rstrip()


def of_family(found: Sequence[Outcome]) -> str:
    """Return one family's table: a line for each policy, in the order they were run."""
    leak = found[0].leak
    titles = ["", *(name for name, _, _ in COLUMNS), "kills until stable", *(["GiB at the end"] if leak else [])]
    rows = [_row(titles)]
    for policy in dict.fromkeys(one.policy for one in found):
        mine = [one for one in found if one.policy == policy]
        cells = [_cell([read(one) for one in mine], digits) for _, read, digits in COLUMNS]
        given = [_cell([one.last_limit / _GIB for one in mine], 1)] if leak else []
        rows.append(_row([policy, *cells, _until(mine), *given]))
    return "\n".join(rows)


def overview(found: Sequence[Outcome]) -> str:
    """Return kills and GiB h of every family and policy as a Markdown table; a leak's has the GiB at the end."""
    policies = list(dict.fromkeys(one.policy for one in found))
    rows = ["| demand | " + " | ".join(policies) + " |", "|---" * (len(policies) + 1) + "|"]
    for family in dict.fromkeys(one.family for one in found):
        cells = [family]
        for policy in policies:
            mine = [one for one in found if (one.family, one.policy) == (family, policy)]
            kills, given = _pair(mine)
            end = mean([one.last_limit / _GIB for one in mine]) or 0.0
            last = f" / {end:.1f}" if any(one.leak for one in mine) else ""
            cells.append(f"{kills:,.1f} / {given:,.0f}{last}" if mine else "")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def worse(found: Sequence[Outcome], ours: str) -> list[str]:
    """Return where another policy is better than ours on both kills and memory given, and where on either.

    Better is a mean less by a tenth (and by half a kill).
    """
    lines = []
    for family in dict.fromkeys(one.family for one in found):
        mine = [one for one in found if one.family == family and one.policy == ours]
        kills, given = _pair(mine)
        for policy in dict.fromkeys(one.policy for one in found if not one.policy.startswith(ours)):
            other_kills, other_given = _pair([one for one in found if one.family == family and one.policy == policy])
            fewer = other_kills < min(0.9 * kills, kills - 0.5)
            less = other_given < 0.9 * given
            if (fewer and other_given <= given) or (less and other_kills <= kills):
                lines.append(
                    f"{family}: {policy} has {other_kills:.1f} kills with {other_given:.0f} GiB h, {ours} {kills:.1f} "
                    f"with {given:.0f}"
                )
    return lines


def _pair(found: Sequence[Outcome]) -> tuple[float, float]:
    return mean([float(len(one.kills)) for one in found]) or 0.0, mean([one.gib_hours for one in found]) or 0.0
