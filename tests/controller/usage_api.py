"""A small aggregated API: `metrics.k8s.io/v1beta1`, with the use of pods as a test says, behind the real aggregator."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from memdiag.kube.api import Api
from testbed import pki
from testbed.control_plane import ControlPlane
from tests.controller.support import wait_for

_GROUP = "metrics.k8s.io/v1beta1"
_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


class _Answers(BaseHTTPRequestHandler):
    uses: Mapping[str, Mapping[str, str]]
    """Memory by pod, of each container by name."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == f"/apis/{_GROUP}":
            pods = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["list"]}
            self._answer({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP, "resources": [pods]})
        elif path.startswith(f"/apis/{_GROUP}/namespaces/") and path.endswith("/pods"):
            items = [
                {
                    "metadata": {"name": pod},
                    "containers": [{"name": name, "usage": {"memory": memory}} for name, memory in used.items()],
                }
                for pod, used in self.uses.items()
            ]
            self._answer({"kind": "PodMetricsList", "apiVersion": _GROUP, "metadata": {}, "items": items})
        else:
            self._answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}, 404)

    def _answer(self, body: Mapping[str, Any], status: int = 200) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""


def _available(api: Api) -> bool:
    found = api.get(f"{_SERVICES}/v1beta1.metrics.k8s.io")
    return any(one["type"] == "Available" and one["status"] == "True" for one in found["status"].get("conditions", ()))


@contextmanager
def served(plane: ControlPlane, api: Api, namespace: str, uses: Mapping[str, Mapping[str, str]]) -> Iterator[None]:
    """Serve the API through the API server while the block runs; afterwards it is unknown again."""
    keys = pki.Pki(plane.folder / "pki")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"uses": uses}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.crt("apiserver"), keys.key("apiserver"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    # an ExternalName is the one kind of service that leads to a loopback address
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    api.create(f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": "usage"}, "spec": service})
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"name": "usage", "namespace": namespace, "port": port},
    }
    api.create(_SERVICES, {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec})
    try:
        wait_for(lambda: _available(api))
        yield
    finally:
        api.delete(f"{_SERVICES}/v1beta1.metrics.k8s.io")
        server.shutdown()
        server.server_close()
