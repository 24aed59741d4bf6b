"""Writes the manifest of the committed traces: `python -m bench.verdict.manifest`."""

from __future__ import annotations

import hashlib
import json

from bench.verdict.corpus import MANIFEST, TRACES, kills, read
from testbed.workloads.families import FAMILIES, LABELS


def main() -> None:
    """Read every trace and write what it is."""
    entries: list[dict[str, str | int]] = []
    size = 0
    for path in TRACES.glob("*.jsonl.gz"):
        family, _, seed = path.name.removesuffix(".jsonl.gz").rpartition("-")
        trace = read(path)
        size += path.stat().st_size
        entries.append(
            {
                "family": family,
                "seed": int(seed),
                "runs": len(trace.runs),
                "kills": len(kills(trace)),
                "samples": sum(len(run.samples) for run in trace.runs),
                "bytes": path.stat().st_size,
            }
        )
    order = list(FAMILIES)
    entries.sort(key=lambda entry: (order.index(str(entry["family"])), entry["seed"]))
    revision = hashlib.sha256(LABELS.read_bytes()).hexdigest()
    head = json.dumps({"labels_sha256": revision, "kernel": "Linux 6.12, User-Mode Linux"})[:-1]
    rows = ",\n".join("  " + json.dumps(entry) for entry in entries)
    MANIFEST.write_text(f'{head}, "traces": [\n{rows}\n]}}\n', encoding="utf-8")
    print(f"{len(entries)} traces, {size / 2**20:.1f} MiB: {MANIFEST.name}")


if __name__ == "__main__":
    main()
