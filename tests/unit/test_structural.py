"""Structural schemas: pruning, defaults, faults in the server's words, rules in CEL."""

from typing import Any

import pytest

from reference_impl.apiserver.registry import structural

pytest.importorskip("cel")


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def told(spec: Any, wanted: dict[str, Any], old: Any = None) -> list[str]:
    """The faults of an object with this spec, a line each."""
    before = None if old is None else {"spec": old}
    return [f"{cause.field}: {cause.message}"
            for cause in structural.faults({"kind": "X", "spec": spec}, wanted, before)]


def test_unknown_fields_are_pruned_and_named() -> None:
    known = schema(a={"type": "integer"}, parts={"type": "array", "items": {
        "type": "object", "properties": {"b": {"type": "string"}}}}, free={
            "type": "object", "x-kubernetes-preserve-unknown-fields": True}, map={
                "type": "object", "additionalProperties": {"type": "object", "properties": {
                    "c": {"type": "string"}}}})
    unknown: list[str] = []
    found = structural.pruned({
        "kind": "X", "metadata": {"name": "n"}, "more": 1,
        "spec": {"a": 1, "z": 2, "parts": [{"b": "x", "y": 1}], "free": {"any": {"thing": 1}},
                 "map": {"k": {"c": "v", "d": 1}}}}, known, unknown)
    assert found == {"kind": "X", "metadata": {"name": "n"}, "spec": {
        "a": 1, "parts": [{"b": "x"}], "free": {"any": {"thing": 1}}, "map": {"k": {"c": "v"}}}}
    assert unknown == ["more", "spec.z", "spec.parts[0].y", "spec.map.k.d"]


def test_embedded_resources_keep_their_heads() -> None:
    known = schema(inner={"type": "object", "x-kubernetes-embedded-resource": True, "properties": {
        "spec": {"type": "object"}}})
    value = {"spec": {"inner": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}}}}
    assert structural.pruned(value, known, []) == value


def test_defaults_reach_into_lists_and_replace_nulls() -> None:
    known = schema(a={"type": "integer", "default": 1}, b={
        "type": "string", "nullable": True, "default": "x"}, parts={"type": "array", "items": {
            "type": "object", "properties": {"size": {"type": "integer", "default": 3}}}})
    assert structural.defaulted({"spec": {"a": None, "b": None, "parts": [{}]}}, known) == {
        "spec": {"a": 1, "b": None, "parts": [{"size": 3}]}}
    assert structural.defaulted({}, known) == {}


