"""The bench of recommended limits: `python -m bench.limits --help`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

from bench.limits import table
from bench.limits.demand import DAY, DAYS, MACHINES, Demand, generated, machines
from bench.limits.ours import OURS, Memdiag
from bench.limits.policies import Policy, others
from bench.limits.replay import Outcome, replay

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "alibaba-machines"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.limits",
        description="Replays policies that set memory limits against demand that is known without any limit.",
        epilog=f"Generated demand lasts {DAYS} days; a kill costs 5 minutes; new limits are set in place.",
    )
    add = parser.add_argument
    add("--seeds", type=int, default=6, metavar="N", help="seeds of each generated family (default: 6)")
    add("--machines", type=Path, default=_BESIDE, metavar="DIR", help="production machines, *.csv.gz")
    add("-o", "--output", type=Path, metavar="FILE", help="also write every outcome, one JSON object a line")
    return parser


def _policies(demand: Demand) -> Iterator[Policy]:
    for make in others().values():
        yield make()
    yield Memdiag(demand.first_limit, demand.load)
    yield Memdiag(demand.first_limit, demand.load, tries=False)
    if demand.cause is not None:
        yield Memdiag(demand.first_limit, demand.load, demand.cause)


@dataclass(slots=True)
class Replayed:
    """Every outcome, and what memdiag said of the kills of each family."""

    outcomes: list[Outcome] = field(default_factory=list)
    said: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, demand: Demand) -> None:
        """Replay every policy on a demand."""
        for policy in _policies(demand):
            self.outcomes.append(replay(demand, policy))
            if policy.name == OURS and isinstance(policy, Memdiag):
                causes = (one.cause.value for one in policy.said if one.cause is not None)
                self.said.setdefault(demand.family, Counter()).update(causes)


def replay_all(seeds: int, folder: Path) -> Replayed:
    """Replay every policy on every demand. Raises OSError, KeyError and ValueError."""
    found, last = Replayed(), time.monotonic()
    real = list(machines(folder))  # first, so that what cannot be read is said at once
    for demand in chain(generated(seeds), real):
        found.add(demand)
        if time.monotonic() - last > 3:
            last = time.monotonic()
            print(f"  {demand.family}: {len(found.outcomes)} replays", file=sys.stderr, flush=True)
    return found


def _say(found: Replayed) -> None:
    for family, said in found.said.items():
        mine = [one for one in found.outcomes if one.family == family]
        count = sum(one.policy == OURS for one in mine)
        print(f"{family} ({count} replays of {mine[0].minutes // DAY} days)\n{table.of_family(mine)}")
        causes = ", ".join(f"{cause} {count}" for cause, count in said.most_common())
        print(f"memdiag's verdicts on its kills: {causes or 'there were none'}\n")
    print("kills / GiB h / for a leak: GiB given to it at the end")
    print(f"{table.overview(found.outcomes)}\n")
    print("where another policy is better than memdiag on kills or on memory given, and no worse on the other")
    print("\n".join(f"  {line}" for line in table.worse(found.outcomes, OURS)) or "  nowhere")


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables. Returns 2 when data cannot be read."""
    arguments, begin = _parser().parse_args(words), time.monotonic()
    if arguments.seeds < 1:
        print("bench.limits: --seeds must be 1 or more", file=sys.stderr)
        return 2
    try:
        found = replay_all(arguments.seeds, arguments.machines)
    except (OSError, ValueError, KeyError) as error:
        print(f"bench.limits: --machines {arguments.machines}: {error!r}", file=sys.stderr)
        return 2
    _say(found)
    if not any(one.family == MACHINES for one in found.outcomes):
        print(f"machines: skipped, no *.csv.gz in {arguments.machines} (see --machines)")
    if arguments.output:
        text = "".join(json.dumps(asdict(one)) + "\n" for one in found.outcomes)
        arguments.output.write_text(text, encoding="utf-8")
    print(f"\n{time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
