"""A real Prometheus from Debian's package, unpacked into the cache: the store of long histories in tests."""

from __future__ import annotations

from pathlib import Path

from testbed import cache, debian
from testbed.cache import Artifact

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
