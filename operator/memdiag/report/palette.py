"""Colours of the curve by role, in a light and a dark theme: layers are told apart by lightness too, not hue alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memdiag.report.curve import Layer


@dataclass(frozen=True, slots=True)
class Paint:
    """One role's colour as `#rrggbb` in both themes."""

    light: str
    dark: str


ROLES: Mapping[str, Paint] = {
    Layer.ANON.name: Paint("#3f7fd4", "#4d8fe6"),
    Layer.SHMEM.name: Paint("#e3a008", "#e0a93a"),
    Layer.KERNEL.name: Paint("#7a4fb5", "#a583dd"),
    Layer.SWAP.name: Paint("#c2569b", "#d873b4"),
    Layer.ALL.name: Paint("#6f8096", "#8595ab"),
    Layer.CACHE.name: Paint("#d5dce5", "#3a4452"),
    "limit": Paint("#b42318", "#ff7b72"),
    "kill": Paint("#b42318", "#ff7b72"),
    "recommended": Paint("#15703c", "#56d38a"),
    "allowed": Paint("#d9f0e0", "#16321f"),
    "stopgap": Paint("#8a5a00", "#e0a93a"),
    "grid": Paint("#e3e7ec", "#2b333d"),
    "axis": Paint("#8b96a5", "#6b7785"),
    "label": Paint("#4a5563", "#aab4c0"),
    "title": Paint("#17202b", "#e8edf3"),
    "paper": Paint("#ffffff", "#12171d"),
}
"""What a drawing's shapes are called, and how each looks."""
