"""The certificate that the server makes for itself: verifiable, private, and never half there."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from kubeproof.commands.serve import _certificate
from kubeproof.http.certificate import self_signed
from model.kernel.errors import InputError


def handshake(certificate: Path, key: Path, name: str) -> None:
    """A handshake in memory with a client that trusts `certificate` and asks for `name`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server, server_hostname=name),
            server.wrap_bio(to_server, to_client, server_side=True)]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "kubernetes.default.svc"])
def test_a_client_that_trusts_it_accepts_it(tmp_path: Path, name: str) -> None:
    """It holds for the addresses by which clients reach the server."""
    handshake(*self_signed(tmp_path, "127.0.0.1"), name)


def test_it_holds_for_no_other_host(tmp_path: Path) -> None:
    """The check of the test above can fail."""
    pair = self_signed(tmp_path, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(*pair, "example.org")


def test_only_the_owner_reads_the_key(tmp_path: Path) -> None:
    """As ssh-keygen and kube-apiserver do."""
    _, key = self_signed(tmp_path, "127.0.0.1")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_pair_that_is_there_is_kept(tmp_path: Path) -> None:
    """A client that trusts the certificate goes on trusting it after a restart."""
    first = _certificate(tmp_path / "pki", "127.0.0.1")[0]
    assert first is not None
    text = first.read_bytes()
    assert _certificate(tmp_path / "pki", "127.0.0.1")[0] == first
    assert first.read_bytes() == text


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    """Nothing is overwritten: the key that is there may be all that is left of it."""
    (tmp_path / "apiserver.key").write_text("mine")
    with pytest.raises(InputError, match="belong together"):
        _certificate(tmp_path, "127.0.0.1")
    assert (tmp_path / "apiserver.key").read_text() == "mine"
