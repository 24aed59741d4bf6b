"""Build what is given away of one version: wheel, chart, image, bill of materials and their SHA-256 sums."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from release import image, licences, sbom
from testbed import binaries, cache, cluster, images
from testbed.cache import REPOSITORY
from testbed.shell import TestbedError, capture, run

FOLDER = REPOSITORY / "build/release"
SUMS = "SHA256SUMS"


def revision(repository: Path) -> str:
    """Return the commit that is checked out. Raises TestbedError where the files are not what it holds."""
    changed = capture(["git", "-C", repository, "status", "--porcelain"])
    if changed:
        raise TestbedError(f"a release is made of a commit, and these files are not in it:\n{changed.rstrip()}")
    return capture(["git", "-C", repository, "rev-parse", "HEAD"]).strip()


def build_wheel(folder: Path, seconds: str) -> Path:
    """Build the wheel into a folder and return it; `seconds` since 1970 is the time that its files get."""
    command: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, REPOSITORY]
    run(command, log=cache.logs() / "release.log", env={"SOURCE_DATE_EPOCH": seconds})
    return folder / f"memdiag-{images.version()}-py3-none-any.whl"


def package_chart(folder: Path) -> Path:
    """Package the chart into a folder and return the archive."""
    command: list[str | Path] = [binaries.program("helm"), "package", REPOSITORY / "charts/memdiag", "-d", folder]
    run(command, log=cache.logs() / "release.log")
    return folder / f"memdiag-{images.version()}.tgz"


def sums(files: Sequence[Path]) -> str:
    """Return the SHA-256 sum of each file, as `sha256sum --check` reads them."""
    lines = []
    for file in sorted(files):
        with file.open("rb") as stream:
            lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {file.name}\n")
    return "".join(lines)


def build(folder: Path, commit: str, root: Path) -> list[Path]:
    """Build everything of a commit into a folder, which is emptied before, and return the files.

    The image's files are laid into the empty folder `root`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seconds = capture(["git", "-C", REPOSITORY, "log", "-1", "--format=%ct"]).strip()
    stem = f"memdiag-{images.version()}"
    archive, bill = folder / f"{stem}-image.tar", folder / f"{stem}-image.cdx.json"
    images.build_memdiag(archive, images.version(), commit)
    sbom.write(archive, root, bill)
    made = [build_wheel(folder, seconds), package_chart(folder), archive, bill]
    (folder / SUMS).write_text(sums(made))
    return [*made, folder / SUMS]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a failure is a message, not a stack trace."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("build", help=f"everything, into {FOLDER.relative_to(REPOSITORY)}")
    commands.add_parser("image", help="only the image, with the size of each layer")
    commands.add_parser("sbom", help="only the image's bill of materials")
    command = parser.parse_args(argv).command
    try:
        cluster.prepare()
        if command == "build":
            with TemporaryDirectory(prefix="memdiag-release-") as root:
                made = build(FOLDER, revision(REPOSITORY), Path(root))
            for file in made:
                print(f"{file.stat().st_size / 2**10:9,.0f} KiB  {file.relative_to(REPOSITORY)}")
            return 0
        archive = images.memdiag_artifact().ensure() / "memdiag.tar"
        if command == "image":
            print(image.read(archive).table())
            return 0
        return sbom.main([str(archive), "--out", str(REPOSITORY / "build/memdiag.cdx.json")])
    except (TestbedError, sbom.IncompleteError, licences.UnknownLicenceError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
