"""The OpenAPI 2 document in the one form that kubectl accepts for it: gnostic's protobuf messages.

Source: the OpenAPIv2.proto of github.com/google/gnostic-models. Clients read the definitions, to
validate what no newer schema describes; paths are not written.
"""

from __future__ import annotations

import json
from typing import Any

ACCEPTED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
MEDIA = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def encoded(document: dict[str, Any]) -> bytes:
    """A document as the message `Document`."""
    info = document.get("info") or {}
    head = _text(1, info.get("title", "")) + _text(2, info.get("version", ""))
    definitions = b"".join(_part(1, _named(name, _schema(schema)))
                           for name, schema in (document.get("definitions") or {}).items())
    return (_text(1, document.get("swagger", "2.0")) + _part(2, head) + _part(8, b"")
            + _part(9, definitions))


def _schema(schema: dict[str, Any]) -> bytes:
    """A schema as the message `Schema`."""
    found = [_text(number, schema.get(name, "")) for number, name in (
        (1, "$ref"), (2, "format"), (4, "description"))]
    found += [_text(19, name) for name in schema.get("required") or ()]
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        found.append(_part(21, _part(1, _schema(more))))
    if "type" in schema:
        found.append(_part(22, _text(1, schema["type"])))
    if "items" in schema:
        found.append(_part(23, _part(1, _schema(schema["items"]))))
    if "properties" in schema:
        found.append(_part(25, b"".join(_part(1, _named(name, _schema(each)))
                                        for name, each in schema["properties"].items())))
    found += [_part(31, _named(name, _text(2, json.dumps(value))))
              for name, value in schema.items() if name.startswith("x-")]
    return b"".join(found)


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _part(2, value)


def _text(number: int, text: str) -> bytes:
    return _part(number, text.encode()) if text else b""


def _part(number: int, data: bytes) -> bytes:
    """A field of bytes: its tag, its length, itself."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))
