"""The hash of a pod template: the one that Kubernetes 1.32 gives it."""

from __future__ import annotations

from typing import Any

import pytest

from reference_impl.lib.template_hash import template_hash, typed


def template(image: str, app: str = "d", name: str = "c", **more: Any) -> dict[str, Any]:
    """A template with one container, as the server completes it."""
    container = {"name": name, "image": image, "imagePullPolicy": "IfNotPresent",
                 "resources": {}, "terminationMessagePath": "/dev/termination-log",
                 "terminationMessagePolicy": "File", **more}
    return {"metadata": {"creationTimestamp": None, "labels": {"app": app}},
            "spec": {"containers": [container], "restartPolicy": "Always",
                     "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                     "securityContext": {}, "schedulerName": "default-scheduler"}}


@pytest.mark.parametrize(("found", "name"), [
    (template("nginx:1"), "7cdcd5b8c7"),
    (template("nginx:2"), "58cb7b6b58"),
    (template("stuck:1"), "6c86f4f697"),
])
def test_names_are_those_of_a_real_cluster(found: dict[str, Any], name: str) -> None:
    """A cluster of release 1.32 was seen to give these templates these names."""
    assert template_hash(found, None) == name


def test_every_part_of_a_template_counts() -> None:
    """Another label, variable, limit or probe makes another name; a collision too."""
    plain = template("nginx:1")
    others = [template("nginx:1", app="e"), template("nginx:1", env=[{"name": "A", "value": "b"}]),
              template("nginx:1", resources={"requests": {"cpu": "500m", "memory": "1Gi"}}),
              template("nginx:1", livenessProbe={"httpGet": {"path": "/", "port": "web"}})]
    names = [template_hash(each, None) for each in (plain, *others)]
    names += [template_hash(plain, 0), template_hash(plain, 1)]
    assert len(set(names)) == len(names)
    assert template_hash({**plain, "metadata": {"labels": {"app": "d"}, "annotations": {}}},
                         None) == names[0]


def test_values_are_written_as_their_go_types() -> None:
    """Pointers name what they point to, elements of lists have no type, unset values are nil."""
    assert typed("*int64", 30) == "(*int64)30"
    assert typed("*int64", None) == "(*int64)<nil>"
    assert typed("[]string", ["a", "b"]) == "([]string)[a b]"
    assert typed("map[string]string", {"b": "2", "a": "1"}) == "(map[string]string)map[a:1 b:2]"
    assert typed("v1.ResourceList", {"cpu": "100m"}) == (
        "(v1.ResourceList)map[cpu:{i:(resource.int64Amount){value:(int64)100 "
        "scale:(resource.Scale)-3} d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>} s:(string)100m "
        "Format:(resource.Format)DecimalSI}]")


def test_a_template_with_parts_that_are_not_listed_has_a_name_all_the_same() -> None:
    """It is hashed by its JSON."""
    found = template("nginx:1")
    found["spec"]["volumes"] = [{"name": "v", "iscsi": {"iqn": "x"}}]
    assert template_hash(found, None).isalnum()
    assert template_hash(found, None) != template_hash(template("nginx:1"), None)
