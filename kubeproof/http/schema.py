"""Which fields there are, and of which type: unknown and duplicate fields, wrong types.

The fields stand in the tables of `model.api.schema`. What is unknown is dropped with a warning, as
the server does by default (field validation `Warn`), or refused (`Strict`). Source: Kubernetes
documentation, "Kubernetes API Concepts" (validation for unrecognized or duplicate fields).
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from model.api.quantities import parse
from model.api.schema import fields_of, is_type, type_of
from model.kernel.errors import InputError

INT32_MAX = 2**31 - 1
QUANTITY_TEXT = ("quantities must match the regular expression "
                 "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")


class Duplicates(dict[str, Any]):
    """An object of a document, with the keys that stood in it more than once."""

    repeated: tuple[str, ...] = ()


class FieldTypeError(Exception):
    """A value of a wrong type; the message is the server's."""


class Found(NamedTuple):
    """A document without its unknown fields, and what there was to warn of."""

    document: dict[str, Any]
    warnings: tuple[str, ...]


def pairs_hook(entries: list[tuple[str, Any]]) -> Duplicates:
    """For a JSON parser: keep the last of repeated keys, and remember that they were repeated."""
    found = Duplicates(entries)
    if len(found) != len(entries):
        seen: set[str] = set()
        repeated = []
        for key, _ in entries:
            if key in seen and key not in repeated:
                repeated.append(key)
            seen.add(key)
        found.repeated = tuple(repeated)
    return found


def known(api_version: str, kind: str) -> bool:
    """Whether the fields of a kind are known."""
    return bool(type_of(api_version, kind))


def checked(document: dict[str, Any], api_version: str, kind: str, *,
            whole: bool = True) -> Found:
    """The document without unknown fields. FieldTypeError at the first value of a wrong type.

    Of a `whole` object nulls and empty lists and maps go too, as they do when Go decodes and
    encodes it; in a patch they mean something.
    """
    root = type_of(api_version, kind)
    warnings: list[str] = []
    if not root:
        return Found(_free(document, warnings, whole), tuple(warnings))
    result = _object(document, root, "", "", warnings)
    return Found(_without_empty(result) if whole else result, tuple(warnings))


def _free(document: dict[str, Any], warnings: list[str], whole: bool) -> dict[str, Any]:
    """A document of a kind without a table: its metadata is like all others'."""
    plain: dict[str, Any] = _plain(document, "", warnings)
    if isinstance(plain.get("metadata"), dict):
        place = _Place("ObjectMeta", "metadata", "metadata", "metadata")
        metadata = _value(plain["metadata"], "V1ObjectMeta", place, warnings)
        plain["metadata"] = _without_empty(metadata) if whole else metadata
    return plain


