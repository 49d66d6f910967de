"""Structural schemas of custom resources: pruning, defaults, faults of values, rules in CEL.

Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions"
(structural schema, field pruning, defaulting, validation rules), KEP-2876, and the texts that a
server of release 1.32 answers.

Not modelled: the cost budget of rules; the extensions of CEL that only Kubernetes has (`isSorted`,
`url`, `quantity` and the like), whose rules fail with an evaluation error instead of letting a
wrong object pass; ratcheting of faults that an update did not touch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from model.api.requests import Cause, field_invalid

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
RULES = "x-kubernetes-validations"
_HEAD = ("apiVersion", "kind", "metadata")
_BLOCKING = frozenset(("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong",
                       "FieldValueTooMany", "FieldValueTypeInvalid"))
_BLOCKED = ("some validation rules were not checked because the object was invalid; correct the "
            "existing errors to complete validation")
Causes = list[Cause]


# -- pruning and defaults ------------------------------------------------------------------------

def pruned(value: Any, schema: Schema, unknown: list[str], path: str = "",
           is_root: bool = True) -> Any:
    """The value without fields that the schema does not know; their paths go to `unknown`."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [pruned(each, items, unknown, f"{path}[{at}]", False)
                for at, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    result = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in _HEAD and (is_root or schema.get(EMBEDDED)):
            result[key] = item
        elif key in properties:
            result[key] = pruned(item, properties[key], unknown, where, False)
        elif isinstance(extra, dict):
            result[key] = pruned(item, extra, unknown, where, False)
        elif extra is True or schema.get(PRESERVE):
            result[key] = item
        else:
            unknown.append(where)
    return result


