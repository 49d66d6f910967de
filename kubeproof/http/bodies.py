"""From the bytes of a body to an object, with the server's words for what is wrong with them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from kubeproof.http import json_fault, schema, versions
from model.api.objects import freeze
from model.api.records import FieldError
from model.api.requests import (
    Cause,
    Options,
    Patch,
    Status,
    bad_request,
    failure,
    field_forbidden,
    field_required,
    field_unsupported,
    invalid,
)
from model.api.resources import BY_TYPE, SUBRESOURCE_RECORDS, Resource
from model.kernel.errors import InputError
from reference_impl.apiserver.registry import encoding

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


def patch_of(data: bytes, content_type: str, resource: Resource, subresource: str,
             options: Options) -> Body | Status:
    """The body of a patch."""
    kind = PATCHES.get(content_type.partition(";")[0].strip())
    if kind is None:
        return failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")
    if kind == "apply" and not options.field_manager:
        return _bad_options("PatchOptions", field_required(
            "fieldManager", "is required for apply patch"))
    document = parsed(data, "application/yaml" if kind == "apply" else "application/json", "patch")
    if isinstance(document, Status):
        text = data.decode("utf-8", "replace")
        if kind == "apply" or document.code != 400:
            return document
        head = "" if kind == "strategic" else "error decoding patch: "
        return bad_request(head + (json_fault.fault(text) or document.message))
    warnings: tuple[str, ...] = ()
    if kind == "apply":
        fault = _apply_fault(document, resource)
        if fault is not None:
            return fault
    if kind != "json" and isinstance(document, dict) and subresource in ("", "status"):
        document, warnings = _known_part(document, resource, kind == "strategic")
        if kind != "apply":
            encoding.tidy_status(document, resource.kind, gone=None)
        if kind == "apply" and warnings:
            unknown = warnings[0].partition('"')[2].rstrip('"')
            meta = document.get("metadata") or {}
            return Status(code=500, message="failed to create typed patch object ("
                          f"{meta.get('namespace', '')}/{meta.get('name', '')}; "
                          f"{_gv(resource.api_version)}, Kind={resource.kind}): .{unknown}: field "
                          "not declared in schema")
    if options.field_validation == "Strict" and warnings and kind != "merge":
        return Status(code=422, reason="Invalid", message=' "" is invalid: patch: Invalid value: '
                      f'{json.dumps(data.decode("utf-8", "replace"))}: strict decoding error: '
                      + ", ".join(warnings))
    if options.field_validation == "Ignore":
        warnings = ()
    return Body(Patch(kind, json.dumps(document).encode()), warnings)  # type: ignore[arg-type]  # one of the four kinds


def _gv(api_version: str) -> str:
    return api_version if "/" in api_version else f"/{api_version}"


def _apply_fault(document: dict[str, Any], resource: Resource) -> Status | None:
    version, kind = document.get("apiVersion", ""), document.get("kind", "")
    if (version, kind) != (resource.api_version, resource.kind):
        return bad_request(f"invalid object type: {_gv(str(version))}, Kind={kind}")
    return None


def _known_part(document: dict[str, Any], resource: Resource,
                strategic: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A patch without fields that the kind does not have. One with directives, or with types that
    the kind does not have, is left to the patching itself."""
    if strategic and '"$' in json.dumps(document):
        return document, ()
    try:
        found = schema.checked(document, resource.api_version, resource.kind, whole=False)
    except schema.FieldTypeError:
        return document, ()
    return found.document, found.warnings


FIELD_MANAGER_BYTES_MAX = 128


