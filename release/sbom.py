"""Write the bill of materials of an image, as CycloneDX 1.6: every Python and Debian package, licences and needs."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import debian, licences
from release.image import Image, read

_SITE = "opt/memdiag/lib"
_NAMESPACE = uuid.UUID("6d656d64-6961-4700-8000-000000000000")
"""Of serial numbers: one image has one, whoever asks."""


class IncompleteError(Exception):
    """The bill cannot be complete; the message names what is missing."""


def _component(kind: str, reference: str, name: str, version: str, licensed: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": reference,
        "name": name,
        "version": version,
        "licenses": licensed,
        "purl": reference,
    }


def _python(root: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield a component for each installed Python package, with the names that it requires."""
    places = [str(place) for place in sorted((root / _SITE).glob("python3*/site-packages"))]
    for found in metadata.distributions(path=places):
        name = canonicalize_name(found.name)
        licensed = [{"expression": licences.licence(name, licences.fields(found))}]
        needs = [Requirement(each) for each in found.requires or ()]
        wanted: list[str] = [
            canonicalize_name(each.name) for each in needs if each.marker is None or each.marker.evaluate()
        ]
        yield _component("library", f"pkg:pypi/{name}@{found.version}", name, found.version, licensed), wanted


def _debian(root: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield a component for each installed Debian package, with the names that it depends on."""
    suite = debian.suite(root)
    for found in debian.packages(root):
        version = quote(found.version, safe="~")
        reference = f"pkg:deb/debian/{quote(found.name)}@{version}?arch={found.architecture}&distro={suite}"
        licensed = [{"license": {"name": each}} for each in found.licences]
        if not licensed:
            raise IncompleteError(f"Debian package {found.name}: usr/share/doc/{found.name}/copyright names no licence")
        yield _component("library", reference, found.name, found.version, licensed), sorted(found.needs)


def _interpreter(image: Image) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield Python itself where the base has compiled it, as the official images do and say in their environment."""
    for each in image.settings.get("Env", ()):
        name, _, version = each.partition("=")
        if name == "PYTHON_VERSION":
            licensed = [{"expression": "PSF-2.0"}]
            yield _component("library", f"pkg:generic/python@{version}", "python", version, licensed), []


def bill(image: Image, root: Path) -> dict[str, Any]:
    """Return the bill of an image whose files are laid out below `root`.

    Raises IncompleteError or UnknownLicenceError where a package or its licence cannot be told.
    """
    try:
        kinds = [list(_python(root)), [*_debian(root), *_interpreter(image)]]
    except FileNotFoundError as error:
        raise IncompleteError(f"the base lists no packages: {error.filename} is absent; take a Debian one") from error
    if not kinds[0]:
        raise IncompleteError(f"no Python package below {_SITE}: is this memdiag's image?")
    version = image.labels["org.opencontainers.image.version"]
    # the digest of an image is that of its manifest, and its bill's serial number follows from it
    reference = f"pkg:oci/memdiag@{quote(image.digest)}"
    licensed = [{"expression": image.labels["org.opencontainers.image.licenses"]}]
    whole = _component("container", reference, "memdiag", version, licensed)
    graph = []
    for found in kinds:
        known = {component["name"]: component["bom-ref"] for component, _ in found}
        for component, needs in found:
            wanted = sorted({known[name] for name in needs if name in known})
            graph.append({"ref": component["bom-ref"], "dependsOn": wanted})
    components = [component for found in kinds for component, _ in found]
    graph.append({"ref": reference, "dependsOn": sorted(component["bom-ref"] for component in components)})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, image.digest)}",
        "version": 1,
        "metadata": {"timestamp": image.config["created"], "component": whole},
        "components": sorted(components, key=lambda each: str(each["bom-ref"])),
        "dependencies": sorted(graph, key=lambda each: str(each["ref"])),
    }


def write(archive: Path, root: Path, out: Path) -> dict[str, Any]:
    """Write the bill of an OCI archive, whose files are laid into the empty folder `root`, and return it.

    Raises what `bill` raises.
    """
    image = read(archive)
    image.unpack(root)
    found = bill(image, root)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when the bill cannot be complete."""
    parser = argparse.ArgumentParser(prog="python -m release.sbom", description=__doc__)
    parser.add_argument("archive", type=Path, help="the image as an OCI archive")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bill, as JSON")
    arguments = parser.parse_args(argv)
    try:
        with TemporaryDirectory(prefix="memdiag-sbom-") as root:
            found = write(arguments.archive, Path(root), arguments.out)
    except (IncompleteError, licences.UnknownLicenceError) as error:
        print(f"{arguments.archive}: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {len(found['components'])} packages")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
