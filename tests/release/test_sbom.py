"""The bill of materials: complete, valid by CycloneDX's own schema, and refused where it could not be complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release import sbom
from release.image import read
from tests.release import archives

SITE = "opt/memdiag/lib/python3.13/site-packages"
STATUS = """Package: libc6
Status: install ok installed
Source: glibc (2.41-12)
Version: 1:2.41-12+b1
Architecture: amd64
Pre-Depends: libgcc-s1 (>= 4)
Description: the C library
 of many lines

Package: libgcc-s1
Status: install ok installed
Version: 14.2.0-19
Architecture: amd64
Depends: gcc-14-base (= 14.2.0-19), nothing | libc6:any (>= 2.35)

Package: gcc-14-base
Status: install ok installed
Version: 14.2.0-19
Architecture: amd64

Package: libpython3.13-stdlib
Status: install ok installed
Source: python3.13
Version: 3.13.5-2
Architecture: amd64

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all
"""
FILES: dict[str, str | None] = {
    f"{SITE}/a_package-1.2.dist-info/METADATA": (
        "Metadata-Version: 2.4\nName: A_Package\nVersion: 1.2\nLicense-Expression: MIT OR Apache-2.0\n"
        "Requires-Dist: other>=1\nRequires-Dist: absent; sys_platform == 'win32'\n"
    ),
    f"{SITE}/other-3.dist-info/METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 3\nLicense: MIT\n",
    "etc/os-release": 'ID=debian\nVERSION_ID="13"\n',
    "var/lib/dpkg/status": STATUS,
    "usr/share/doc/libc6/copyright": "Format: x\nLicense: LGPL-2.1+\n text\n\nLicense: GPL-2\n",
    "usr/share/doc/libgcc-s1": "->gcc-14-base",
    "usr/share/doc/gcc-14-base/copyright": "->/usr/share/doc/../doc/gcc-common/text",
    "usr/share/doc/gcc-common/text": "License: as is.\nOn Debian see `/usr/share/common-licenses/GPL-3'.\n",
}
SETTINGS = {
    "Labels": {"org.opencontainers.image.version": "0.1.0", "org.opencontainers.image.licenses": "Apache-2.0"},
    "Env": ["PYTHON_VERSION=3.13.5"],
}


def archive(folder: Path, **changes: str | None) -> Path:
    files = {**FILES, **{name.replace("__", "/"): text for name, text in changes.items()}}
    path = folder / "image.tar"
    archives.write(path, [{name: text for name, text in files.items() if text is not None}], SETTINGS)
    return path


def test_every_package_is_listed_with_licence_and_needs(tmp_path: Path) -> None:
    image = archive(tmp_path)
    out = tmp_path / "build/bill.json"
    assert sbom.main([str(image), "--out", str(out)]) == 0
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(out.read_text()) is None
    found = json.loads(out.read_text())
    licensed = {
        each["purl"]: [said.get("expression") or said["license"]["name"] for said in each["licenses"]]
        for each in found["components"]
    }
    tail = "?arch=amd64&distro=debian-13"
    assert licensed == {
        "pkg:pypi/a-package@1.2": ["MIT OR Apache-2.0"],
        "pkg:pypi/other@3": ["MIT"],
        f"pkg:deb/debian/libc6@1%3A2.41-12%2Bb1{tail}": ["GPL-2", "LGPL-2.1+"],
        f"pkg:deb/debian/libgcc-s1@14.2.0-19{tail}": ["GPL-3"],
        f"pkg:deb/debian/gcc-14-base@14.2.0-19{tail}": ["GPL-3"],
        f"pkg:deb/debian/libpython3.13-stdlib@3.13.5-2{tail}": ["PSF-2.0"],
        "pkg:generic/python@3.13.5": ["PSF-2.0"],
    }
    graph = {each["ref"]: each["dependsOn"] for each in found["dependencies"]}
    assert graph["pkg:pypi/a-package@1.2"] == ["pkg:pypi/other@3"]
    assert graph[f"pkg:deb/debian/libc6@1%3A2.41-12%2Bb1{tail}"] == [f"pkg:deb/debian/libgcc-s1@14.2.0-19{tail}"]
    assert len(graph[f"pkg:deb/debian/libgcc-s1@14.2.0-19{tail}"]) == 2
    whole = found["metadata"]["component"]
    assert whole["purl"] == f"pkg:oci/memdiag@{read(image).digest.replace(':', '%3A')}"
    assert graph[whole["bom-ref"]] == sorted(licensed)


def test_one_image_has_one_bill(tmp_path: Path) -> None:
    image = archive(tmp_path)
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        sbom.write(image, tmp_path / name, tmp_path / f"{name}.json")
    assert (tmp_path / "1.json").read_text() == (tmp_path / "2.json").read_text()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("usr__share__doc__libc6__copyright", None, "Debian package libc6: usr/share/doc/libc6/copyright names no"),
        ("usr__share__doc__libc6__copyright", "->copyright", "Debian package libc6: usr/share/doc/libc6/copyright"),
        ("var__lib__dpkg__status", None, "the base lists no packages"),
        (f"{SITE}__new-1.dist-info__METADATA", "Metadata-Version: 2.1\nName: new\nVersion: 1\n", "new: no licence"),
    ],
)
def test_a_bill_that_could_not_be_complete_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, expected: str
) -> None:
    image = archive(tmp_path, **{name.replace("/", "__"): text})
    assert sbom.main([str(image), "--out", str(tmp_path / "bill.json")]) == 1
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "bill.json").exists()


def test_another_image_is_no_memdiag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: text for name, text in FILES.items() if not name.startswith("opt/")}
    archives.write(tmp_path / "image.tar", [files], SETTINGS)
    assert sbom.main([str(tmp_path / "image.tar"), "--out", str(tmp_path / "bill.json")]) == 1
    assert "is this memdiag's image?" in capsys.readouterr().err
