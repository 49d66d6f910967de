"""Stage three: patches: JSON (RFC 6902), merge (RFC 7386) and strategic merge; apply stands in
`field_management`.

Source: Kubernetes documentation, "Update API Objects in Place Using kubectl patch", and the notes
on patch merge keys in the API reference. Lists of objects merge by the key that `model.api.schema`
knows for them; all other lists are replaced.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from model.api import schema
from model.api.objects import api_version_of, freeze, thaw
from model.api.records import FieldError
from model.api.requests import Cause, Request, Status, bad_request, failure
from model.api.resources import Resource
from model.api.schema import Shape
from model.kernel.errors import InputError
from reference_impl.apiserver.registry import field_management
from reference_impl.apiserver.registry.field_management import ApplyError, Author


def patched(obj: Any, request: Request, now: int, shape: Shape | None = None) -> Any:
    """The object with the patch of a request applied, or the Status of a refusal. `shape`: that of
    a custom resource."""
    patch = request.body
    document = thaw(obj)
    try:
        change = json.loads(patch.document)
    except ValueError:
        return bad_request("error decoding patch: invalid character in JSON")
    try:
        if patch.type == "json":
            result = json_patch(document, change)
        elif patch.type == "merge":
            result = merge_patch(document, change)
        elif patch.type == "strategic":
            fault = _strategic_fault(obj.kind, change)
            if fault is not None:
                return fault
            result = strategic_patch(document, change,
                                     schema.type_of(api_version_of(obj), obj.kind))
        elif request.subresource == "scale":
            result = merge_patch(document, change)
        else:
            fault = _apply_fault(change, obj.metadata.name or "")
            if fault is not None:
                return fault
            result = field_management.applied(obj, change, _author(request, now),
                                              request.options.force,
                                              shape or field_management.shape_for(obj))
    except PatchError as error:
        return failure(error.code, error.reason, str(error))
    except ApplyError as error:
        return error.status
    if not isinstance(result, dict) or result.get("kind", obj.kind) != obj.kind:
        return bad_request(f"the patch does not leave a {obj.kind}")
    try:
        return freeze(_tidied(result), kind=obj.kind)
    except FieldError as error:
        return _type_fault(patch.type, change, result, error)
    except InputError as error:
        return bad_request(error.what)


_GO_KINDS = {"integer": "int32", "boolean": "bool", "string": "string"}
_GO_SHAPES = {"array": "slice", "object": "struct"}


def _type_fault(form: str, change: Any, result: Any, error: FieldError) -> Status:
    """The 422 of a patch that leaves a value of a wrong type. A strategic merge is told with the
    patch, others with the whole object."""
    if form == "strategic":
        shape = _GO_SHAPES.get(error.expected)
        told = (f"unrecognized type: {_GO_KINDS.get(error.expected, error.expected)}"
                if shape is None else f"cannot restore {shape} from: {error.got}")
        shown = go_text(change)
    else:
        kind = _GO_KINDS.get(error.expected, error.expected)
        told = (f"json: cannot unmarshal {error.got} into Go struct field "
                f"{result.get('kind', '')}.{error.path} of type {kind}")
        shown = json.dumps(result, separators=(",", ":"))
    cause = Cause("FieldValueInvalid", f"Invalid value: {json.dumps(shown)}: {told}", "patch")
    return Status(code=422, reason="Invalid", causes=(cause,),
                  message=f' "" is invalid: patch: {cause.message}')


def go_text(value: Any) -> str:
    """A JSON value as Go prints it with %v."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _apply_fault(config: Any, name: str) -> Status | None:
    """The 400 of an applied document that cannot be meant for an object."""
    metadata = config.get("metadata") or {}
    if metadata.get("managedFields"):
        return bad_request("metadata.managedFields must be nil")
    if metadata.get("name", name) != name:
        return bad_request(f"the name of the object ({metadata['name']}) does not match the name "
                           f"on the URL ({name})")
    return None


_JSON_NAMES: tuple[tuple[type, str], ...] = (
    (str, "string"), (bool, "bool"), (int, "number"), (float, "number"), (list, "array"))


