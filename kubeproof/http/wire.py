"""The server's end of connections: how many there may be, how long headers may get, and how one is
broken. And what a client must know to make one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from model.kernel.errors import InputError

CONNECTIONS_MAX = 2000
HEAD_BYTES_MAX = 128 * 1024
"""How much of a request's head is read; what is shorter is judged where it is answered."""
_BUSY = (b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\n"
         b"Content-Length: 0\r\n\r\n")
_TOO_LARGE = (b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
              b"Content-Length: 0\r\n\r\n")


class Wires:
    """All open connections, by the address of the client."""

    def __init__(self) -> None:
        self._open: dict[Any, asyncio.Transport] = {}

    def cut(self, client: Any) -> None:
        """Break the connection of a client, whatever still waits to be sent on it."""
        transport = self._open.get(tuple(client) if client else client)
        if transport is not None:
            transport.abort()

    def protocol(self) -> type[HttpToolsProtocol]:
        """The class of connections that are known here."""
        wires = self

        class Wire(HttpToolsProtocol):
            """A connection that is counted, and refused above the bound; so is a head without end,
            which the parser would go on collecting."""

            head_bytes = 0
            in_head = True

            def data_received(self, data: bytes) -> None:
                if self.in_head:
                    self.head_bytes += len(data)
                super().data_received(data)
                if self.in_head and self.head_bytes > HEAD_BYTES_MAX:
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()

            def on_headers_complete(self) -> None:
                self.in_head, self.head_bytes = False, 0
                super().on_headers_complete()

            def on_message_complete(self) -> None:
                self.in_head = True
                super().on_message_complete()

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class has it
                super().connection_made(transport)
                if len(wires._open) >= CONNECTIONS_MAX:
                    transport.write(_BUSY)
                    transport.close()
                    return
                if self.client is not None:
                    wires._open[tuple(self.client)] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None and wires._open.get(
                        tuple(self.client)) is self.transport:
                    del wires._open[tuple(self.client)]
                super().connection_lost(exc)

        return Wire


def write_kubeconfig(path: Path, url: str, token: str, authority: bytes) -> None:
    """What a client needs to be the given user: only its owner may read the file. `authority` is
    the certificate to trust, empty without encryption. InputError when it cannot be written."""
    cluster: dict[str, Any] = {"server": url}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": "kubeproof",
        "clusters": [{"name": "kubeproof", "cluster": cluster}],
        "users": [{"name": "kubeproof", "user": {"token": token}}],
        "contexts": [{"name": "kubeproof",
                      "context": {"cluster": "kubeproof", "user": "kubeproof"}}]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None