def _plain(value: Any, shown: str, warnings: list[str]) -> Any:
    if isinstance(value, list):
        return [_plain(each, f"{shown}[{at}]", warnings) for at, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    for key in getattr(value, "repeated", ()):
        warnings.append(f'duplicate field "{shown}.{key}"' if shown else f'duplicate field "{key}"')
    return {key: _plain(item, f"{shown}.{key}" if shown else key, warnings)
            for key, item in value.items()}


_KEPT_EMPTY = frozenset(("rules", "from", "to"))


def _without_empty(value: Any, field: str = "") -> Any:
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            if item is None and key != "rules" and field not in _MAPS:
                continue
            inner = _without_empty(item, key)
            if inner == [] and key not in _KEPT_EMPTY:
                continue
            if inner == {} and key in _MAPS and item == {}:
                continue
            # A null in a map of texts is the empty text, in a patch it removes the key.
            kept[key] = "" if inner is None and field in _MAPS else inner
        return kept
    if isinstance(value, list):
        return [_without_empty(each, field) for each in value]
    return value


_MAPS = frozenset(("labels", "annotations", "data", "binaryData", "stringData", "matchLabels",
                   "nodeSelector"))


def _go_name(name: str) -> str:
    return re.sub(r"^(Core|Events|Discovery|Storage|Flowcontrol)?V\d+(alpha\d|beta\d)?", "", name)


def _object(value: dict[str, Any], name: str, shown: str, path: str,
            warnings: list[str]) -> dict[str, Any]:
    """`shown` is the path with indexes, for warnings; `path` is the one that Go prints."""
    fields = fields_of(name)
    lower = {field.lower(): field for field in fields}
    result: dict[str, Any] = {}
    for key, item in value.items():
        field = key if key in fields else lower.get(key.lower(), "")
        where = f"{shown}.{key}" if shown else key
        if key in getattr(value, "repeated", ()):
            warnings.append(f'duplicate field "{where}"')
        if not field:
            warnings.append(f'unknown field "{where}"')
            continue
        inner = f"{path}.{field}" if path else field
        result[field] = _value(item, fields[field], _Place(_go_name(name), field, inner, where),
                               warnings)
    return result


class _Place(NamedTuple):
    struct: str
    field: str
    path: str
    shown: str


def _value(item: Any, kind: str, place: _Place, warnings: list[str]) -> Any:
    if item is None:
        return None
    if kind.startswith("["):
        if not isinstance(item, list):
            raise _fault(item, place, _go_type(kind))
        return [_value(each, kind[1:], place._replace(shown=f"{place.shown}[{at}]"), warnings)
                for at, each in enumerate(item)]
    if kind.startswith("{"):
        if not isinstance(item, dict):
            raise _fault(item, place, _go_type(kind))
        return {key: _value(each, kind[1:], place, warnings) for key, each in item.items()}
    if is_type(kind):
        if not isinstance(item, dict):
            raise _fault(item, place, f"v1.{_go_name(kind)}")
        return _object(item, kind, place.shown, place.path, warnings)
    _check_scalar(item, kind, place)
    return item


_TEXTS = ("string", "bytes", "time", "microtime")


def _check_scalar(item: Any, kind: str, place: _Place) -> None:
    if kind in _TEXTS:
        if not isinstance(item, str):
            raise _fault(item, place, "[]uint8" if kind == "bytes" else "string")
        if kind == "bytes":
            _check_base64(item)
    elif kind == "quantity":
        _check_quantity(item)
    elif kind == "bool":
        if not isinstance(item, bool):
            raise _fault(item, place, "bool")
    elif kind in ("int", "int64"):
        wide = kind == "int64"
        if isinstance(item, bool) or not isinstance(item, int) or (
                not wide and abs(item) > INT32_MAX + 1):
            raise _fault(item, place, "int64" if wide else "int32")
    elif kind == "int-or-string" and (
            isinstance(item, bool) or not isinstance(item, (int, str))):
        raise _fault(item, place, "int32")


def _check_quantity(item: Any) -> None:
    if not isinstance(item, (str, int, float)) or isinstance(item, bool):
        raise FieldTypeError(QUANTITY_TEXT)
    try:
        parse(str(item))
    except InputError:
        raise FieldTypeError(QUANTITY_TEXT) from None


def _check_base64(text: str) -> None:
    plain = text.replace("\n", "").replace("\r", "")
    body = plain.rstrip("=")
    for at, char in enumerate(body):
        if not (char.isascii() and (char.isalnum() or char in "+/")):
            raise FieldTypeError(f"illegal base64 data at input byte {at}")
    padding = len(plain) - len(body)
    if len(plain) % 4 or padding > 2:
        raise FieldTypeError(f"illegal base64 data at input byte {len(plain) // 4 * 4}")


def _fault(item: Any, place: _Place, expected: str) -> FieldTypeError:
    if isinstance(item, bool):
        got = "bool"
    elif isinstance(item, (int, float)):
        got = "number" if not expected.startswith("int") else f"number {json.dumps(item)}"
    else:
        got = {"str": "string", "list": "array"}.get(type(item).__name__, "object")
    return FieldTypeError(f"json: cannot unmarshal {got} into Go struct field "
                     f"{place.struct}.{place.path} of type {expected}")


def _go_type(kind: str) -> str:
    if kind == "{quantity":
        return "v1.ResourceList"
    if kind.startswith("["):
        inner = kind[1:]
        return f"[]v1.{_go_name(inner)}" if is_type(inner) else f"[]{inner}"
    inner = kind[1:]
    return f"map[string]{'[]uint8' if inner == 'bytes' else inner}"
