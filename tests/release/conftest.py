"""One release for every test that looks into it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from release import __main__ as release
from testbed import images

REVISION = "0123abc"


@dataclass(frozen=True)
class Released:
    """The folder of a release, and the files of its image laid out."""

    folder: Path
    root: Path

    @property
    def image(self) -> Path:
        """The image as an OCI archive."""
        return self.folder / f"memdiag-{images.version()}-image.tar"

    @property
    def bill(self) -> Path:
        """Its bill of materials."""
        return self.folder / f"memdiag-{images.version()}-image.cdx.json"


@pytest.fixture(scope="session")
def released(memdiag_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Give a release of the tree as it is; it takes every layer from the image that the node runs."""
    assert memdiag_image.is_file()
    found = Released(tmp_path_factory.mktemp("release") / "files", tmp_path_factory.mktemp("image"))
    # the image's user must find its way
    found.root.chmod(0o755)
    release.build(found.folder, REVISION, found.root)
    return found
