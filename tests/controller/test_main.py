"""The command's edge: options, health, logs, the settings under which kopf writes nothing."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import kopf
import pytest
from kubernetes import client

from memdiag.cli.main import main
from memdiag.controller.app import connection_of, kopf_settings
from memdiag.controller.health import HealthServer
from memdiag.controller.logs import JsonFormatter
from memdiag.kube.api import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ExpiredError,
    NotFoundError,
    PermanentError,
    TransientError,
    connect,
    error_from,
    lenient,
)


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Take back what the command sets up for the whole process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_missing_namespace_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    assert main(["operator"]) == 2
    assert "--namespace is needed" in capsys.readouterr().err


def test_a_missing_kubeconfig_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["operator", "--namespace", "memdiag", "--kubeconfig", str(tmp_path / "none")]) == 2
    told = capsys.readouterr().err
    assert str(tmp_path / "none") in told
    assert "Traceback" not in told


def test_a_client_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    for name in ("crt", "key"):
        (tmp_path / name).write_text("no certificate")
    known = tmp_path / "kubeconfig"
    user = {"client-certificate": str(tmp_path / "crt"), "client-key": str(tmp_path / "key")}
    entry = {
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": user}],
        "current-context": "a",
    }
    known.write_text(json.dumps(entry))
    with pytest.raises(PermanentError, match=f"{known}: client certificate .*crt cannot be used"):
        connect(known)


def test_kopf_writes_nothing() -> None:
    settings = kopf_settings()
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.scanning.disabled


def test_kopf_gets_the_clients_credentials() -> None:
    configuration = client.Configuration(host="https://127.0.0.1:1")
    configuration.ssl_ca_cert = "/ca"
    configuration.api_key["BearerToken"] = "bearer secret"
    found = connection_of(configuration)
    assert isinstance(found, kopf.ConnectionInfo)
    assert (found.server, found.ca_path, found.token, found.insecure) == ("https://127.0.0.1:1", "/ca", "secret", False)


def test_verification_is_by_chain_and_name_not_by_the_letter() -> None:
    context = lenient(ssl.create_default_context())
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_says_what_is_wrong() -> None:
    wrong: list[str | None] = [None]
    server = HealthServer(
        0, {"event loop": lambda: None}, {"pod list": lambda: wrong[0]}, lambda: b"memdiag_pods 3.0\n"
    )
    server.start()
    try:
        assert _get(server.port, "/healthz") == (200, "ok\n")
        assert _get(server.port, "/readyz?verbose") == (200, "ok\n")
        wrong[0] = "not complete yet"
        assert _get(server.port, "/readyz") == (503, "pod list: not complete yet\n")
        assert _get(server.port, "/metrics") == (200, "memdiag_pods 3.0\n")
        assert _get(server.port, "/")[0] == 404
    finally:
        server.stop()


def test_logs_are_json_with_standard_names() -> None:
    record = logging.makeLogRecord(
        {"msg": "kill %s", "args": ("x",), "levelname": "INFO", "name": "memdiag", "k8s.pod.name": "web"}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["level"], line["k8s.pod.name"]) == ("kill x", "info", "web")


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (404, b"", NotFoundError),
        (409, b'{"reason": "AlreadyExists"}', AlreadyExistsError),
        (409, b'{"reason": "Conflict"}', ConflictError),
        (410, b"[]", ExpiredError),
        (429, b"", TransientError),
        (503, b"not json", TransientError),
        (403, b'{"message": "forbidden: no"}', PermanentError),
    ],
)
def test_errors_have_their_kinds(status: int, body: bytes, wanted: type[ApiError]) -> None:
    found = error_from(status, body, {"Retry-After": "3"}, "GET /x")
    assert type(found) is wanted
    assert str(found).startswith(f"GET /x: {status}")
    if isinstance(found, TransientError):
        assert found.retry_after == 3


def test_what_only_alerts_need_is_not_loaded_without_them() -> None:
    code = "import sys, memdiag.controller.main; print(*{'slack_sdk', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_settings_of_alerts_that_cannot_be_used_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "kubeconfig"
    cluster = {"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "a", "context": {"cluster": "a", "user": "a"}}
    user = {"name": "a", "user": {"token": "x"}}
    known.write_text(
        json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "a"})
    )
    (tmp_path / "alerts.json").write_text('{"slack": {"chanel": "#alerts"}}')
    words = [
        "operator",
        "--namespace",
        "memdiag",
        "--kubeconfig",
        str(known),
        "--alerts-secret",
        str(tmp_path / "token"),
    ]
    assert main([*words, "--alerts", str(tmp_path / "alerts.json")]) == 2
    said = capsys.readouterr().err
    assert "alerts.json: alerts.slack: unknown key chanel" in said
    assert main(words) == 2
    assert "go together" in capsys.readouterr().err
