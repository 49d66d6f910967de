"""Objects keep what was sent: freeze and thaw, typed positions, leftovers, fast replacement."""

from __future__ import annotations

import json
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.api import objects as api
from model.api.records import table, wire_name
from model.api.resources import BY_ALIAS, BY_TYPE, RESOURCES
from model.kernel.errors import InputError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
LEAVES = st.none() | st.booleans() | st.integers(-2**40, 2**40) | TEXTS
UNKNOWN = st.recursive(LEAVES | st.floats(allow_nan=False, allow_infinity=False),
                       lambda inner: st.lists(inner, max_size=3)
                       | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=3)


def documents_of(record: type, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Documents that fit a record: some typed fields, some nulls, some unknown fields."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    hints = _hints(record)
    for wire, annotation in hints.items():
        fields[wire] = st.none() | _values(annotation, depth)
    known = st.fixed_dictionaries({}, optional=fields)
    extra = st.dictionaries(TEXTS.filter(lambda key: key not in hints), UNKNOWN, max_size=2)
    return st.builds(lambda left, right: {**right, **left}, known, extra)


def _hints(record: type) -> dict[str, Any]:
    found = get_type_hints(record, include_extras=True)
    return {wire_name(field): found[field] for field in table(record).fields
            if field not in ("rest", "kind", "metadata")}


def _values(annotation: Any, depth: int) -> st.SearchStrategy[Any]:
    options = [each for each in get_args(annotation) if each is not NoneType] or [annotation]
    if get_origin(annotation) is tuple or annotation is api.Quantities:
        options = [annotation]
    return st.one_of(*(_value(each, depth) for each in options))


def _value(annotation: Any, depth: int) -> st.SearchStrategy[Any]:
    plain = {str: TEXTS, int: st.integers(-2**31, 2**31), bool: st.booleans()}
    if annotation in plain:
        return plain[annotation]
    if annotation in (api.Quantities, api.Pairs):
        return MAPS
    if get_origin(annotation) is tuple:
        return st.lists(_value(get_args(annotation)[0], depth), max_size=2)
    if depth >= 3:
        return st.just({})
    return st.deferred(lambda: documents_of(annotation, depth + 1))


TYPED = sorted(key for key, resource in BY_TYPE.items() if resource.record is not None)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_thaw_gives_back_every_field_that_freeze_was_given(data: st.DataObject) -> None:
    """Unknown fields, nulls, empty maps and lists included, at every level."""
    version, kind = data.draw(st.sampled_from(TYPED))
    record = BY_TYPE[version, kind].record
    assert record is not None
    body = data.draw(documents_of(record))
    metadata = data.draw(documents_of(api.Metadata, 1))
    document = {**body, "apiVersion": version, "kind": kind, "metadata": metadata}
    frozen = api.freeze(document)
    assert api.thaw(frozen) == document
    assert api.freeze(json.loads(api.to_json(frozen))) == frozen
    assert hash(api.freeze(api.thaw(frozen))) == hash(frozen)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(TEXTS, UNKNOWN, max_size=4))
def test_a_kind_that_nobody_reads_keeps_its_whole_body(body: dict[str, Any]) -> None:
    document = {**body, "apiVersion": "example.com/v1", "kind": "Widget",
                "metadata": {"name": "w", "odd": [1, None]}}
    assert api.thaw(api.freeze(document)) == document


def test_absent_null_and_empty_stay_distinct() -> None:
    def labels(metadata: dict[str, Any]) -> Any:
        return api.thaw(api.freeze({"kind": "Pod", "apiVersion": "v1",
                                    "metadata": metadata}))["metadata"].get("labels", "absent")
    assert labels({}) == "absent"
    assert labels({"labels": None}) is None
    assert labels({"labels": {}}) == {}


def test_leftovers_move_with_the_element_of_a_list() -> None:
    pod = api.freeze({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "a", "stdin": True}, {"name": "b", "tty": True}]}})
    turned = api.with_spec(pod, pod.spec._replace(containers=pod.spec.containers[::-1]))
    assert api.thaw(turned)["spec"]["containers"] == [{"name": "b", "tty": True},
                                                      {"name": "a", "stdin": True}]


@pytest.mark.parametrize(("field", "message"), [
    ({"spec": {"replicas": "2"}}, "spec.replicas must be an integer, not string \"2\""),
    ({"spec": {"replicas": True}}, "spec.replicas must be an integer, not bool true"),
    ({"spec": {"selector": {"a": 1}}}, "spec.selector.a must be a string, not number 1"),
    ({"spec": []}, "spec must be a map, not array []"),
    ({"spec": {"template": {"spec": {"containers": [{}, {"ports": [{"containerPort": "x"}]}]}}}},
     "spec.template.spec.containers[1].ports[0].containerPort must be an integer"),
    ({"metadata": {"labels": ["a"]}}, "metadata.labels must be a map, not array"),
])
def test_a_wrong_type_is_named_with_its_whole_path(field: dict[str, Any],
                                                   message: str) -> None:
    document = {"kind": "ReplicationController", "apiVersion": "v1",
                "metadata": {"name": "x"}, **field}
    with pytest.raises(InputError) as caught:
        api.freeze(document)
    assert message in str(caught.value)


def test_quantities_written_as_numbers_become_text() -> None:
    pod = api.freeze({"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "q"},
                      "spec": {"hard": {"pods": 3, "cpu": 0.5}}})
    assert pod.spec.hard == (("cpu", "0.5"), ("pods", "3"))


def test_replacing_a_part_keeps_the_others_identical() -> None:
    pod = api.freeze({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "uid": "u"},
                      "spec": {"nodeName": "n"}, "x": 1})
    newer = api.with_resource_version(api.with_status(pod, api.PodStatus("Running")), "7")
    assert (newer.spec is pod.spec, newer.metadata.resource_version) == (True, "7")
    assert (newer.metadata.uid, newer.status.phase, newer.rest) == ("u", "Running", b'{"x":1}')
    assert api.with_labels(pod, (("a", "b"),)).metadata.labels == (("a", "b"),)
    assert api.rest_fields(api.with_rest(pod, y=2, x=...)) == {"y": 2}


def test_times_convert_both_ways_from_the_epoch_of_the_simulation() -> None:
    assert api.timestamp(0) == "2016-07-01T00:00:00Z"
    assert api.milliseconds(api.timestamp(90_061_000)) == 90_061_000
    assert api.milliseconds("2016-07-01T02:00:00+02:00") == 0
    assert api.micro_timestamp(1_500) == "2016-07-01T00:00:01.500000Z"
    with pytest.raises(InputError, match="no RFC 3339"):
        api.milliseconds("yesterday")


def test_every_name_that_a_person_may_type_finds_its_resource() -> None:
    for typed, name in (("po", "pods"), ("svc", "services"), ("rc", "replicationcontrollers"),
                        ("deploy", "deployments"), ("node", "nodes"), ("ep", "endpoints"),
                        ("events", "events"), ("deployments.apps", "deployments")):
        assert BY_ALIAS[typed].name == name
    assert BY_ALIAS["events"].group == ""
    assert BY_ALIAS["pods"].kind == "Pod"
    assert len({(r.group, r.version, r.name) for r in RESOURCES}) == len(RESOURCES)


def test_every_field_of_every_record_may_be_absent() -> None:
    """A record with no field set writes nothing but its kind."""
    for resource in RESOURCES:
        if resource.record is not None:
            assert api.thaw(resource.record()) == {
                "kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
