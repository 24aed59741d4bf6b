"""A real node: a User-Mode Linux kernel with systemd, containerd, runc and the kubelet, joined to a control plane."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from testbed import flavour, image_disk, kernel, pki, rootfs
from testbed.control_plane import HOST_ADDRESS, NODE_ADDRESS, ControlPlane
from testbed.processes import Process
from testbed.shell import TestbedError, capture, run, tail, wait_for

NAME = "node-a"
_READY_SECONDS = 120


class NodeDiedError(TestbedError):
    """The node's kernel ended by itself: a fault of the testbed, never a finding about memdiag."""


@dataclass(frozen=True)
class Node:
    """The one node of a control plane, by the control plane's folder."""

    plane: ControlPlane
    memory: str = "4G"

    @property
    def process(self) -> Process:
        """The kernel's process."""
        return self.plane.process("node")

    @property
    def _share(self) -> Path:
        return self.plane.folder / "share"

    def prepare(self) -> None:
        """Lay out the folder that the node sees: certificates, kubeconfig and key."""
        keys = pki.Pki(self.plane.folder / "pki")
        target = self._share / "node"
        target.mkdir(parents=True)
        for name in ("ca.crt", "node.crt", "node.key"):
            shutil.copyfile(keys.folder / name, target / name)
        where = "/etc/kubernetes"
        server = f"https://{HOST_ADDRESS}:6443"
        pki.kubeconfig(
            target / "kubelet.kubeconfig", server, f"{where}/ca.crt", f"{where}/node.crt", f"{where}/node.key"
        )
        ssh_key = self.plane.folder / "ssh-key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ssh_key], log=self.plane.folder / "network.log")
        shutil.copyfile(ssh_key.with_suffix(".pub"), target / "authorized_keys")

    def boot(self) -> None:
        """Start the kernel; `wait_ready` says when Kubernetes has it."""
        disk = rootfs.artifact(flavour.chosen()).ensure() / "node.img"
        images = image_disk.artifact().ensure() / "images.img"
        overlays = [self.plane.folder / name for name in ("disk.cow", "images.cow")]
        for overlay in overlays:
            overlay.unlink(missing_ok=True)
        words = [
            f"ubd0={overlays[0]},{disk}",
            f"ubd1={overlays[1]},{images}",
            "root=/dev/ubda",
            "rw",
            f"mem={self.memory}",
            "con=null",
            "con0=fd:0,fd:1",
            "ssl=null",
            "vec0:transport=tap,ifname=tap0,depth=128,gro=1",
            f"uml_dir={self.plane.folder}",
            "umid=uml",
            "systemd.unified_cgroup_hierarchy=1",
            f"testbed_share={self._share}",
        ]
        # a process namespace of its own: whatever the kernel started ends with it, however it ends
        sealed = ["unshare", "--fork", "--pid", "--kill-child=SIGKILL"]
        self.process.start(self.plane.inside(*sealed, kernel.program(), *words))

    def wait_ready(self) -> None:
        """Wait until Kubernetes calls the node Ready. Raises TestbedError with the console's tail when it does not."""
        wait_for(f"node {NAME} Ready", self._ready, timeout=_READY_SECONDS, log=self.process.log, interval=0.5)

    def check_alive(self) -> None:
        """Raise NodeDiedError, with the console's tail, when the kernel does not run."""
        if self.process.pid is None:
            console = tail(self.process.log)
            raise NodeDiedError(f"the node's kernel ended (the testbed's fault, not memdiag's); console:\n{console}")

    def _ready(self) -> bool:
        self.check_alive()
        path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        try:
            return self.plane.kubectl("get", "node", NAME, "-o", path, timeout=10).strip() == "True"
        except TestbedError:
            return False

    def run(self, *command: str, timeout: float = 60) -> str:
        """Run a command on the node as root and return its output. Raises TestbedError when it fails."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5"]
        words = [word for option in options for word in ("-o", option)]
        target: list[str | Path] = ["-i", self.plane.folder / "ssh-key", f"root@{NODE_ADDRESS}"]
        return capture(self.plane.inside("ssh", *words, *target, "--", *command), timeout=timeout)

    def stop(self) -> None:
        """End the node at once, as a machine that loses its power."""
        self.process.stop(grace=0)
