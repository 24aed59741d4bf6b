"""The user's kubeconfig, found as kubectl finds it, and the namespace that its context is in."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes import config

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT = "default"


def chosen_kubeconfig(chosen: Path | None) -> Path | None:
    """Return the kubeconfig to use: the chosen one, else $KUBECONFIG or kubectl's own; None for a pod's own account.

    The path may be several files with the system's separator between them.
    """
    if chosen is not None:
        return chosen
    named = os.environ.get("KUBECONFIG")
    if named:
        return Path(named)
    own = Path.home() / ".kube/config"
    return None if (_ACCOUNT / "token").exists() and not own.exists() else own


def namespace_of(kubeconfig: Path | None, context: str | None) -> str:
    """Return the namespace of a context, the current one when none is named; `default` where it has none."""
    try:
        if kubeconfig is None:
            return (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or _DEFAULT
        contexts, current = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]  # it carries no types
            str(kubeconfig)
        )
    except (config.ConfigException, OSError, ValueError, yaml.YAMLError):
        return _DEFAULT
    found = next((one for one in contexts if one["name"] == context), current) if context else current
    return str(found["context"].get("namespace") or _DEFAULT)
