"""Manifests and scenario files: what is read, and how every kind of bad input is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.api import manifests, scenario_file
from model.kernel.action import Action
from model.kernel.errors import InputError, InputErrors
from reference_impl import scenarios

AS_PRINTED = Path(__file__).parent / "data" / "as-printed"
POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n"


def faults(text: str | bytes) -> list[str]:
    """Every fault of a text, as a person sees it."""
    with pytest.raises(InputErrors) as caught:
        manifests.parse(text, "f.yaml")
    return [str(error) for error in caught.value.errors]


def test_the_worked_example_reads_as_four_objects_with_their_lines() -> None:
    folder = scenarios.FOLDER / "worked-example"
    found = manifests.read([str(folder / name) for name in
                            ("mysql-rc.yaml", "mysql-svc.yaml", "myweb-rc.yaml",
                             "myweb-svc.yaml")])
    assert [(each.object.kind, each.object.metadata.name) for each in found] == [
        ("ReplicationController", "mysql"), ("Service", "mysql"),
        ("ReplicationController", "myweb"), ("Service", "myweb")]
    assert found[0].lines["spec.replicas"] == 6
    assert found[0].object.spec.template.spec.containers[0].env[0].value == "123456"


PRINTED = {
    "mysql-rc.yaml": [
        (1, "apiVersion V1 is not known", "did you mean v1?"),
        (4, '"#" begins a comment only after a blank', "write: name: mysql"),
        (6, '"replicas:1" needs a space after the colon', "write: replicas: 1"),
        (7, "selector has no content", "indent what belongs to selector"),
        (9, "template has no content", "indent"),
        (11, "labels has no content", "indent"),
        (12, '"app:mysql" needs a space', "write: app: mysql"),
        (15, '"-name" needs a blank after the dash', "write: - name: mysql"),
        (16, "there is no field Image: did you mean image?", "write: image: mysql"),
        (17, "there is no field Ports: did you mean ports?", "write: ports:"),
        (18, '"containerPort:3306" needs a space', "write: - containerPort: 3306"),
        (19, "there is no field Env: did you mean env?", "write: env:"),
        (21, "did you mean value?", 'write: value: "123456"')],
    "mysql-svc.yaml": [
        (4, '"#" begins a comment', "write: name: mysql"),
        (7, '"#" begins a comment', "write: - port: 3306"),
        (8, '"selector:#" needs a space', "write: selector:")],
    "myweb-rc.yaml": [
        (1, "apiVersion V1 is not known", "did you mean v1?"),
        (6, '"replicas:2" needs a space', "write: replicas: 2"),
        (7, "selector has no content", "indent"),
        (16, "did you mean image?", "write: image: kubeguide/tomcat-app:v1"),
        (18, '"-containerPort" needs a blank', "write: - containerPort: 8080")],
    "myweb-svc.yaml": [
        (4, '"#" begins a comment', "write: name: myweb"),
        (7, '"-port" needs a blank', "write: - port: 8080"),
        (8, '"#" begins a comment', "write: nodePort: 30001")],
}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_a_misprinted_file_is_refused_with_all_its_faults_in_one_go(name: str) -> None:
    with pytest.raises(InputErrors) as caught:
        manifests.read([str(AS_PRINTED / name)])
    told = [(error.where, error.what, error.fix) for error in caught.value.errors]
    for line, what, fix in PRINTED[name]:
        assert any(where.endswith(f"{name}:{line}") and what in told_what and fix in told_fix
                   for where, told_what, told_fix in told), (line, what, told)
    lines = [int(where.rpartition(":")[2]) for where, _, _ in told]
    assert lines == sorted(lines)


def test_a_folder_of_misprints_names_each_of_its_files() -> None:
    with pytest.raises(InputErrors) as caught:
        manifests.read([str(AS_PRINTED)])
    assert {Path(error.where.split(":")[0]).name for error in caught.value.errors} == set(PRINTED)


@pytest.mark.parametrize(("text", "told"), [
    ("", "f.yaml: the file holds no object"),
    ("---\n---\n", "f.yaml: the file holds no object"),
    ("- a\n", "f.yaml:1: an object is a map"),
    ("just text\n", "f.yaml:1: an object is a map"),
    ("kind: Pod\nmetadata: {name: x}\n", "f.yaml:1: the object has no apiVersion"),
    ("apiVersion: v1\nkind: Pods\nmetadata: {name: x}\n",
     "f.yaml:2: kind Pods is not known (did you mean Pod?)"),
    ("apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\n",
     "f.yaml:2: kind Deployment: there is no such kind in v1 (Deployment is in apiVersion apps"),
    ("apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: x}\n",
     "apiVersion extensions/v1beta1: there is no Deployment in it (did you mean apps/v1?)"),
    ("apiVersion: v1\nkind: Pod\n", "f.yaml:1: the object has no metadata"),
    ("apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}\n", "f.yaml:3: the object has no name"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: 'a b'}\n", "'a b' is no name of an object"),
    (POD + "spec:\n  containers:\n    name: x\n",
     "f.yaml:6: spec.containers must be a list, not object {\"name\": \"x\"} (start each entry"),
    (POD + "metadata: {name: q}\n",
     "f.yaml:5: duplicate key: metadata stands in line 3 already (keep one of them)"),
    (POD + "spec:\n\tnodeName: n\n", "f.yaml:6: a tab indents this line"),
    (POD + "spec: {a: *b}\n", "f.yaml:5: alias *b has no anchor &b before it"),
    (POD + "spec: &s {a: *s}\n", "f.yaml:5: alias *s has no anchor"),
    (POD + "spec: {a: [1, 2\n", "this is no YAML"),
    (POD + "spec: {weight: .inf}\n", "f.yaml:5: .inf is no number that JSON can carry"),
    (POD + "spec: !!python/object:os.system {}\n",
     "f.yaml:5: the tag tag:yaml.org,2002:python/object:os.system is not known here"),
    (POD + "? {a: b}\n: c\n", "f.yaml:5: a map or a list cannot be a key"),
    ("[" * 5000, "nested too deeply (at most 100 levels)"),
    ("a: " + "[" * 200 + "]" * 200, "f.yaml:1: the document is nested too deeply"),
    ('{"kind": "Pod", "apiVersion"', "this is no YAML"),
    ('{"kind": "Pod", "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}}',
     "duplicate key 'kind'"),
    ("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: 1\n"
     "    selector: {a: b}\n", "f.yaml:8: spec.ports[0].selector: there is no such field here"),
    (POD + "spec:\n  nodename: n\n", "there is no field nodename: did you mean nodeName?"),
])
def test_bad_input_is_refused_with_place_fault_and_fix(text: str, told: str) -> None:
    assert any(told in fault for fault in faults(text)), faults(text)


@pytest.mark.parametrize(("data", "told"), [
    (b"\x00\x01\x02", "the file is no text: byte 0x00 at offset 0"),
    (b"kind: Pod\nname: \xff\n", "f.yaml:2: the file is no text: byte 0xff"),
    (b"\x7fELF\x02\x01\x01\x00\x00", "the file is no text"),
])
def test_binary_files_are_refused(data: bytes, told: str) -> None:
    assert told in faults(data)[0]


def test_a_yaml_bomb_is_refused_before_it_grows() -> None:
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n"
    assert "the document expands to more than" in faults(bomb)[0]


def test_several_faults_of_one_object_come_in_one_go() -> None:
    found = faults(POD + "spec:\n  hostNetwork: 'yes'\n  priority: high\n  containers:\n"
                   "  - name: 5\n    ports: [{containerPort: '80'}]\n")
    assert [fault.split(":")[1] for fault in found] == ["6", "7", "9", "10"]


def test_a_truncated_file_is_refused_wherever_it_is_cut() -> None:
    """Each prefix either is refused or is itself a whole object; none crashes."""
    text = (scenarios.FOLDER / "worked-example" / "mysql-rc.yaml").read_text()
    refused = 0
    for end in range(0, len(text), 7):
        try:
            manifests.parse(text[:end], "cut.yaml")
        except InputErrors:
            refused += 1
    assert refused >= 10


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PRINTED)), st.data())
def test_a_damaged_file_never_ends_in_anything_but_a_refusal(name: str,
                                                             data: st.DataObject) -> None:
    """A piece is cut out or put in anywhere; every fault has a file, and a line that exists."""
    text = (scenarios.FOLDER / "worked-example" / name).read_text()
    start = data.draw(st.integers(0, len(text)))
    end = start + data.draw(st.integers(0, 6))
    piece = data.draw(st.text(st.sampled_from(":-#{}[]&*!|>'\"%@`,? \t\nab1\x00\u00e9\u2028"),
                              max_size=5))
    damaged = text[:start] + piece + text[end:]
    try:
        manifests.parse(damaged.encode(), "d.yaml")
    except InputErrors as errors:
        for error in errors.errors:
            file, _, line = error.where.partition(":")
            assert file == "d.yaml"
            assert not line or 1 <= int(line) <= len(damaged.splitlines()) + 1


def test_documents_lists_json_and_standard_input(tmp_path: Path) -> None:
    one = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [one, one]}
    found = manifests.read(["-"], lambda: json.dumps(listed).encode())
    assert [each.object.metadata.name for each in found] == ["p", "p"]
    assert len(manifests.parse(f"{POD}---\n# nothing\n---\n{POD}", "two.yaml")) == 2
    (tmp_path / "b.yml").write_text(POD)
    (tmp_path / "a.json").write_text(json.dumps(one, indent="\t"))
    (tmp_path / "notes.txt").write_text("not read")
    assert [Path(each.file).name for each in manifests.read([str(tmp_path)])] == ["a.json",
                                                                                 "b.yml"]
    with pytest.raises(InputError, match="no such file"):
        manifests.read([str(tmp_path / "missing.yaml")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no manifest"):
        manifests.read([str(tmp_path / "empty")])


def test_values_are_those_of_kubernetes_yaml() -> None:
    text = (POD + "x: {a: yes, b: 012, c: 12:30, d: 2016-07-01, e: 1_000, f: '1', g: ~, h: 0x1F}\n"
            "m: {<<: {k: 1}, l: 2}\ny: 2\n")
    rest = json.loads(manifests.parse(text, "v.yaml")[0].object.rest)
    assert rest["x"] == {"a": True, "b": 10, "c": "12:30", "d": "2016-07-01", "e": 1000,
                         "f": "1", "g": None, "h": 31}
    assert rest["m"] == {"k": 1, "l": 2}
    assert rest["true"] == 2


# ---- scenario files ----------------------------------------------------------------------------


def test_every_scenario_that_ships_loads() -> None:
    for name in scenarios.names():
        loaded = scenarios.named(name)
        assert loaded.name == name
    worked = scenarios.named("worked-example")
    assert (worked.release, worked.service_range) == ("1.3", "169.169.0.0/16")
    assert [node.name for node in worked.nodes] == ["node-1", "node-2"]
    assert worked.script[0][0] == Action("kubectl", "run", ("create -f mysql-rc.yaml",))
    with pytest.raises(InputError, match="there is no scenario 'nope'"):
        scenarios.named("nope")


def test_a_scenario_file_says_nodes_faults_and_manifests() -> None:
    text = ("name: small\nnodes:\n- capacity: {cpu: 2}\n  labels: {zone: a}\n  taints:\n"
            "  - {key: k, effect: NoSchedule}\n- name: big\nmanifests:\n  p.yaml: |\n"
            "    apiVersion: v1\n    kind: Pod\n    metadata: {name: p}\n"
            "faults: {crash: 2, cut: 1}\nscript:\n- - kubectl create -f p.yaml\n"
            "  - [clock, advance]\nsettings: {x-seconds: 40}\n")
    scenario = scenario_file.parse(text, "s.yaml", {})
    first, second = scenario.nodes
    assert (first.name, dict(first.capacity)["cpu"], first.labels) == ("node-1", "2",
                                                                      (("zone", "a"),))
    assert (first.taints[0].effect, second.name) == ("NoSchedule", "big")
    assert scenario.faults.budget == (("cut", 1), ("crash", 2))
    assert scenario.script == ((Action("kubectl", "run", ("create -f p.yaml",)),
                                Action("clock", "advance")),)
    assert scenario.number("x-seconds", 0) == 40
    assert [node.name for node in scenario.with_nodes(3).nodes] == ["node-1", "big", "node-3"]


@pytest.mark.parametrize(("text", "told"), [
    ("name: x\nnodez: 2\n", "s.yaml:2: nodez: there is no such field"),
    ("name: 5\n", 's.yaml:1: name: input should be a valid string (quote it: "5")'),
    ("name: x\nrelease: 1.30\n", "s.yaml:2: release"),
    ("name: x\nnodes: -1\n", "s.yaml:2: nodes: -1 nodes"),
    ("name: x\nnodes:\n- {name: a}\n- {name: a}\n", "two nodes have the same name"),
    ("name: x\nnodes:\n- {capacity: {cpu: 2x}}\n", "s.yaml:3: nodes[0]"),
    ("name: x\nfaults: {explode: 1}\n", "s.yaml:2: faults.explode: there is no fault 'explode'"),
    ("name: x\nfiles: [a.yaml]\n", "s.yaml:2: files[0]: there is no manifest 'a.yaml'"),
    ("name: x\nscript:\n- - [1, 2]\n", "s.yaml:3: script[0][0]: actor and verb"),
    ("name: x\nmanifests: {a.yaml: 'kind: Pod'}\n", "a.yaml:1: the object has no apiVersion"),
    ("name: x\nfaults: {crash: -1}\n", "s.yaml:2: faults.crash: -1 faults"),
    ("name: x\npod_range: 10.244.0.0/99\n", "s.yaml:2: pod_range"),
    ("name: x\nnode_ports: [9, 2]\n", "s.yaml:2: node_ports: 9 to 2 is no range"),
    ("- name\n", "a scenario is one YAML map"),
    ("name: x\nname: y\n", "s.yaml:2: duplicate key"),
    ("name: [\n", "this is no YAML"),
])
def test_a_bad_scenario_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputErrors) as caught:
        scenario_file.parse(text, "s.yaml", {})
    assert any(told in str(error) for error in caught.value.errors), str(caught.value)


def test_the_scenario_of_the_how_to_can_be_used_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to-write-a-scenario.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    scenario = scenario_file.parse(text, "scenario.yaml", {})
    assert [len(session) for session in scenario.script] == [2, 2]
    assert [node.name for node in scenario.nodes] == ["big", "node-2"]
    assert scenario.faults.components == ("controllers/",)
