from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.kernel.paths import PathLevel, contains, identify, identities, level_of
from tests.kernel.support import ID, POD, UNDERSCORED

OTHER = "b" * 64
SYSTEMD = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice"
KUBELET = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
KIND = f"{KUBELET}/kubelet-kubepods-besteffort-pod{UNDERSCORED}.slice"
STATIC = "0123456789abcdef0123456789abcdef"

CONTAINERS = {
    "systemd, containerd": (f"{SYSTEMD}/cri-containerd-{ID}.scope", POD),
    "systemd, CRI-O": (f"{SYSTEMD}/crio-{ID}.scope", POD),
    "systemd, CRI-O with crun": (f"{SYSTEMD}/crio-{ID}.scope/container", POD),
    "systemd, docker": (f"{SYSTEMD}/docker-{ID}.scope", POD),
    "systemd, guaranteed": (f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope", POD),
    "cgroupfs, guaranteed": (f"/kubepods/pod{POD}/{ID}", POD),
    "cgroupfs, burstable": (f"/kubepods/burstable/pod{POD}/{ID}", POD),
    "cgroupfs, best effort, CRI-O": (f"/kubepods/besteffort/pod{POD}/crio-{ID}", POD),
    "mixed drivers, nested": (f"{SYSTEMD}/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{ID}", POD),
    "mixed drivers, at the root": (f"/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{ID}", POD),
    "kind inside": (f"{KIND}/cri-containerd-{ID}.scope", POD),
    "kind seen from its host": (f"/system.slice/docker-{OTHER}.scope{KIND}/cri-containerd-{ID}.scope", POD),
    "static pod": (f"/kubepods/pod{STATIC}/{ID}", STATIC),
    "systemd in the container": (f"{SYSTEMD}/cri-containerd-{ID}.scope/init.scope", POD),
    "seen from another cgroup namespace": (f"/../../kubepods-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope", POD),
}


@pytest.mark.parametrize("path", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_containers(path: tuple[str, str]) -> None:
    text, uid = path
    identity = identify(text)
    assert identity is not None
    assert (identity.pod_uid, identity.container_id) == (uid, ID)
    assert level_of(text) is PathLevel.CONTAINER


@pytest.mark.parametrize(
    ("path", "level"),
    [
        (SYSTEMD, PathLevel.POD),
        (f"/kubepods/pod{POD}", PathLevel.POD),
        (f"{SYSTEMD}/crio-conmon-{ID}.scope", PathLevel.POD),
        ("/kubepods.slice/kubepods-burstable.slice", PathLevel.ANCESTOR),
        ("/kubepods", PathLevel.ANCESTOR),
        ("/system.slice/containerd.service", PathLevel.ANCESTOR),
        (f"/system.slice/docker-{OTHER}.scope", PathLevel.ANCESTOR),
        ("/", PathLevel.ROOT),
        ("", PathLevel.ROOT),
    ],
)
def test_levels(path: str, level: PathLevel) -> None:
    assert level_of(path) is level


def test_conmon_is_no_container() -> None:
    identity = identify(f"{SYSTEMD}/crio-conmon-{ID}.scope")
    assert identity is not None
    assert identity.container_id is None


def test_a_node_inside_a_pod_names_both() -> None:
    inner = "11111111-2222-3333-4444-555555555555"
    found = identities(f"/kubepods/pod{POD}/{ID}/kubelet/kubepods/pod{inner}/{OTHER}")
    assert [(one.pod_uid, one.container_id) for one in found] == [(POD, ID), (inner, OTHER)]


@pytest.mark.parametrize(
    "path", [f"/x/pod{POD}x/{ID}", f"/kubepods/{ID}", "/podium/a", f"/kubepods/pod{POD[:-1]}/{ID}"]
)
def test_no_pod(path: str) -> None:
    assert identify(path) is None


def test_contains_goes_by_component() -> None:
    assert contains("/a/b", "/a/b/c")
    assert contains("/a/b", "/a/b")
    assert contains("/", "/a")
    assert not contains("/a/b", "/a/bc")


@given(st.text(max_size=500))
def test_any_text_is_some_level(path: str) -> None:
    identify(path)
    assert level_of(path) in PathLevel