def _strategic_fault(kind: str, change: Any) -> Status | None:
    """The refusal of a strategic merge that is no object, or whose secret data is no base64."""
    if not isinstance(change, dict):
        name = next((name for type_, name in _JSON_NAMES if isinstance(change, type_)), "null")
        return bad_request(f"json: cannot unmarshal {name} into Go value of type "
                           "map[string]interface {}")
    data = change.get("data") if kind == "Secret" else None
    for text in data.values() if isinstance(data, dict) else ():
        at = -1 if not isinstance(text, str) else base64_fault(text)
        if at >= 0:
            cause = Cause("FieldValueInvalid", f'Invalid value: "{go_text(change)}": error '
                          f"decoding from json: illegal base64 data at input byte {at}", "patch")
            return Status(code=422, reason="Invalid", causes=(cause,),
                          message=f' "" is invalid: patch: {cause.message}')
    return None


def base64_fault(text: str) -> int:
    """Where a text stops being base64; -1 when it is."""
    bare = text.replace("\n", "").replace("\r", "")
    body = bare.rstrip("=")
    bad = re.search(r"[^A-Za-z0-9+/]", body)
    if bad is not None:
        return bad.start()
    return -1 if len(bare) % 4 == 0 and len(bare) - len(body) <= 2 else len(bare)


def _tidied(document: Any) -> Any:
    """A patched document without the lists and maps of its metadata that became empty."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {key: value for key, value in metadata.items()
                                     if value not in ([], {}) or key == "managedFields"}}


def _author(request: Request, now: int) -> Author:
    return Author(request.options.field_manager, field_management.APPLY, request.subresource, now)


def applied(request: Request, resource: Resource, now: int,
            shape: Shape | None = None) -> Any:
    """The object that an apply creates where there is none, or the Status of a refusal."""
    config = json.loads(request.body.document)
    fault = _apply_fault(config, request.name)
    if fault is not None:
        return fault
    try:
        shape = shape or field_management.shape_for(freeze(
            config, kind=resource.kind, api_version=resource.api_version))
        return freeze(field_management.applied(None, config, _author(request, now), False, shape),
                      kind=resource.kind, api_version=resource.api_version)
    except ApplyError as error:
        return error.status
    except FieldError as error:
        return bad_request(str(error))
    except InputError as error:
        return bad_request(error.what)


class PatchError(Exception):
    """A patch that cannot be applied."""

    def __init__(self, message: str, code: int = 422, reason: str = "Invalid") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


def merge_patch(target: Any, change: Any) -> Any:
    """RFC 7386: null removes, objects merge, all else replaces."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(target: Any, change: Any, name: str) -> Any:
    """Strategic merge: like a merge patch, but lists with a merge key merge entry by entry. `name`
    is the type of the value, "" for one whose type is not known."""
    if not isinstance(change, dict):
        return change
    if change.get("$patch") == "replace":
        return {key: value for key, value in change.items() if key != "$patch"}
    if change.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    retained = change.get("$retainKeys")
    for key, value in change.items():
        head, _, field = key.partition("/")
        if key in ("$patch", "$retainKeys"):
            continue
        if head == "$setElementOrder":
            if field not in change:
                result[field] = _ordered(result.get(field), value, result.get(field) or [],
                                         schema.merge_key(name, field) if name else "")
        elif head == "$deleteFromPrimitiveList":
            result[field] = [each for each in result.get(field) or () if each not in value]
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _merged_list(name, key, result.get(key), value,
                                       change.get(f"$setElementOrder/{key}"))
        else:
            result[key] = strategic_patch(result.get(key), value, _inner(name, key))
    if isinstance(retained, list):
        result = {key: value for key, value in result.items() if key in retained}
    return result


def _inner(name: str, field: str) -> str:
    """The type of a field, "" when it is no type of the tables."""
    code = schema.fields_of(name).get(field, "").lstrip("[{") if name else ""
    return code if code and schema.is_type(code) else ""


