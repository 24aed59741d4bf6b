"""Certificates and kubeconfigs of one testbed: an authority of its own, made anew each time, never cached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.shell import run

_DAYS = "30"


@dataclass(frozen=True)
class Pki:
    """The folder of keys and certificates: NAME.crt and NAME.key for each name, ca.crt, sa.key and sa.pub."""

    folder: Path

    def crt(self, name: str) -> Path:
        """Return the path of a certificate."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the path of a private key."""
        return self.folder / f"{name}.key"


def _issue(pki: Pki, name: str, subject: str, names: str) -> None:
    log = pki.folder / "pki.log"
    request = pki.folder / f"{name}.csr"
    extensions = pki.folder / f"{name}.ext"
    extensions.write_text(
        f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    new_key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(["openssl", "req", *new_key, "-subj", subject, "-keyout", pki.key(name), "-out", request], log=log)
    authority: list[str | Path] = ["-CA", pki.crt("ca"), "-CAkey", pki.key("ca"), "-CAcreateserial", "-days", _DAYS]
    run(["openssl", "x509", "-req", "-in", request, *authority, "-out", pki.crt(name), "-extfile", extensions], log=log)
    request.unlink()
    extensions.unlink()


def create(folder: Path, addresses: tuple[str, ...]) -> Pki:
    """Make the authority and every certificate of a testbed whose API server has these extra addresses."""
    folder.mkdir(parents=True, mode=0o700)
    pki, log = Pki(folder), folder / "pki.log"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    # Python 3.13 verifies strictly: an authority says what its key is for, and certificates name their authority
    usage = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"]
    subject = ["-subj", "/CN=memdiag-testbed", "-days", _DAYS, *usage]
    run(["openssl", "req", "-x509", *new_key, *subject, "-keyout", pki.key("ca"), "-out", pki.crt("ca")], log=log)
    server = ["DNS:localhost", "DNS:kubernetes.default.svc", "IP:127.0.0.1", "IP:10.96.0.1"]
    server += [f"IP:{address}" for address in addresses]
    _issue(pki, "apiserver", "/CN=kube-apiserver", ",".join(server))
    _issue(pki, "admin", "/O=system:masters/CN=admin", "DNS:admin")
    _issue(pki, "node", "/O=system:nodes/CN=system:node:node-a", "DNS:node-a,IP:10.0.2.15")
    _issue(pki, "controller-manager", "/CN=system:kube-controller-manager", "DNS:controller-manager")
    _issue(pki, "scheduler", "/CN=system:kube-scheduler", "DNS:scheduler")
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "sa.key"], log=log)
    run(["openssl", "ec", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"], log=log)
    return pki


def kubeconfig(path: Path, server: str, authority: Path | str, certificate: Path | str, key: Path | str) -> Path:
    """Write a kubeconfig that names its certificates by path, and return its path."""
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: testbed\n"
        f'clusters: [{{name: testbed, cluster: {{server: "{server}", certificate-authority: {authority}}}}}]\n'
        f"users: [{{name: testbed, user: {{client-certificate: {certificate}, client-key: {key}}}}}]\n"
        "contexts: [{name: testbed, context: {cluster: testbed, user: testbed}}]\n"
    )
    path.chmod(0o600)
    return path
