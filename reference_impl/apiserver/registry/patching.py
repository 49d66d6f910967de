"""Stage three: patches: JSON (RFC 6902), merge (RFC 7386) and strategic merge.

An apply is merged like a merge patch.

Not modelled: field ownership, so that an apply neither conflicts nor removes what it left out.
Source: Kubernetes documentation, "Update API Objects in Place Using kubectl patch", and the notes
on patch merge keys in the API reference. Lists of objects merge by the key given below; all other
lists are replaced.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from model.api.objects import freeze, thaw
from model.api.records import FieldError
from model.api.requests import Options, Patch, bad_request, failure
from model.api.resources import Resource
from model.kernel.errors import InputError

MERGE_KEYS: dict[str, str] = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name",
    "volumes": "name", "env": "name", "volumeMounts": "mountPath", "volumeDevices": "devicePath",
    "imagePullSecrets": "name", "hostAliases": "ip", "topologySpreadConstraints": "topologyKey",
    "conditions": "type", "addresses": "type", "ownerReferences": "uid", "secrets": "name",
    "taints": "key",
}
"""Field of a list -> the key by which its entries merge."""
PRIMITIVE_MERGES = frozenset(("finalizers", "podCIDRs"))


def patched(obj: Any, patch: Patch, options: Options) -> Any:
    """The object with a patch applied, or the Status of a refusal."""
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
            result = strategic_patch(document, change, obj.kind)
        else:
            result = merge_patch(document, change)
    except PatchError as error:
        return failure(error.code, error.reason, str(error))
    if not isinstance(result, dict) or result.get("kind", obj.kind) != obj.kind:
        return bad_request(f"the patch does not leave a {obj.kind}")
    try:
        return freeze(result, kind=obj.kind)
    except FieldError as error:
        return bad_request(str(error))
    except InputError as error:
        return bad_request(error.what)


def applied(patch: Patch, resource: Resource) -> Any:
    """The object that an apply creates where there is none, or the Status of a refusal."""
    try:
        return freeze(json.loads(patch.document), kind=resource.kind,
                      api_version=resource.api_version)
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


def strategic_patch(target: Any, change: Any, kind: str) -> Any:
    """Strategic merge: like a merge patch, but lists with a merge key merge entry by entry."""
    if not isinstance(change, dict):
        return change
    if change.get("$patch") == "replace":
        return {key: value for key, value in change.items() if key != "$patch"}
    if change.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    retained = change.get("$retainKeys")
    for key, value in change.items():
        if key in ("$patch", "$retainKeys") or key.startswith("$setElementOrder/"):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [each for each in result.get(field) or () if each not in value]
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _merged_list(key, result.get(key), value, kind)
        else:
            result[key] = strategic_patch(result.get(key), value, kind)
    if isinstance(retained, list):
        result = {key: value for key, value in result.items() if key in retained}
    return result


def merge_key(field: str, entries: list[Any], kind: str) -> str:
    """The merge key of a list, "" where the list is replaced as a whole."""
    if field == "ports":
        if kind == "Service":
            return "port"
        return "containerPort" if kind != "Endpoints" else ""
    if field in ("addresses", "conditions", "secrets", "taints") and kind in ("Endpoints",):
        return ""
    return MERGE_KEYS.get(field, "")


def _merged_list(field: str, old: Any, change: list[Any], kind: str) -> list[Any]:
    before = list(old) if isinstance(old, list) else []
    if field in PRIMITIVE_MERGES:
        return before + [each for each in change if each not in before]
    key = merge_key(field, change, kind)
    if not key or not all(isinstance(each, dict) for each in change):
        return change
    if any(each.get("$patch") == "replace" for each in change):
        return [each for each in change if "$patch" not in each]
    for entry in change:
        if key not in entry:
            raise PatchError(f"map: {json.dumps(entry)} does not contain declared merge key: "
                             f"{key}", 500, "")
        at = next((index for index, each in enumerate(before)
                   if isinstance(each, dict) and each.get(key) == entry[key]), -1)
        if entry.get("$patch") == "delete":
            if at >= 0:
                del before[at]
        elif at >= 0:
            before[at] = strategic_patch(before[at], entry, kind)
        else:
            before.append(strategic_patch({}, entry, kind))
    return before


# -- RFC 6902 ------------------------------------------------------------------------------------

def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902: operations in order, all or none."""
    if not isinstance(operations, list):
        raise PatchError("error decoding patch: json: cannot unmarshal object into Go value of "
                         "type jsonpatch.Patch", 400, "BadRequest")
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
        elif kind == "replace" and last not in parent:
            raise KeyError(last)
        else:
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
