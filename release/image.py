"""An image as an OCI archive: its configuration, its layers with their sizes, and its files laid into a folder."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_COMPRESSED = 120 * 2**20
"""Bytes that the layers of memdiag's image may have in a registry."""
_HIDDEN, _EMPTIED = ".wh.", ".wh..wh..opq"
_WORDS = 90


@dataclass(frozen=True)
class Layer:
    """One layer; `compressed` is its size in bytes in a registry, `made_by` the instruction that made it."""

    digest: str
    compressed: int
    made_by: str


@dataclass(frozen=True)
class Image:
    """What an archive says of its one image; `config` is the OCI image configuration."""

    archive: Path
    digest: str
    config: dict[str, Any]
    layers: tuple[Layer, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What a container of the image starts with: user, entry point, environment, labels."""
        found: dict[str, Any] = self.config.get("config", {})
        return found

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        found: dict[str, str] = self.settings.get("Labels") or {}
        return found

    @property
    def compressed(self) -> int:
        """Bytes of all layers in a registry."""
        return sum(layer.compressed for layer in self.layers)

    def unpack(self, folder: Path) -> None:
        """Lay the image's files into an empty folder, layer over layer; devices are left out."""
        with tarfile.open(self.archive) as archive:
            for layer in self.layers:
                with tarfile.open(fileobj=archive.extractfile(_blob(layer.digest)), mode="r:*") as tar:
                    _lay(tar, folder)

    def table(self) -> str:
        """Return the size of each layer and their sum, for people."""
        rows = [f"{'compressed':>12} {'unpacked':>12}  made by"]
        unpacked = [self._unpacked(layer) for layer in self.layers]
        for layer, size in zip(self.layers, unpacked, strict=True):
            words = " ".join(layer.made_by.removeprefix("/bin/sh -c ").removeprefix("#(nop) ").split())
            rows.append(f"{_mebibytes(layer.compressed)} {_mebibytes(size)}  {words[:_WORDS]}")
        allowed = f"all of it; {MOST_COMPRESSED // 2**20} MiB compressed are allowed"
        return "\n".join([*rows, f"{_mebibytes(self.compressed)} {_mebibytes(sum(unpacked))}  {allowed}"])

    def _unpacked(self, layer: Layer) -> int:
        """Return the bytes of a layer's files."""
        with (
            tarfile.open(self.archive) as archive,
            tarfile.open(fileobj=archive.extractfile(_blob(layer.digest)), mode="r:*") as tar,
        ):
            return sum(member.size for member in tar)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:8.1f} MiB"


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _lay(tar: tarfile.TarFile, folder: Path) -> None:
    for member in tar:
        place = folder / member.name
        if place.name == _EMPTIED:
            shutil.rmtree(place.parent)
            place.parent.mkdir()
        elif place.name.startswith(_HIDDEN):
            _remove(place.with_name(place.name.removeprefix(_HIDDEN)))
        elif not member.isdev():
            if not (member.isdir() and place.is_dir() and not place.is_symlink()):
                _remove(place)
            tar.extract(member, folder, filter="tar")


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def read(archive: Path) -> Image:
    """Return the image of an OCI archive. Raises OSError, KeyError or ValueError where it is none."""
    with tarfile.open(archive) as tar:

        def load(name: str) -> dict[str, Any]:
            stream = tar.extractfile(name)
            if stream is None:
                raise ValueError(f"{archive}: {name} is not a file")
            found: dict[str, Any] = json.load(stream)
            return found

        (entry,) = load("index.json")["manifests"]
        manifest = load(_blob(entry["digest"]))
        config = load(_blob(manifest["config"]["digest"]))
        made = [each.get("created_by", "") for each in config.get("history", ()) if not each.get("empty_layer")]
        made += [""] * len(manifest["layers"])  # a builder need not keep a history
        layers = [
            Layer(each["digest"], each["size"], words) for each, words in zip(manifest["layers"], made, strict=False)
        ]
    return Image(archive, entry["digest"], config, tuple(layers))
