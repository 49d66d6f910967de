"""The shapes of objects: which fields there are, of which type, and how lists merge.

`fields.json` says of each kind served and of every type inside it: `types` the fields, each with
a code (a type's name, `string`, `int`, `int64`, `float`, `bool`, `bytes`, `time`, `microtime`,
`quantity`, `int-or-string`, `object`, `json`; `[code` for a list, `{code` for a map); `lists`
which lists are sets or maps by keys (all others are replaced whole); `atomic` the types and fields
that are replaced whole; `merge_keys`, `merge_sets`, `retain_keys`, `replaced` what a strategic
merge patch does; `required` the fields that must be there. Source: the published OpenAPI
description of Kubernetes 1.32 and KEP-555 (topology of lists, maps and structs).

A `Shape` is the same knowledge as a tree that code walks beside a document; a shape may also come
from the structural schema of a custom resource (`custom_shape`).
"""

from __future__ import annotations

import json
from functools import cache, cached_property
from pathlib import Path
from typing import Any

SCALAR, STRUCT, MAP, LIST, SET, KEYED, ATOMIC, FREE = (
    "scalar", "struct", "map", "list", "set", "keyed", "atomic", "free")
"""Kinds of shapes. LIST is replaced whole; FREE takes anything, merged field by field."""
KEY_DEFAULTS = {"protocol": "TCP"}
"""The value of a list-map key that an entry leaves out."""


@cache
def tables() -> dict[str, Any]:
    """The tables, as they lie beside this file."""
    path = Path(__file__).with_name("fields.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def type_of(api_version: str, kind: str) -> str:
    """The name of the type of a kind, "" for a kind without a table."""
    name: str = tables()["kinds"].get(f"{api_version}/{kind}", "")
    return name


def fields_of(name: str) -> dict[str, str]:
    """Field -> code, of a type."""
    fields: dict[str, str] = tables()["types"][name]
    return fields


def is_type(code: str) -> bool:
    """Whether a code is the name of a type."""
    return code in tables()["types"]


def required_of(name: str) -> tuple[str, ...]:
    """The fields that a value of a type must have."""
    return tuple(tables()["required"].get(name, ()))


def merge_key(name: str, field: str) -> str:
    """The key by which a strategic merge patch pairs the entries of a list, "" when it replaces."""
    key: str = tables()["merge_keys"].get(f"{name}.{field}", "")
    return key


def list_keys(name: str, field: str) -> tuple[str, ...]:
    """("map", key, …), ("set",) or () for a list that is replaced whole."""
    return tuple(tables()["lists"].get(f"{name}.{field}", ()))


class Shape:
    """How one position of a document is made. `fields` of a struct, `item` of lists and maps."""

    def __init__(self, kind: str, *, type_name: str = "", keys: tuple[str, ...] = (),
                 item: Shape | None = None, schema: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.type_name = type_name
        self.keys = keys
        self.item = item
        self.schema = schema

    @cached_property
    def fields(self) -> dict[str, Shape]:
        """Field -> shape, of a struct; worked out when it is first asked for, as types recur."""
        if self.schema is not None:
            return {name: custom_shape(each)
                    for name, each in (self.schema.get("properties") or {}).items()}
        if not self.type_name:
            return {}
        return {field: _field_shape(self.type_name, field, code)
                for field, code in fields_of(self.type_name).items()}

    def child(self, key: str) -> Shape | None:
        """The shape under a key of a struct or map; None for a field that there is not."""
        if self.kind == STRUCT:
            return self.fields.get(key)
        return self.item if self.kind == MAP else FREE_SHAPE

    def key_defaults(self) -> dict[str, Any]:
        """What stands in for keys that an entry of a keyed list leaves out."""
        item = self.item
        if item is not None and item.schema is not None:
            properties = item.schema.get("properties") or {}
            return {key: properties[key]["default"] for key in self.keys
                    if "default" in properties.get(key, {})}
        return {key: KEY_DEFAULTS[key] for key in self.keys if key in KEY_DEFAULTS}


SCALAR_SHAPE = Shape(SCALAR)
FREE_SHAPE = Shape(FREE)
ATOMIC_SHAPE = Shape(ATOMIC)


@cache
def shape_of(api_version: str, kind: str) -> Shape | None:
    """The shape of a kind's objects, None when it has no table."""
    name = type_of(api_version, kind)
    return _type_shape(name) if name else None


@cache
def _type_shape(name: str) -> Shape:
    if name in tables()["atomic"]:
        return Shape(ATOMIC, type_name=name)
    return Shape(STRUCT, type_name=name)


def _field_shape(name: str, field: str, code: str) -> Shape:
    if f"{name}.{field}" in tables()["atomic"]:
        return ATOMIC_SHAPE
    if code.startswith("{"):
        return Shape(MAP, item=_plain_shape(code[1:]))
    if code.startswith("["):
        item = _plain_shape(code[1:])
        kind, *keys = tables()["lists"].get(f"{name}.{field}", (LIST,))
        return Shape(KEYED if kind == "map" else kind, keys=tuple(keys), item=item)
    return _plain_shape(code)


def _plain_shape(code: str) -> Shape:
    if code.startswith(("[", "{")):
        return ATOMIC_SHAPE
    if is_type(code):
        return _type_shape(code)
    return ATOMIC_SHAPE if code in ("object", "json") else SCALAR_SHAPE


def custom_shape(schema: dict[str, Any]) -> Shape:
    """The shape that a structural schema describes (KEP-1027, "Structural schemas")."""
    if schema.get("x-kubernetes-embedded-resource"):
        return Shape(STRUCT, schema={**schema, "properties": {
            **(schema.get("properties") or {}), **_EMBEDDED}})
    kind = schema.get("type")
    if kind == "object":
        if schema.get("x-kubernetes-map-type") == "atomic":
            return ATOMIC_SHAPE
        if isinstance(schema.get("additionalProperties"), dict):
            return Shape(MAP, item=custom_shape(schema["additionalProperties"]))
        if schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
            return Shape(STRUCT, schema=schema)
        return FREE_SHAPE
    if kind == "array":
        item = custom_shape(schema.get("items") or {})
        made = {"map": KEYED, "set": SET}.get(schema.get("x-kubernetes-list-type", ""), LIST)
        return Shape(made, keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()), item=item)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return FREE_SHAPE
    return SCALAR_SHAPE


_EMBEDDED: dict[str, Any] = {
    "apiVersion": {"type": "string"}, "kind": {"type": "string"},
    "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


def custom_object_shape(schema: dict[str, Any]) -> Shape:
    """The shape of whole custom objects: their schema, with the metadata that all objects have."""
    shape = Shape(STRUCT, schema=schema)
    shape.fields = {**shape.fields, "apiVersion": SCALAR_SHAPE, "kind": SCALAR_SHAPE,
                    "metadata": _type_shape("V1ObjectMeta")}
    return shape
