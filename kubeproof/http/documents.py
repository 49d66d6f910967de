"""Discovery and OpenAPI over HTTP: which document a path has, in which form, kept until it changes.

Source: Kubernetes documentation, "The Kubernetes API" (discovery, OpenAPI V2 and V3).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from kubeproof.http import discovery, openapi, openapi_protobuf
from kubeproof.http.discovery import Served
from model.api.requests import no_such_path, status_document

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_JSON = "application/json"
_YAML = "application/yaml"


class Document(NamedTuple):
    """An answer, ready to send. `tag` is its ETag."""

    content: bytes
    code: int = 200
    media: str = _JSON
    tag: str = ""

    def headers(self) -> dict[str, str]:
        """The headers beside the media type."""
        return {"ETag": self.tag, "Vary": "Accept"} if self.tag else {}


def wanted(accept: str) -> str:
    """The form that an Accept header asks for: "aggregated", "yaml", "json", "protobuf" (of OpenAPI
    2 only), or "" when none of what it accepts is offered."""
    if not accept:
        return "json"
    for entry in accept.split(","):
        parts = [part.strip() for part in entry.split(";")]
        if "as=APIGroupDiscoveryList" in parts:
            if "v=v2" in parts and parts[0] == _JSON:
                return "aggregated"
        elif parts[0] in (_JSON, "*/*", "application/*"):
            return "json"
        elif parts[0] == _YAML:
            return "yaml"
        elif parts[0] == openapi_protobuf.ACCEPTED:
            return "protobuf"
    return ""


class Documents:
    """The documents of what is served now; each is made once for each set of custom resources."""

    def __init__(self) -> None:
        self._served: tuple[Served, ...] = ()
        self._kept: dict[tuple[str, str, str], Document] = {}

    def has(self, path: str) -> bool:
        """Whether a path belongs to discovery or OpenAPI."""
        parts = [part for part in path.split("/") if part]
        if not parts:
            return False
        if parts[0] == "openapi":
            return True
        return (parts[0] == "api" and len(parts) <= 2) or (parts[0] == "apis" and len(parts) <= 3)

    def answer(self, path: str, accept: str, served: tuple[Served, ...],
               address: str) -> Document:
        """The document of a path, or the refusal."""
        if served is not self._served:
            if served != self._served:
                self._kept.clear()
            self._served = served
        form = wanted(accept)
        if not form or (form == "protobuf" and path != "/openapi/v2"):
            return Document(b"406 not acceptable: application/json and application/yaml are "
                            b"offered\n", 406, "text/plain")
        key = (path, form, address)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = _made(path, form, served, address)
        return found


def _made(path: str, form: str, served: tuple[Served, ...], address: str) -> Document:
    body, media = None, _JSON
    if path.startswith("/openapi/"):
        body = _openapi(path, served)
    else:
        if form == "aggregated":
            body, media = discovery.aggregated(path, served), _AGGREGATED
        if body is None:
            body, media = discovery.document(path, served, address), _JSON
    if body is None:
        if path.startswith("/api/"):
            return Document(json.dumps(status_document(no_such_path())).encode(), 404)
        return Document(b"404 page not found\n", 404, "text/plain")
    if form == "protobuf":
        content, media = openapi_protobuf.encoded(body), openapi_protobuf.MEDIA
    elif form == "yaml":
        import yaml
        content, media = yaml.safe_dump(body, allow_unicode=True).encode(), _YAML
    else:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    tag = hashlib.blake2b(content, digest_size=32).hexdigest().upper()
    return Document(content, 200, media, f'"{tag}"')


def _openapi(path: str, served: tuple[Served, ...]) -> dict[str, Any] | None:
    where = path.removeprefix("/openapi/").strip("/")
    if where == "v2":
        return openapi.document_v2(served)
    if where == "v3":
        return openapi.index_v3(served)
    found = openapi.paths_v3(served).get(where.removeprefix("v3/"))
    return None if found is None or not where.startswith("v3/") else openapi.document_v3(found)