@pytest.mark.parametrize(("field", "value", "message"), [
    ({"type": "integer"}, "x",
     'spec.f: Invalid value: "string": spec.f in body must be of type integer: "string"'),
    ({"type": "string"}, None,
     'spec.f: Invalid value: "null": spec.f in body must be of type string: "null"'),
    ({"x-kubernetes-int-or-string": True}, [],
     'spec.f: Invalid value: "array": spec.f in body must be of type integer,string: "array"'),
    ({"type": "integer", "minimum": 2}, 1,
     "spec.f: Invalid value: 1: spec.f in body should be greater than or equal to 2"),
    ({"type": "integer", "maximum": 2, "exclusiveMaximum": True}, 2,
     "spec.f: Invalid value: 2: spec.f in body should be less than 2"),
    ({"type": "integer", "multipleOf": 2}, 3,
     "spec.f: Invalid value: 3: spec.f in body should be a multiple of 2"),
    ({"type": "string", "maxLength": 1}, "ab", "spec.f: Too long: may not be more than 1 bytes"),
    ({"type": "string", "minLength": 3}, "ab",
     'spec.f: Invalid value: "ab": spec.f in body should be at least 3 chars long'),
    ({"type": "string", "pattern": "^a$"}, "b",
     "spec.f: Invalid value: \"b\": spec.f in body should match '^a$'"),
    ({"type": "string", "enum": ["a", "b"]}, "c",
     'spec.f: Unsupported value: "c": supported values: "a", "b"'),
    ({"type": "array", "items": {"type": "integer"}, "maxItems": 1}, [1, 2],
     "spec.f: Too many: 2: must have at most 1 items"),
    ({"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"}, [1, 1],
     "spec.f[1]: Duplicate value: 1"),
    ({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
      "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
     [{"k": "a"}, {"k": "a"}], 'spec.f[1]: Duplicate value: {"k":"a"}'),
    ({"type": "integer", "oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3,
     "spec.f: Invalid value: 3: spec.f in body must validate one and only one schema (oneOf)"),
    ({"type": "integer", "not": {"minimum": 2}}, 3,
     "spec.f: Invalid value: 3: spec.f in body must not validate the schema (not)"),
])
def test_faults_are_told_as_release_1_32_tells_them(field: dict[str, Any], value: Any,
                                                    message: str) -> None:
    assert told({"f": value}, schema(f=field)) == [message]


def test_nulls_integers_and_numbers_that_fit_are_no_faults() -> None:
    known = schema(a={"type": "string", "nullable": True}, b={"type": "number"},
                   c={"type": "integer"}, d={"x-kubernetes-int-or-string": True})
    assert told({"a": None, "b": 1, "c": 2.0, "d": "25%"}, known) == []


def ruled(*rules: dict[str, Any]) -> dict[str, Any]:
    found = schema(a={"type": "integer"}, b={"type": "integer"})
    found["properties"]["spec"]["x-kubernetes-validations"] = list(rules)
    return found


def test_rules_speak_where_they_stand() -> None:
    rule = {"rule": "self.a <= self.b", "message": "a is above b"}
    assert told({"a": 1, "b": 2}, ruled(rule)) == []
    assert told({"a": 3, "b": 2}, ruled(rule)) == [
        'spec: Invalid value: "object": a is above b']
    assert told({"a": 3, "b": 2}, ruled({"rule": "self.a <= self.b"})) == [
        'spec: Invalid value: "object": failed rule: self.a <= self.b']
    worded = {"rule": "self.a < 2", "messageExpression": "'a is ' + string(self.a)",
              "fieldPath": ".a", "reason": "FieldValueForbidden"}
    assert told({"a": 3}, ruled(worded)) == ["spec.a: Forbidden: a is 3"]


def test_rules_about_changes_wait_for_one() -> None:
    rule = {"rule": "self.a >= oldSelf.a", "message": "a never falls"}
    assert told({"a": 1}, ruled(rule)) == []
    assert told({"a": 1}, ruled(rule), {"a": 2}) == ['spec: Invalid value: "object": a never falls']


def test_rules_are_not_asked_about_what_is_wrong_anyway() -> None:
    found = told({"a": "x"}, ruled({"rule": "self.a < 1"}))
    assert found[-1].startswith('<nil>: Invalid value: "null": some validation rules were not')
    assert len(found) == 2


def test_a_rule_that_fails_lets_nothing_pass() -> None:
    found = told({"a": 1}, ruled({"rule": "self.missing > 1"}))
    assert len(found) == 1
    assert "rule evaluation error" in found[0]


@pytest.mark.parametrize(("field", "where"), [
    ({"properties": {}}, "s.properties[f].type"),
    ({"type": "array"}, "s.properties[f].items"),
    ({"type": "text"}, "s.properties[f].type"),
    ({"type": "string", "x-kubernetes-list-type": "set"}, "s.properties[f].type"),
    ({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"},
     "s.properties[f].x-kubernetes-list-map-keys"),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True},
     "s.properties[f].uniqueItems"),
    ({"type": "string", "x-kubernetes-validations": [{"rule": "self +"}]},
     "s.properties[f].x-kubernetes-validations[0].rule"),
])
def test_schemas_that_are_not_structural_are_refused(field: dict[str, Any], where: str) -> None:
    found = structural.schema_faults({"type": "object", "properties": {"f": field}}, "s")
    assert [cause.field for cause in found] == [where]


def test_a_free_root_is_no_schema() -> None:
    assert structural.schema_faults({}, "s")[0].field == "s.type"