def _merged_list(name: str, field: str, old: Any, change: list[Any],
                 order: list[Any] | None) -> list[Any]:
    before = list(old) if isinstance(old, list) else []
    if name and f"{name}.{field}" in schema.tables()["merge_sets"]:
        both = [*before, *(each for each in change if each not in before)]
        return _ordered(both, change if order is None else order, before, "")
    key = schema.merge_key(name, field) if name else ""
    if not key or not all(isinstance(each, dict) for each in change):
        return [each for each in change
                if not (isinstance(each, dict) and list(each) == ["$patch"])]
    if any(each.get("$patch") == "replace" for each in change):
        return [each for each in change if "$patch" not in each]
    result = list(before)
    for entry in change:
        if key not in entry:
            raise PatchError(f"map: {json.dumps(entry)} does not contain declared merge key: "
                             f"{key}", 500, "")
        at = next((index for index, each in enumerate(result)
                   if isinstance(each, dict) and each.get(key) == entry[key]), -1)
        if entry.get("$patch") == "delete":
            result = [each for each in result if each.get(key) != entry[key]]
        elif at >= 0:
            result[at] = strategic_patch(result[at], entry, _inner(name, field))
        else:
            result.append(strategic_patch({}, entry, _inner(name, field)))
    return _ordered(result, change if order is None else order, before, key)


def _ordered(entries: Any, order: list[Any], before: list[Any], key: str) -> list[Any]:
    """Entries that a patch names, in its order; the others stay before those of them that they
    stood before. Source: Kubernetes, apimachinery, strategicpatch (element order)."""
    def named(entry: Any) -> Any:
        return entry.get(key) if key and isinstance(entry, dict) else entry

    if not isinstance(entries, list):
        return []
    wanted, known = [named(each) for each in order], [named(each) for each in before]
    mine = sorted((each for each in entries if named(each) in wanted),
                  key=lambda each: wanted.index(named(each)))
    others = [each for each in entries if named(each) not in wanted]
    result = []
    while mine and others:
        first, second = named(others[0]), named(mine[0])
        earlier = first in known and second in known and known.index(first) < known.index(second)
        result.append((others if earlier else mine).pop(0))
    return [*result, *mine, *others]


# -- RFC 6902 ------------------------------------------------------------------------------------

def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902: operations in order, all or none."""
    if not isinstance(operations, list):
        raise PatchError("error decoding patch: json: cannot unmarshal object into Go value of "
                         "type []handlers.jsonPatchOp", 400, "BadRequest")
    result = copy.deepcopy(document)
    for operation in operations:
        result = _operated(result, operation)
    return result


def _operated(document: Any, operation: Any) -> Any:
    kind, path = operation.get("op"), operation.get("path", "")
    if kind == "test":
        if _found(document, path, kind) != operation.get("value"):
            raise PatchError("the server rejected our request due to an error in our request")
        return document
    if kind in ("copy", "move"):
        value = copy.deepcopy(_found(document, operation.get("from", ""), kind))
        if kind == "move":
            document = _changed(document, operation.get("from", ""), "remove", None)
        return _changed(document, path, "add", value)
    if kind in ("add", "replace", "remove"):
        return _changed(document, path, kind, operation.get("value"))
    raise PatchError("the server rejected our request due to an error in our request")


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _found(document: Any, path: str, kind: str) -> Any:
    for step in _steps(path):
        try:
            document = document[int(step)] if isinstance(document, list) else document[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise PatchError("the server rejected our request due to an error in our "
                             "request") from None
    return document


def _changed(document: Any, path: str, kind: str, value: Any) -> Any:
    steps = _steps(path)
    if not steps:
        return value
    parent = _found(document, "/".join(["", *(_quoted(step) for step in steps[:-1])]), kind)
    last = steps[-1]
    try:
        if isinstance(parent, list):
            _change_list(parent, last, kind, value)
        elif kind == "remove":
            del parent[last]
        else:
            # The server's library replaces what is missing, too.
            parent[last] = value
    except (KeyError, IndexError, ValueError, TypeError):
        raise PatchError("the server rejected our request due to an error in our "
                         "request") from None
    return document


def _quoted(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _change_list(parent: list[Any], last: str, kind: str, value: Any) -> None:
    if kind == "add":
        at = len(parent) if last == "-" else int(last)
        if at > len(parent) or at < 0:
            raise IndexError(at)
        parent.insert(at, value)
    elif kind == "remove":
        del parent[int(last)]
    else:
        parent[int(last)] = value
