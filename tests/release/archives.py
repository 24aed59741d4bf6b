"""Small OCI archives, made in memory, as a builder would write them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def packed(files: Mapping[str, str | None]) -> bytes:
    """Return a tar archive: a text is a file, a text after `->` a link's target, None a folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            data = (text or "").encode()
            if text is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif text.startswith("->"):
                member.type, member.linkname, data = tarfile.SYMTYPE, text.removeprefix("->"), b""
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def write(archive: Path, layers: Sequence[Mapping[str, str | None]], settings: Mapping[str, Any]) -> None:
    """Write an image of these layers; `settings` is the `config` of its configuration."""
    blobs: dict[str, bytes] = {}

    def keep(data: bytes) -> dict[str, Any]:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs["blobs/" + digest.replace(":", "/")] = data
        return {"digest": digest, "size": len(data)}

    kept = [keep(gzip.compress(packed(files), mtime=0)) for files in layers]
    history: list[dict[str, Any]] = [{"created_by": f"COPY layer{number} /"} for number in range(len(layers))]
    history.insert(1, {"created_by": "ENV A=1", "empty_layer": True})
    config = {"created": "2026-01-01T00:00:00Z", "config": dict(settings), "history": history}
    manifest = {"config": keep(json.dumps(config).encode()), "layers": kept}
    index = {"manifests": [keep(json.dumps(manifest).encode())]}
    with tarfile.open(archive, "w") as tar:
        for name, data in {"index.json": json.dumps(index).encode(), **blobs}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