def defaulted(value: Any, schema: Schema) -> Any:
    """The value with the defaults of absent fields; a null where null is not allowed is absent."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [defaulted(each, items) for each in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    result = {}
    for key, item in value.items():
        inner = properties.get(key, extra if isinstance(extra, dict) else {})
        if item is None and "default" in inner and not inner.get("nullable"):
            continue
        result[key] = defaulted(item, inner)
    for key, inner in properties.items():
        if key not in result and "default" in inner:
            result[key] = defaulted(json.loads(json.dumps(inner["default"])), inner)
    return result


# -- faults --------------------------------------------------------------------------------------

def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, (dict, list)) else (
        json.dumps(_type_of(value)))


def faults(value: Any, schema: Schema, old: Any = None) -> Causes:
    """Every fault of an object: its fields, then, unless those stand in the way, its rules. `old`
    is the object that it replaces."""
    found = [*_root_faults(value, schema)]
    if not _has_rules(schema):
        return found
    if any(cause.reason in _BLOCKING for cause in found):
        return [*found, Cause("FieldValueInvalid", f'Invalid value: "null": {_BLOCKED}', "<nil>")]
    return [*found, *_rule_faults(value, schema, "", old)]


def _root_faults(value: Any, schema: Schema) -> Iterator[Cause]:
    bare = {key: item for key, item in value.items() if key not in _HEAD}
    yield from _value_faults(bare, {**schema, "required": [
        key for key in schema.get("required") or () if key not in _HEAD]}, "")


def _value_faults(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if value is None and schema.get("nullable"):
        return
    wrong = _type_fault(value, schema, path)
    if wrong is not None:
        yield wrong
        return
    if isinstance(value, dict):
        yield from _object_faults(value, schema, path)
    elif isinstance(value, list):
        yield from _list_faults(value, schema, path)
    elif isinstance(value, str):
        yield from _text_faults(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_faults(value, schema, path)
    choices = schema.get("enum")
    if choices is not None and value not in choices:
        known = ", ".join(_shown(each) for each in choices)
        yield Cause("FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported "
                    f"values: {known}", path)
    yield from _joined_faults(value, schema, path)


def _type_fault(value: Any, schema: Schema, path: str) -> Cause | None:
    got = _type_of(value)
    wanted = schema.get("type")
    if schema.get(INT_OR_STRING):
        if got in ("integer", "string"):
            return None
        wanted = "integer,string"
    elif not wanted or got == wanted or (wanted == "number" and got == "integer") or (
            wanted == "integer" and isinstance(value, float) and value.is_integer()):
        return None
    where = path or "<nil>"
    return Cause("FieldValueTypeInvalid", f'Invalid value: "{got}": {path} in body must be of type '
                 f'{wanted}: "{got}"', where)


def _body(path: str, value: Any, text: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {_shown(value)}: {path} in body {text}",
                 path or "<nil>")


def _object_faults(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for key in schema.get("required") or ():
        if key not in value:
            yield Cause("FieldValueRequired", "Required value", _at(path, key))
    for key, item in value.items():
        if key in properties:
            yield from _value_faults(item, properties[key], _at(path, key))
        elif isinstance(extra, dict):
            yield from _value_faults(item, extra, _at(path, key))
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(value) > most:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items",
                    path)
    if least is not None and len(value) < least:
        yield _body(path, value, f"should have at least {least} properties")


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _list_faults(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    items = schema.get("items") or {}
    for at, each in enumerate(value):
        yield from _value_faults(each, items, f"{path}[{at}]")
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(value) > most:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items",
                    path)
    if least is not None and len(value) < least:
        yield Cause("FieldValueInvalid", f"Invalid value: {len(value)}: {path} in body should have "
                    f"at least {least} items", path)
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if kind not in ("set", "map"):
        return
    seen: list[Any] = []
    for at, each in enumerate(value):
        mark = each
        if kind == "map" and isinstance(each, dict):
            mark = {key: each.get(key) for key in keys}
        if mark in seen:
            yield Cause("FieldValueDuplicate", "Duplicate value: "
                        f"{json.dumps(mark, separators=(',', ':'))}", f"{path}[{at}]")
        seen.append(mark)


_FORMATS = {
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "date":
    r"\d{4}-\d\d-\d\d", "uuid": r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}",
    "ipv4": r"(\d{1,3}\.){3}\d{1,3}", "email": r"[^@\s]+@[^@\s]+", "byte":
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"}


def _text_faults(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    most, least = schema.get("maxLength"), schema.get("minLength")
    if most is not None and len(value) > most:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {most} bytes", path)
    if least is not None and len(value) < least:
        yield _body(path, value, f"should be at least {least} chars long")
    pattern = schema.get("pattern")
    if pattern and not re.search(pattern, value):
        yield _body(path, value, f"should match '{pattern}'")
    form = schema.get("format")
    if form in _FORMATS and not re.fullmatch(_FORMATS[form], value):
        yield _body(path, value, f"must be of type {form}: {_shown(value)}")


def _number_faults(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        if schema.get("exclusiveMinimum") and value <= least:
            yield _body(path, value, f"should be greater than {least}")
        elif value < least:
            yield _body(path, value, f"should be greater than or equal to {least}")
    if most is not None:
        if schema.get("exclusiveMaximum") and value >= most:
            yield _body(path, value, f"should be less than {most}")
        elif value > most:
            yield _body(path, value, f"should be less than or equal to {most}")
    step = schema.get("multipleOf")
    if step and value % step:
        yield _body(path, value, f"should be a multiple of {step}")


def _joined_faults(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    for each in schema.get("allOf") or ():
        yield from _value_faults(value, each, path)
    some = schema.get("anyOf")
    if some and not any(_fits(value, each, path) for each in some):
        yield _body(path, value, "must validate at least one schema (anyOf)")
    one = schema.get("oneOf")
    if one and sum(_fits(value, each, path) for each in one) != 1:
        yield _body(path, value, "must validate one and only one schema (oneOf)")
    never = schema.get("not")
    if never is not None and _fits(value, never, path):
        yield _body(path, value, "must not validate the schema (not)")


def _fits(value: Any, schema: Schema, path: str) -> bool:
    return next(_value_faults(value, schema, path), None) is None


# -- rules ---------------------------------------------------------------------------------------

def _has_rules(schema: Any) -> bool:
    if isinstance(schema, dict):
        return bool(schema.get(RULES)) or any(_has_rules(each) for each in schema.values())
    return isinstance(schema, list) and any(_has_rules(each) for each in schema)


@lru_cache(maxsize=1024)
def compiled(rule: str) -> Any:
    """A rule, ready to run. ValueError when it is no CEL."""
    import cel
    return cel.compile(rule)


def _rule_faults(value: Any, schema: Schema, path: str, old: Any) -> Iterator[Cause]:
    for rule in schema.get(RULES) or ():
        text = rule.get("rule", "")
        if "oldSelf" in text and old is None:
            continue
        fault = _rule_fault(rule, text, value, path, old)
        if fault is not None:
            yield fault
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        properties = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        for key, item in value.items():
            inner = properties.get(key, extra if isinstance(extra, dict) else None)
            if inner:
                yield from _rule_faults(item, inner, _at(path, key), before.get(key))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _rule_faults(each, schema.get("items") or {}, f"{path}[{at}]", None)


def _rule_fault(rule: dict[str, Any], text: str, value: Any, path: str, old: Any) -> Cause | None:
    names = {"self": value} if old is None else {"self": value, "oldSelf": old}
    try:
        if compiled(text).execute(names) is True:
            return None
        message = rule.get("message") or f"failed rule: {text}"
        if rule.get("messageExpression"):
            message = str(compiled(rule["messageExpression"]).execute(names))
    except Exception as error:  # the library raises several kinds for one thing: no verdict
        message = f"rule evaluation error: {error}"
    where = path + str(rule.get("fieldPath") or "") if path else str(
        rule.get("fieldPath") or "<nil>").lstrip(".")
    shown = json.dumps(_type_of(value)) if isinstance(value, (dict, list)) else _shown(value)
    reason = rule.get("reason") or "FieldValueInvalid"
    head = {"FieldValueForbidden": "Forbidden",
            "FieldValueRequired": "Required value"}.get(reason)
    return Cause(reason, f"{head}: {message}" if head else f"Invalid value: {shown}: {message}",
                 where)


# -- faults of schemas ---------------------------------------------------------------------------

_TYPES = ("array", "boolean", "integer", "number", "object", "string")


def schema_faults(schema: Schema, path: str, is_root: bool = True) -> Causes:
    """What keeps a schema from being structural, and rules that are no rules."""
    causes: Causes = []
    kind: str | None = schema.get("type")
    free = schema.get(INT_OR_STRING) or (schema.get(PRESERVE) and not is_root)
    if is_root and kind != "object":
        causes.append(field_invalid(f"{path}.type", kind or "", "must be object at the root")
                      if kind else Cause("FieldValueRequired", "Required value: must not be empty "
                                         "at the root", f"{path}.type"))
    elif not kind and not free:
        causes.append(Cause("FieldValueRequired", "Required value: must not be empty for specified "
                            "object fields", f"{path}.type"))
    elif kind and kind not in _TYPES:
        known = ", ".join(f'"{each}"' for each in _TYPES)
        causes.append(Cause("FieldValueNotSupported", f"Unsupported value: {_shown(kind)}: "
                            f"supported values: {known}", f"{path}.type"))
    if kind == "array" and not isinstance(schema.get("items"), dict):
        causes.append(Cause("FieldValueRequired", "Required value: must be specified",
                            f"{path}.items"))
    if schema.get("properties") and schema.get("additionalProperties"):
        causes.append(Cause("FieldValueForbidden", "Forbidden: additionalProperties and properties "
                            "are mutual exclusive", f"{path}.additionalProperties"))
    if schema.get("uniqueItems"):
        causes.append(Cause("FieldValueForbidden", "Forbidden: uniqueItems cannot be set to true "
                            "since the runtime complexity becomes quadratic",
                            f"{path}.uniqueItems"))
    causes += _list_type_faults(schema, path)
    for at, rule in enumerate(schema.get(RULES) or ()):
        causes += _compile_faults(rule, f"{path}.{RULES}[{at}]")
    for key, inner in (schema.get("properties") or {}).items():
        if not (is_root and key == "metadata"):
            causes += schema_faults(inner, f"{path}.properties[{key}]", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            causes += schema_faults(schema[key], f"{path}.{key}", False)
    return causes


def _list_type_faults(schema: Schema, path: str) -> Causes:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    if kind is None:
        return []
    if kind not in ("atomic", "set", "map"):
        return [Cause("FieldValueNotSupported", f"Unsupported value: {_shown(kind)}: supported "
                      'values: "atomic", "map", "set"', f"{path}.x-kubernetes-list-type")]
    if schema.get("type") != "array":
        return [field_invalid(f"{path}.type", schema.get("type") or "", "must be array if "
                              "x-kubernetes-list-type is specified")]
    if kind == "map" and not keys:
        return [Cause("FieldValueRequired", "Required value: must not be empty if "
                      "x-kubernetes-list-type is map", f"{path}.x-kubernetes-list-map-keys")]
    return []


def _compile_faults(rule: dict[str, Any], path: str) -> Causes:
    text = rule.get("rule") or ""
    if not text.strip():
        return [Cause("FieldValueRequired", "Required value: rule is not specified",
                      f"{path}.rule")]
    try:
        compiled(text)
    except Exception as error:  # the library raises several kinds for one thing: no rule
        return [field_invalid(f"{path}.rule", text, f"compilation failed: {error}")]
    return []
