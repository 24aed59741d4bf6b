"""The user's kubeconfig, found as kubectl finds it, and the namespace that its context is in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from kubernetes.config import kube_config

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


def current_context(kubeconfig: Path) -> str | None:
    """Return the current context as kubectl takes it: of several files the first that names one decides.

    The client's own loader would take the last one's. Raises OSError, ValueError and yaml.YAMLError.
    """
    for part in str(kubeconfig).split(os.pathsep):
        path = Path(part).expanduser()
        if part and path.exists():
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
            if isinstance(found, dict) and found.get("current-context"):
                return str(found["current-context"])
    return None


def _loaded(kubeconfig: Path, context: str | None) -> tuple[Any, Any]:
    """Return the merged files and the context. Raises what the client does of a kubeconfig that it cannot use."""
    merged = kube_config.KubeConfigMerger(str(kubeconfig))  # type: ignore[no-untyped-call]  # it carries no types
    loader = kube_config.KubeConfigLoader(merged.config, context)  # type: ignore[no-untyped-call]  # as above
    return merged.config, loader.current_context["context"]


def impersonates(kubeconfig: Path, context: str | None) -> bool:
    """Say whether a context's user acts as another one (`as`, `as-groups` …), which the client leaves out silently.

    Raises what the client does of a kubeconfig that it cannot use.
    """
    merged, chosen = _loaded(kubeconfig, context)
    name = chosen.get("user")
    found = merged["users"].get_with_name(name, safe=True) if name else None
    user = (None if found is None else found.value.get("user")) or {}
    return any(key == "as" or key.startswith("as-") for key in user)


def namespace_of(kubeconfig: Path | None, context: str | None) -> str:
    """Return the namespace of a context, the current one when none is named; `default` where it has none."""
    try:
        if kubeconfig is None:
            return (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or _DEFAULT
        _, chosen = _loaded(kubeconfig, context or current_context(kubeconfig))
    except (config.ConfigException, OSError, ValueError, yaml.YAMLError):
        return _DEFAULT
    return str(chosen.get("namespace") or _DEFAULT)
