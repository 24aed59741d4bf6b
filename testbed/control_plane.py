"""A real control plane: etcd and kube-apiserver, and the controller-manager and scheduler when a node is wanted.

Without a node it listens on loopback and writes down who asked for what (`audit_log`); with one it lives in a network
namespace of its own, and a relay over a Unix socket gives the host the API on loopback.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from testbed import binaries, cache, pki
from testbed.processes import Process
from testbed.shell import TestbedError, capture, run, tail, wait_for

HOST_ADDRESS = "10.0.2.2"
NODE_ADDRESS = "10.0.2.15"
_PODS = "10.244.0.0/16"
_COLLECTED_SELDOM = {"GOGC": "200"}
"""It shares two cores with what is tested, and by Go's default a quarter of its time is garbage collection."""
_AUDITED = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: Metadata
    resources: [{group: memdiag.dev}]
  - level: None
"""
# in the order that they are ended: an API server without its etcd would ignore SIGTERM for minutes
_NAMES = ("scheduler", "controller-manager", "lent-in", "lent-out", "relay-out", "relay-in", "apiserver", "etcd")


def free_port() -> int:
    """Return a loopback port on which nobody listens.

    It is below those that the kernel gives to connections: one that is tried while the server is away may be given the
    server's own port, is then connected to itself, and keeps the server from coming back.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(min(10_000, low - 1_000), low)  # noqa: S311 - no secret
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True)
class ControlPlane:
    """One control plane, by its folder; `networked` is whether it has a namespace, a tap device and controllers."""

    folder: Path
    networked: bool

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, valid on the host."""
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """What service accounts asked for and who touched memdiag's kinds, one JSON object a line; without a node."""
        return self.folder / "audit.log"

    @property
    def etcd(self) -> str:
        """The URL of etcd; in the network namespace where there is one."""
        return f"http://127.0.0.1:{self._ports.read_text().split()[1]}"

    @property
    def namespace(self) -> str:
        """The network namespace's name."""
        return f"memdiag-{self.folder.name}"

    def process(self, name: str) -> Process:
        """Return one of its processes."""
        return Process(name, self.folder / "run")

    def program(self, name: str) -> Path:
        """Return etcd, kube-apiserver or kubectl; without a node they may be those of $KUBEBUILDER_ASSETS."""
        return binaries.program(name) if self.networked else binaries.control_plane_program(name)

    def kubectl(self, *words: str, timeout: float = 60) -> str:
        """Run kubectl as administrator and return its output. Raises TestbedError when it fails."""
        return capture([self.program("kubectl"), f"--kubeconfig={self.kubeconfig}", *words], timeout=timeout)

    def inside(self, *command: str | Path) -> list[str | Path]:
        """Return the command as it runs in the control plane's network."""
        return ["ip", "netns", "exec", self.namespace, *command] if self.networked else list(command)

    def up(self) -> None:
        """Bring it up anew; what a former one left is ended first."""
        self.down()
        self.folder.mkdir(parents=True)
        keys = pki.create(self.folder / "pki", (HOST_ADDRESS,))
        if self.networked:
            self._make_network()
        port = 6443 if self.networked else free_port()
        etcd, peer = (2379, 2380) if self.networked else (free_port(), free_port())
        self._start_etcd(etcd, peer)
        self._ports.write_text(f"{port} {etcd}\n")
        self._start_apiserver(keys)
        host_port = self._relay(port) if self.networked else port
        self._write_kubeconfigs(keys, port, host_port)
        self._wait_for_apiserver()
        if self.networked:
            self._start_controllers(keys)

    def restart_apiserver(self) -> None:
        """End the API server without a farewell and start it again on the same port and the same etcd.

        Raises TestbedError with its log's tail when it does not come back.
        """
        self.process("apiserver").stop(grace=0)
        self._start_apiserver(pki.Pki(self.folder / "pki"))
        self._wait_for_apiserver()

    def start_controllers(self, *names: str) -> None:
        """Start a controller-manager with these controllers only; `down` ends it."""
        self._start_manager(pki.Pki(self.folder / "pki"), f"--controllers={','.join(names)}")

    def down(self) -> None:
        """End every process, and remove the namespace and the folder; safe when nothing is up."""
        for name in _NAMES:
            self.process(name).stop(grace=5)
        if self.networked and Path("/run/netns", self.namespace).exists():
            # `ip netns pids` may name a process that is gone by the time it is killed
            for pid in capture(["ip", "netns", "pids", self.namespace]).split():
                subprocess.run(["kill", "-KILL", pid], check=False, stderr=subprocess.DEVNULL)
            capture(["ip", "netns", "del", self.namespace])
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _ports(self) -> Path:
        return self.folder / "ports"

    def _wait_for_apiserver(self) -> None:
        wait_for("kube-apiserver", self._ready, timeout=90, log=self.process("apiserver").log)

    def _ready(self) -> bool:
        if self.process("apiserver").pid is None:
            log = self.process("apiserver").log
            raise TestbedError(f"kube-apiserver ended; {log} ends:\n{tail(log)}")
        try:
            self.kubectl("get", "--raw", "/readyz", timeout=10)
            # the first service account is made by a controller when there is one
            self.kubectl("get", "namespace", "default", timeout=10)
        except TestbedError:
            return False
        return True

    def _make_network(self) -> None:
        log = self.folder / "network.log"
        run(["ip", "netns", "add", self.namespace], log=log)
        for words in (
            "link set lo up",
            "tuntap add tap0 mode tap",
            f"addr add {HOST_ADDRESS}/24 dev tap0",
            "link set tap0 up",
            f"route add {_PODS} via {NODE_ADDRESS}",
        ):
            run(self.inside("ip", *words.split()), log=log)

    def _start_etcd(self, port: int, peer: int) -> None:
        data = self.folder / "etcd"
        client = f"http://127.0.0.1:{port}"
        peers = f"http://127.0.0.1:{peer}"
        command = self.inside(self.program("etcd"), "--data-dir", data, "--unsafe-no-fsync", "--log-level=warn")
        command += ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peers]
        command += ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
        self.process("etcd").start(command)

    def _start_apiserver(self, keys: pki.Pki) -> None:
        port, etcd = map(int, self._ports.read_text().split())
        address = HOST_ADDRESS if self.networked else "127.0.0.1"
        flags = {
            "etcd-servers": f"http://127.0.0.1:{etcd}",
            "secure-port": port,
            "bind-address": "0.0.0.0" if self.networked else "127.0.0.1",  # noqa: S104 - in a namespace of its own
            "advertise-address": address,
            "tls-cert-file": keys.crt("apiserver"),
            "tls-private-key-file": keys.key("apiserver"),
            "client-ca-file": keys.crt("ca"),
            "kubelet-client-certificate": keys.crt("admin"),
            "kubelet-client-key": keys.key("admin"),
            "kubelet-certificate-authority": keys.crt("ca"),
            "kubelet-preferred-address-types": "InternalIP",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": keys.folder / "sa.pub",
            "service-account-signing-key-file": keys.folder / "sa.key",
            "service-cluster-ip-range": "10.96.0.0/16",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "disable-admission-plugins": "" if self.networked else "ServiceAccount",
            "allow-privileged": "true",
            # a loopback address cannot be an endpoint of the service
            "endpoint-reconciler-type": "lease" if self.networked else "none",
        }
        if not self.networked:
            policy = self.folder / "audit.yaml"
            policy.write_text(_AUDITED)
            flags |= {"audit-policy-file": policy, "audit-log-path": self.audit_log}
        words = [f"--{name}={value}" for name, value in flags.items() if value != ""]
        self.process("apiserver").start(self.inside(self.program("kube-apiserver"), *words), _COLLECTED_SELDOM)

    def _relay(self, port: int) -> int:
        """Give the host the API on a loopback port, through a Unix socket that both network namespaces see."""
        bridge = self.folder / "api.sock"
        host_port = free_port()
        inner = self.inside("socat", f"UNIX-LISTEN:{bridge},fork,mode=600", f"TCP:127.0.0.1:{port}")
        self.process("relay-in").start(inner)
        outer = ["socat", f"TCP-LISTEN:{host_port},bind=127.0.0.1,reuseaddr,fork", f"UNIX-CONNECT:{bridge}"]
        self.process("relay-out").start(outer)
        return host_port

    def lend(self, port: int) -> str:
        """Give pods a loopback port of the host, one at a time, until `down`; return host:port as they reach it."""
        bridge = self.folder / "lent.sock"
        self.process("lent-out").start(["socat", f"UNIX-LISTEN:{bridge},fork,mode=600", f"TCP:127.0.0.1:{port}"])
        words = f"TCP-LISTEN:{port},bind={HOST_ADDRESS},reuseaddr,fork"
        self.process("lent-in").start(self.inside("socat", words, f"UNIX-CONNECT:{bridge}"))
        return f"{HOST_ADDRESS}:{port}"

    def _write_kubeconfigs(self, keys: pki.Pki, port: int, host_port: int) -> None:
        authority = keys.crt("ca")
        server = f"https://127.0.0.1:{host_port}"
        pki.kubeconfig(self.kubeconfig, server, authority, keys.crt("admin"), keys.key("admin"))
        for name in ("controller-manager", "scheduler"):
            path = self.folder / f"{name}.kubeconfig"
            pki.kubeconfig(path, f"https://127.0.0.1:{port}", authority, keys.crt(name), keys.key(name))

    def _start_manager(self, keys: pki.Pki, *more: str) -> None:
        self.process("controller-manager").start(
            self.inside(
                binaries.program("kube-controller-manager"),
                f"--kubeconfig={self.folder / 'controller-manager.kubeconfig'}",
                f"--service-account-private-key-file={keys.folder / 'sa.key'}",
                f"--root-ca-file={keys.crt('ca')}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                *more,
            )
        )

    def _start_controllers(self, keys: pki.Pki) -> None:
        scheduler = binaries.program("kube-scheduler")
        self._start_manager(keys)
        kubeconfig = f"--kubeconfig={self.folder / 'scheduler.kubeconfig'}"
        self.process("scheduler").start(
            self.inside(scheduler, kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1")
        )
        wait_for(
            "the default service account (controller-manager)",
            lambda: "default" in self.kubectl("get", "serviceaccounts", "-n", "default", "-o", "name"),
            timeout=60,
            log=self.process("controller-manager").log,
        )


def instance(name: str, *, networked: bool) -> ControlPlane:
    """Return the control plane of this name; its folder is short, for the Unix sockets in it, and under the cache."""
    folder = cache.root() / "run" / name
    longest = 90
    if len(os.fspath(folder)) > longest:
        raise TestbedError(f"{folder} is too long a path for a Unix socket: set MEMDIAG_CACHE to a shorter one")
    return ControlPlane(folder, networked)
