"""An image read from its archive: sizes by layer, and files as a container would see them."""

from __future__ import annotations

from pathlib import Path

from release.image import read
from tests.release import archives

LAYERS: list[dict[str, str | None]] = [
    {"etc": None, "etc/a": "old", "etc/b": "b", "lib": "->usr/lib", "usr/lib": None, "usr/lib/c": "c", "tmp/d": "d"},
    {"etc/a": "newer", "etc/.wh.b": "", "usr/lib": None, "usr/lib/e": "e", "tmp": None, "tmp/.wh..wh..opq": ""},
]


def test_layers_are_laid_over_each_other_as_a_container_sees_them(tmp_path: Path) -> None:
    archives.write(tmp_path / "image.tar", LAYERS, {})
    root = tmp_path / "root"
    root.mkdir()
    read(tmp_path / "image.tar").unpack(root)
    files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}
    assert files == {"etc/a", "lib", "usr/lib/c", "usr/lib/e"}
    assert (root / "etc/a").read_text() == "newer"
    assert (root / "tmp").is_dir()


def test_a_folder_may_replace_a_link_and_a_file_a_folder(tmp_path: Path) -> None:
    layers: list[dict[str, str | None]] = [
        {"real": None, "real/a": "a", "link": "->real", "folder": None, "folder/b": "b"},
        {"link": None, "link/c": "c", "folder": "a file"},
    ]
    archives.write(tmp_path / "image.tar", layers, {})
    root = tmp_path / "root"
    root.mkdir()
    read(tmp_path / "image.tar").unpack(root)
    assert sorted(path.name for path in (root / "link").iterdir()) == ["c"]
    assert sorted(path.name for path in (root / "real").iterdir()) == ["a"]
    assert (root / "folder").read_text() == "a file"


def test_the_size_of_each_layer_is_told_with_what_made_it(tmp_path: Path) -> None:
    archives.write(tmp_path / "image.tar", LAYERS, {"Labels": {"a": "b"}})
    image = read(tmp_path / "image.tar")
    assert image.labels == {"a": "b"}
    assert [layer.made_by for layer in image.layers] == ["COPY layer0 /", "COPY layer1 /"]
    assert image.compressed == sum(layer.compressed for layer in image.layers) > 0
    lines = image.table().splitlines()
    assert len(lines) == 4
    assert lines[-1].endswith("all of it; 120 MiB compressed are allowed")
