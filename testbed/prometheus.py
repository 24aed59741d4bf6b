"""A real Prometheus from Debian's package, unpacked into the cache: the store of long histories in tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed import cache, debian
from testbed.cache import Artifact
from testbed.control_plane import free_port

_PACKAGE = debian.Package(
    "prometheus", "2.42.0+ds-5+deb12u1", "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"
)


def _build(folder: Path) -> None:
    log = cache.logs() / "prometheus.log"
    package = debian.download(_PACKAGE, folder, log)
    debian.unpack(package, folder, log)
    package.unlink()
    debian.trim(folder)
    for place in (folder / "usr/bin").iterdir():
        if place.name not in ("prometheus", "promtool"):
            place.unlink()


def program(name: str) -> Path:
    """Return the path of `prometheus` or `promtool`, fetched if it is absent. Raises TestbedError when it cannot be."""
    return Artifact("prometheus", (repr(_PACKAGE),), _build).ensure() / "usr/bin" / name


@contextmanager
def filled(folder: Path, history: str, *options: str) -> Iterator[int]:
    """Run a Prometheus in a folder, filled with a history in OpenMetrics; give its loopback port, soon answering."""
    (folder / "history.om").write_text(history)
    words = ["tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=768h", "-q"]
    command: list[str | Path] = [program("promtool"), *words, folder / "history.om", folder / "data"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    flags = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "60d",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    server: list[str | Path] = [
        program("prometheus"),
        *(f"--{name}={value}" for name, value in flags.items()),
        *options,
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(server, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            yield port
        finally:
            process.terminate()
            process.wait(20)
