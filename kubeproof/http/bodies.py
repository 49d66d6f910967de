"""From the bytes of a body to an object, with the server's words for what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

from model.api.objects import freeze
from model.api.records import FieldError
from model.api.requests import Patch, Status, bad_request, failure
from model.api.resources import BY_TYPE, SUBRESOURCE_RECORDS, Resource
from model.kernel.errors import InputError

BODY_BYTES_MAX = 3 * 1024 * 1024
PATCHES = {"application/json-patch+json": "json", "application/merge-patch+json": "merge",
           "application/strategic-merge-patch+json": "strategic",
           "application/apply-patch+yaml": "apply"}
_ACCEPTED = ("the body of the request was in an unknown format - accepted media types include: "
             "application/json, application/yaml, application/vnd.kubernetes.protobuf")
_SCHEME = 'in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
_SUBRESOURCE_KINDS = {"scale": ("autoscaling/v1", "Scale"), "eviction": ("policy/v1", "Eviction"),
                      "binding": ("v1", "Binding"),
                      "token": ("authentication.k8s.io/v1", "TokenRequest")}


def patch_of(data: bytes, content_type: str) -> Patch | Status:
    """The body of a patch."""
    kind = PATCHES.get(content_type.partition(";")[0].strip())
    if kind is None:
        return failure(415, "UnsupportedMediaType", "the body of the request was in an unknown "
                       "format - accepted media types include: application/json-patch+json, "
                       "application/merge-patch+json, application/apply-patch+yaml")
    if kind == "apply":
        document = parsed(data, "application/yaml", "patch")
        if isinstance(document, Status):
            return document
        data = json.dumps(document).encode()
    try:
        json.loads(data)
    except ValueError as error:
        return bad_request(f"error decoding patch: {error}")
    return Patch(kind, data)  # type: ignore[arg-type]  # one of the four kinds


def object_of(data: bytes, content_type: str, resource: Resource, subresource: str) -> Any:
    """The object that a body holds, or the Status of a refusal."""
    version, kind = _SUBRESOURCE_KINDS.get(subresource, (resource.api_version, resource.kind))
    document = parsed(data, content_type, kind)
    if isinstance(document, Status):
        return document
    fault = kind_fault(document, version, kind)
    if fault is not None:
        return fault
    document = {"kind": kind, "apiVersion": version, **document}
    document["kind"], document["apiVersion"] = kind, version
    try:
        return freeze(document)
    except FieldError as error:
        return bad_request(f"{kind} in version \"{version.rpartition('/')[2]}\" cannot be handled "
                           f"as a {kind}: json: cannot unmarshal {error.got} into Go struct field "
                           f"{kind}.{error.path} of type {error.expected}")
    except InputError as error:
        return bad_request(error.what)


def parsed(data: bytes, content_type: str, kind: str) -> Any:
    """The document of a body, or the Status of a refusal."""
    media = content_type.partition(";")[0].strip() or "application/json"
    if media not in ("application/json", "application/yaml"):
        return failure(415, "UnsupportedMediaType", _ACCEPTED)
    if len(data) > BODY_BYTES_MAX:
        return failure(413, "RequestEntityTooLarge",
                       f"Request entity too large: limit is {BODY_BYTES_MAX}")
    text = data.decode("utf-8", "replace")
    head = f"the object provided is unrecognized (must be of type {kind}): couldn't get " \
           "version/kind; json parse error: "
    if not data.strip():
        return bad_request(head + "unexpected end of JSON input (<empty>)")
    try:
        if media == "application/yaml":
            import yaml
            document = yaml.safe_load(text)
        else:
            document = json.loads(text)
    except Exception as error:  # two parsers, each with errors of its own
        return bad_request(f"{head}{_parse_error(text, error)} ({_excerpt(text)})")
    if document is None:
        return {}
    if not isinstance(document, dict):
        name = {list: "array", str: "string", bool: "bool"}.get(type(document), "number")
        return bad_request(f"{head}json: cannot unmarshal {name} into Go value of type struct "
                           '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string '
                           f'"json:\\"kind,omitempty\\"" }} ({_excerpt(text)})')
    return document


def _parse_error(text: str, error: Exception) -> str:
    position = getattr(error, "pos", None)
    if position is None or position >= len(text.rstrip()):
        return "unexpected end of JSON input"
    found = text[position]
    before = text[:position].rstrip()[-1:]
    if before in ("{", ","):
        return f"invalid character '{found}' looking for beginning of object key string"
    if before == ":":
        return f"invalid character '{found}' looking for beginning of value"
    return f"invalid character '{found}' after object key:value pair"


def _excerpt(text: str) -> str:
    data = text.strip()
    return data if len(data) <= 30 else data[:30] + " ..."


def kind_fault(document: dict[str, Any], version: str, kind: str) -> Status | None:
    """The 400 of a body whose kind or version is another than that of its URL."""
    found_kind = document.get("kind") or kind
    found_version = document.get("apiVersion") or version
    if (found_version, found_kind) == (version, kind):
        return None
    short, mine = str(found_version).rpartition("/")[2], version.rpartition("/")[2]
    known = (found_version, found_kind) in BY_TYPE or (
        found_version, found_kind) in SUBRESOURCE_RECORDS
    if known and found_kind != kind:
        return bad_request(f'{found_kind} in version "{short}" cannot be handled as a {kind}: '
                           f"converting ({mine}.{found_kind}) to (core.{kind}): unknown conversion")
    if found_version != version and found_kind == kind:
        return bad_request(f'{kind} in version "{short}" cannot be handled as a {kind}: no kind '
                           f'"{kind}" is registered for version "{found_version}" {_SCHEME}')
    return bad_request(f'{found_kind} in version "{short}" cannot be handled as a {kind}: no kind '
                       f'"{found_kind}" is registered for version "{found_version}" {_SCHEME}')
