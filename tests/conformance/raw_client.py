"""HTTP as plain as it goes, so that the client costs little: one connection, kept open."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from served_process import TOKEN

HEAD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"


class Client:
    """One raw connection that is kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """Code and document of one request."""
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
                          f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        return int(head[9:12]), json.loads(await self.reader.readexactly(length))


async def connected(port: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port))
