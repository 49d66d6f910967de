"""A certificate for the loopback address, made when the server starts.

kubectl sends credentials over TLS only (client-go drops them on a plain connection), so a server
that real clients use with tokens needs a certificate, and a self-signed one is enough on loopback.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

DAYS = 365
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


def self_signed(folder: Path, host: str) -> tuple[Path, Path]:
    """Write a fresh key and its certificate for `host` into `folder`; (certificate, key) in PEM.

    Only the owner may read the key. A client that should verify the server is given the
    certificate as its authority (`--certificate-authority`).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [x509.DNSName(text) for text in NAMES]
    for text in sorted({"127.0.0.1", "::1", host}):
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            alternatives.append(x509.DNSName(text))
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256()))
    written = folder / "apiserver.crt", folder / "apiserver.key"
    written[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    with os.fdopen(os.open(written[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption()))
    return written
