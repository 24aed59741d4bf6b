"""The node's disk: Debian with systemd, containerd, runc and the kubelet, as one ext4 file without any secret in it.

What differs between two testbeds (certificates, images, keys) reaches the node through a shared host folder at boot.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from testbed import binaries, cache, debian
from testbed.cache import HERE, Artifact
from testbed.debian import Package
from testbed.flavour import Flavour
from testbed.shell import run

_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "iproute2",
    "iptables",
    "procps",
    "kmod",
    "runc",
    "ca-certificates",
    "conntrack",
    "util-linux",
    "mount",
    "socat",
    "containernetworking-plugins",
    "openssh-server",
    "python3-minimal",
)
_PROGRAMS = ("kubelet", "containerd", "containerd-shim-runc-v2", "ctr")
_NODE = HERE / "node"
_SETUP = "usr/local/sbin/testbed-setup"
_FILES = {
    "cpuinfo": "etc/testbed/cpuinfo",
    "containerd.toml": "etc/containerd/config.toml",
    "cni.conflist": "etc/cni/net.d/10-bridge.conflist",
    "kubelet.yaml": "etc/kubernetes/kubelet.yaml",
    "sshd.conf": "etc/ssh/sshd_config.d/testbed.conf",
}
_DISK_SIZE = "6G"


def _bootstrap(folder: Path) -> None:
    tree = folder / "tree"
    debian.bootstrap(tree, _PACKAGES, "node-debian")
    debian.trim(tree)
    log = cache.logs() / "node-debian.log"
    for tool in ("iptables", "ip6tables"):
        run(["chroot", tree, "update-alternatives", "--set", tool, f"/usr/sbin/{tool}-legacy"], log=log)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    run(["tar", "-C", tree, "-cf", folder / "debian.tar", "."], log=log)
    shutil.rmtree(tree)


def debian_artifact() -> Artifact:
    """Return the Debian packages of the node, unpacked and trimmed, without anything of ours."""
    return Artifact("node-debian", (debian.SUITE, *_PACKAGES, "recipe 1"), _bootstrap)


def _install(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _add_packages(tree: Path, folder: Path, packages: Sequence[Package], log: Path) -> None:
    """Unpack packages into the tree, which has a merged /usr as they do."""
    fetched = folder / "packages"
    fetched.mkdir()
    for package in packages:
        debian.unpack(debian.download(package, fetched, log), tree, log)
    shutil.rmtree(fetched)


def _build(folder: Path, flavour: Flavour) -> None:
    log = cache.logs() / "node-image.log"
    tree = folder / "tree"
    tree.mkdir()
    run(["tar", "-C", tree, "-xpf", debian_artifact().ensure() / "debian.tar"], log=log)
    _add_packages(tree, folder, flavour.packages, log)
    for program in _PROGRAMS:
        _install(binaries.program(program), tree / "usr/local/bin" / program, 0o755)
    _install(_NODE / "setup.sh", tree / _SETUP, 0o755)
    for name, place in _FILES.items():
        _install(_NODE / name, tree / place, 0o644)
        (tree / place).write_text(flavour.edited(name, (_NODE / name).read_text()))
    units = tree / "etc/systemd/system"
    for unit in sorted((_NODE / "units").iterdir()):
        _install(unit, units / unit.name, 0o644)
        wants = units / "multi-user.target.wants" / unit.name
        wants.symlink_to(f"/etc/systemd/system/{unit.name}")
    (tree / "etc/hostname").write_text("node-a\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost node-a\n")
    (tree / "etc/fstab").write_text("")
    for masked in ("systemd-timesyncd.service", "apt-daily.timer", "apt-daily-upgrade.timer", "getty@tty1.service"):
        mask = units / masked
        if not mask.is_symlink():
            mask.symlink_to("/dev/null")
    # newer than /usr: systemd skips what it would do once after an update
    for stamp in ("etc/.updated", "var/.updated"):
        (tree / stamp).touch()
    disk = folder / "node.img"
    run(
        ["mkfs.ext4", "-q", "-d", tree, disk, _DISK_SIZE],
        log=log,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    shutil.rmtree(tree)


def artifact(flavour: Flavour) -> Artifact:
    """Return the node's disk as an artifact: a folder with node.img (sparse)."""
    sources = [binaries.artifact(name).path.name for name in ("kubernetes", "containerd")]
    inputs: tuple[str | Path, ...] = (debian_artifact().path.name, *sources, _NODE, _DISK_SIZE, "recipe 1")
    name = "node-image"
    if not flavour.usual:
        # a disk beside the usual one: neither displaces the other
        name += f"-{flavour.driver}-{flavour.runtime}"
        inputs = (*inputs, repr(flavour.packages), repr(flavour.edits))
    return Artifact(name, inputs, lambda folder: _build(folder, flavour))
