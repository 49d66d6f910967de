"""Who owns which fields, against facts about release 1.32 and against a small oracle."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.api.objects import freeze, thaw
from reference_impl.apiserver.registry import field_management as owners
from reference_impl.apiserver.registry import field_sets
from reference_impl.apiserver.registry.defaulting import defaulted
from reference_impl.apiserver.registry.field_management import Author


def create(document, manager="curl", now=0):
    obj = defaulted(freeze(document))
    return owners.created(obj, Author(manager, owners.UPDATE, "", now), owners.shape_for(obj))


def update(obj, document, manager="curl", subresource="", now=1000):
    new = freeze({**document, "metadata": {**document.get("metadata", {}), "managedFields": thaw(
        obj)["metadata"].get("managedFields")}})
    return owners.updated(obj, new, Author(manager, owners.UPDATE, subresource, now),
                          owners.shape_for(obj))


def apply(obj, config, manager, force=False, now=2000):
    shape = owners.shape_for(obj if obj is not None else freeze(config))
    return freeze(owners.applied(obj, config, Author(manager, owners.APPLY, "", now), force,
                                 shape))


def fields(obj, manager):
    return next((each.fields for each in owners.entries_of(obj.metadata)
                 if each.manager == manager), None)


def config_map(**data):
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    return {**head, "data": data} if data else head


def service(*ports):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"ports": list(ports)}}


def test_the_creator_owns_what_was_sent_and_defaulted():
    """As release 1.32 writes it: inner structs that every new object has are nobody's."""
    controller = create({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "r"},
        "spec": {"replicas": 1, "selector": {"a": "b"}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    spec = fields(controller, "curl")["f:spec"]
    assert "." not in spec
    assert spec["f:selector"] == {}
    assert spec["f:template"]["."] == {}
    containers = spec["f:template"]["f:spec"]["f:containers"]
    assert containers["."] == {}
    assert containers['k:{"name":"c"}']["f:resources"] == {}
    deployment = create({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    spec = fields(deployment, "curl")["f:spec"]
    assert spec["f:selector"] == {}
    assert "." not in spec["f:template"]["f:spec"]["f:containers"]
    assert spec["f:strategy"]["f:rollingUpdate"]["."] == {}


def test_two_appliers_conflict_as_release_1_32_says():
    obj = apply(None, config_map(a="1", b="2"), "m1")
    assert fields(obj, "m1") == {"f:data": {"f:a": {}, "f:b": {}}}
    with pytest.raises(owners.ApplyError) as refused:
        apply(obj, config_map(a="9", b="2"), "m2")
    status = refused.value.status
    assert (status.code, status.reason) == (409, "Conflict")
    assert status.message == 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    assert status.causes[0].reason == "FieldManagerConflict"
    taken = apply(obj, config_map(a="9", b="2"), "m2", force=True)
    assert fields(taken, "m1") == {"f:data": {"f:b": {}}}
    left = apply(taken, config_map(b="2"), "m2")
    assert thaw(left)["data"] == {"b": "2"}


def test_conflicts_with_updates_tell_the_version_and_every_field():
    pod = create({"apiVersion": "v1", "kind": "Pod",
                  "metadata": {"name": "p", "labels": {"x": "1"}},
                  "spec": {"containers": [{"name": "c", "image": "i"}]}})
    with pytest.raises(owners.ApplyError) as refused:
        apply(pod, {"apiVersion": "v1", "kind": "Pod", "metadata": {
            "name": "p", "labels": {"x": "2"}},
            "spec": {"containers": [{"name": "c", "image": "j"}]}}, "m")
    assert refused.value.status.message == (
        'Apply failed with 2 conflicts: conflicts with "curl" using v1:\n'
        '- .metadata.labels.x\n- .spec.containers[name="c"].image')


def test_an_entry_of_a_keyed_list_goes_with_its_applier_alone():
    obj = apply(None, service({"port": 80}, {"port": 90, "name": "n"}), "m1")
    both = apply(obj, service({"port": 90, "protocol": "TCP"}), "m2")
    left = apply(both, service({"port": 80}), "m1")
    assert [each["port"] for each in thaw(left)["spec"]["ports"]] == [80, 90]
    assert "name" not in thaw(left)["spec"]["ports"][1]
    gone = apply(left, service(), "m2")
    assert [each["port"] for each in thaw(gone)["spec"]["ports"]] == [80]


def test_what_the_server_set_beside_an_applied_field_stays():
    """Nobody owns the uid; it does not go with the only label."""
    obj = apply(None, {**config_map(a="1"), "metadata": {"name": "c", "labels": {"x": "1"}}}, "m")
    stored = freeze({**thaw(obj), "metadata": {**thaw(obj)["metadata"], "uid": "u"}})
    left = thaw(apply(stored, config_map(a="1"), "m"))
    assert left["metadata"]["uid"] == "u"
    assert "labels" not in left["metadata"]


def test_entries_with_one_key_are_refused():
    with pytest.raises(owners.ApplyError) as refused:
        apply(None, service({"port": 80}, {"port": 80}), "m")
    assert refused.value.status.code == 500
    assert refused.value.status.message.endswith(
        '.spec.ports: duplicate entries for key [port=80,protocol="TCP"]')


def test_entries_keep_the_applied_order_and_others_their_place():
    shape = owners.shape_for(freeze(service()))
    live = {"spec": {"ports": [{"port": each, "protocol": "TCP"} for each in (1, 2, 3, 4)]}}
    config = {"spec": {"ports": [{"port": each, "protocol": "TCP"} for each in (4, 5, 2)]}}
    found = field_sets.merged(live, config, shape)
    assert [each["port"] for each in found["spec"]["ports"]] == [1, 3, 4, 5, 2]


def test_an_object_that_nobody_tracked_belongs_to_its_earlier_writers():
    obj = freeze(config_map(a="1"))
    with pytest.raises(owners.ApplyError) as refused:
        apply(obj, config_map(a="2"), "m")
    assert "before-first-apply" in refused.value.status.message
    assert fields(apply(obj, config_map(a="1"), "m"), "m") == {"f:data": {"f:a": {}}}


def test_kubectl_may_take_over_what_its_client_side_apply_set():
    config = config_map(a="1")
    text = json.dumps(config)
    obj = create({**config, "metadata": {"name": "c", "annotations": {
        owners.LAST_APPLIED: text}}}, "kubectl-client-side-apply")
    taken = apply(obj, config_map(a="2"), "kubectl")
    assert thaw(taken)["data"] == {"a": "2"}
    assert '"a":"2"' in thaw(taken)["metadata"]["annotations"][owners.LAST_APPLIED]
    with pytest.raises(owners.ApplyError):
        apply(obj, config_map(a="2"), "somebody")


def test_writes_that_change_nothing_leave_the_entries_alone():
    obj = create(config_map(a="1"))
    same = update(obj, config_map(a="1"), "other", now=9000)
    assert same.metadata.rest == obj.metadata.rest
    applied = apply(obj, config_map(a="1"), "m", now=3000)
    again = apply(applied, config_map(a="1"), "m", now=9000)
    assert again.metadata.rest == applied.metadata.rest


def test_the_oldest_updaters_share_an_entry():
    obj = create(config_map(k0="0"), "m0")
    for at in range(1, 14):
        obj = update(obj, config_map(**{f"k{each}": "0" for each in range(at + 1)}), f"m{at:02}",
                     now=at * 1000)
    entries = owners.entries_of(obj.metadata)
    assert len(entries) == owners.UPDATERS_MAX
    assert fields(obj, owners.ANCIENT)["f:data"].keys() >= {"f:k0", "f:k1"}


def test_a_client_cannot_post_owners():
    obj = freeze({**config_map(a="1"), "metadata": {"name": "c", "managedFields": [{
        "manager": "x", "operation": "Apply", "fieldsV1": {"f:data": 3}}]}})
    assert owners.entries_of(obj.metadata)[0].fields == {"f:data": {}}
    assert not owners.is_tracked(owners.unowned(obj).metadata)


# -- an oracle on flat documents ------------------------------------------------------------------

class Flat:
    """Data of a config map as a plain map, with the sets of three managers: the rule of apply as
    the documentation states it, without trees and shapes."""

    def __init__(self):
        self.data = {}
        self.owned = {}

    def take(self, manager, changed, removed):
        for name, mine in self.owned.items():
            if name != manager:
                mine -= changed | removed

    def apply(self, manager, config, force):
        """False where the apply conflicts."""
        changed = {key for key, value in config.items() if self.data.get(key) != value}
        others = set().union(*(mine for name, mine in self.owned.items() if name != manager), set())
        if changed & others and not force:
            return False
        dropped = self.owned.get(manager, set()) - set(config) - others
        self.data = {key: value for key, value in {**self.data, **config}.items()
                     if key not in dropped}
        self.take(manager, changed, dropped)
        self.owned[manager] = set(config)
        return True

    def update(self, manager, data):
        changed = {key for key, value in data.items() if self.data.get(key) != value}
        removed = set(self.data) - set(data)
        self.take(manager, changed, removed)
        self.owned[manager] = (self.owned.get(manager, set()) | changed) - removed
        self.data = dict(data)


KEYS = st.sampled_from("abc")
DATA = st.dictionaries(KEYS, st.sampled_from("12"), max_size=3)
STEPS = st.lists(st.one_of(
    st.tuples(st.just("apply"), st.sampled_from(["m1", "m2"]), DATA, st.booleans()),
    st.tuples(st.just("update"), st.sampled_from(["u1", "u2"]), DATA, st.just(False))),
    min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_applies_and_updates_agree_with_the_oracle(steps):
    flat, obj = Flat(), None
    for verb, manager, data, force in steps:
        if verb == "apply":
            accepted = flat.apply(manager, data, force)
            if accepted:
                obj = apply(obj, config_map(**data), manager, force)
            else:
                with pytest.raises(owners.ApplyError):
                    apply(obj, config_map(**data), manager, force)
        elif obj is not None and owners.is_tracked(obj.metadata):
            flat.update(manager, data)
            obj = update(obj, config_map(**data), manager)
        elif obj is None:
            flat.update(manager, data)
            obj = create(config_map(**data), manager)
        else:
            return
        assert (thaw(obj).get("data") or {}) == flat.data
        for name, mine in flat.owned.items():
            tree = fields(obj, name) or {}
            found = {key[2:] for key in tree.get("f:data", {}) if key != "."}
            assert found == mine, (name, steps)
