"""What kopf keeps of an object, progress and former state, as nothing: its own copy each report thrice, for naught."""

from __future__ import annotations

from typing import Any

import kopf


class NoProgress(kopf.ProgressStorage):
    """Remembers no handler's progress: the one that there is writes nothing and is never tried again by kopf."""

    def fetch(self, **_: Any) -> None:
        """Know of none."""

    def store(self, **_: Any) -> None:
        """Write nothing."""

    def purge(self, **_: Any) -> None:
        """Have nothing to remove."""

    def touch(self, **_: Any) -> None:
        """Write nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the essence as it is."""
        return essence


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no former state of an object."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return an essence without a field: nothing is compared with it."""
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> None:
        """Know of none."""

    def store(self, **_: Any) -> None:
        """Write nothing."""