def options_fault(verb: str, options: Options, dry_run: str, is_apply: bool) -> Status | None:
    """The 422 of query parameters with a wrong value."""
    kind = {"create": "CreateOptions", "update": "UpdateOptions"}.get(verb, "PatchOptions")
    if options.force and not is_apply:
        return _bad_options(kind, field_forbidden("force", "may not be specified for non-apply "
                                                  "patch"))
    if len(options.field_manager.encode()) > FIELD_MANAGER_BYTES_MAX:
        return _bad_options(kind, Cause("FieldValueTooLong", "Too long: may not be more than "
                                        f"{FIELD_MANAGER_BYTES_MAX} bytes", "fieldManager"))
    if dry_run not in ("", "All"):
        return _bad_options(kind, Cause("FieldValueNotSupported", "Unsupported value: "
                                        f'[]string{{"{dry_run}"}}: supported values: "All"',
                                        "dryRun"))
    if options.field_validation not in ("", "Ignore", "Strict", "Warn"):
        return _bad_options(kind, field_unsupported("fieldValidation", options.field_validation,
                                                    ("", "Ignore", "Strict", "Warn")))
    return None


def _bad_options(kind: str, cause: Cause) -> Status:
    return invalid(kind, "meta.k8s.io", "", (cause,))


class Body(NamedTuple):
    """An object that came in, and what there was to warn of."""

    object: Any
    warnings: tuple[str, ...] = ()


def object_of(data: bytes, content_type: str, resource: Resource, subresource: str,
              validation: str) -> Body | Status:
    """The object that a body holds, or the Status of a refusal."""
    version, kind = _SUBRESOURCE_KINDS.get(subresource, (resource.api_version, resource.kind))
    document = parsed(data, content_type, kind)
    if isinstance(document, Status):
        return document
    document = versions.inward(document)
    if subresource == "eviction" and document.get("apiVersion") == "policy/v1beta1":
        # The older version of the same kind is still taken.
        document = {**document, "apiVersion": version}
    fault = kind_fault(document, version, kind)
    if fault is not None:
        return fault
    head = f'{kind} in version "{version.rpartition("/")[2]}" cannot be handled as a {kind}: '
    try:
        found = schema.checked(document, version, kind)
    except schema.FieldTypeError as error:
        return bad_request(f"{head}{error}")
    if validation == "Strict" and found.warnings:
        return bad_request(f"{head}strict decoding error: {', '.join(found.warnings)}")
    document = {**found.document, "kind": kind, "apiVersion": version}
    encoding.tidy_status(document, kind)
    try:
        return Body(freeze(document), () if validation == "Ignore" else found.warnings)
    except FieldError as error:
        return bad_request(f"{head}json: cannot unmarshal {error.got} into Go struct field "
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
            document = json.loads(text, object_pairs_hook=schema.pairs_hook,
                                  parse_constant=_no_number)
    except Exception as error:
        if media == "application/yaml":
            return bad_request(f"the object provided is unrecognized (must be of type {kind}): "
                               f"yaml: {_yaml_error(error)} "
                               f"({data.hex()})")
        return bad_request(f"{head}{json_fault.fault(text) or error} ({_excerpt(text)})")
    if document is None:
        return {}
    if not isinstance(document, dict):
        if kind == "patch":
            return document
        name = {list: "array", str: "string", bool: "bool"}.get(type(document), "number")
        return bad_request(f"{head}json: cannot unmarshal {name} into Go value of type struct "
                           '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string '
                           f'"json:\\"kind,omitempty\\"" }} ({data.strip().hex()})')
    return document


def _yaml_error(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line}: " if mark is not None else ""
    problem = str(getattr(error, "problem", None) or error)
    if problem.startswith("expected the node content"):
        problem = "did not find expected node content"
    return f"{line}{problem}"


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _excerpt(text: str) -> str:
    data = text.strip()
    return data if len(data) <= 30 else data[:30] + " ..."


def kind_fault(document: dict[str, Any], version: str, kind: str) -> Status | None:
    """The 400 of a body whose kind or version is another than that of its URL."""
    given = {key.lower(): value for key, value in document.items()
             if key.lower() in ("kind", "apiversion")}
    found_kind = given.get("kind") or kind
    found_version = given.get("apiversion") or version
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
