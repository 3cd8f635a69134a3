"""The lab's own certificate authority, and the kubeconfig that embeds it.

kubectl drops bearer tokens over plain HTTP, so the lab always serves TLS. Keys live in memory; the server
certificate touches the disk only for the moment in which `ssl` loads it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.files import write_private

_VALID = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Tls:
    """A CA certificate and a server certificate signed by it, both PEM."""

    ca_pem: bytes
    chain_pem: bytes
    key_pem: bytes

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.TemporaryDirectory(prefix="lab-tls-") as folder:
            chain, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
            chain.write_bytes(self.chain_pem)
            key.touch(mode=0o600)
            key.write_bytes(self.key_pem)
            context.load_cert_chain(chain, key)
        return context


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def create_tls(hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "kubernetes.default.svc")) -> Tls:
    """A fresh CA and a certificate for `hosts` (names or addresses), valid for 30 days."""
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = (
        x509.CertificateBuilder()
        .subject_name(_name("phaseboard-lab-ca"))
        .issuer_name(_name("phaseboard-lab-ca"))
        .public_key(ca_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name("kube-apiserver"))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Tls(
        ca_pem=ca.public_bytes(pem),
        chain_pem=certificate.public_bytes(pem),
        key_pem=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs_certificates, crl_sign=signs_certificates, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def kubeconfig(base_url: str, ca_pem: bytes, tokens: dict[str, str]) -> str:
    """A kubeconfig (JSON, which is YAML) with one context per name in `tokens`; the first is current."""
    authority = base64.b64encode(ca_pem).decode()
    names = list(tokens)
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": names[0],
            "clusters": [{"name": "lab", "cluster": {"server": base_url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"token": tokens[name]}} for name in names],
            "contexts": [{"name": name, "context": {"cluster": "lab", "user": name}} for name in names],
        },
        indent=1,
    )


def write_kubeconfig(path: Path, base_url: str, ca_pem: bytes, tokens: dict[str, str]) -> None:
    """Write `kubeconfig(...)` so that only its owner can read it, and never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, kubeconfig(base_url, ca_pem, tokens))
