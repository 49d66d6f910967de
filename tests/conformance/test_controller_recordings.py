"""Victims of a scale-down and Endpoints against recordings of Kubernetes 1.32.

The recordings lie beside the repository, not in it; facts drawn from them are in
tests/unit/test_victims.py and tests/unit/test_endpoint_controller.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.api.objects import Pod, freeze, milliseconds, thaw
from model.api.selectors import selects
from reference_impl.controllers.endpoint import endpoints_for
from reference_impl.lib.victims import compare, to_delete

FOLDER = Path(__file__).parents[3] / "shared" / "recordings" / "kubernetes-1.32"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings beside this clone")
SCALED_MS = 3_000  # the scale-down came about three seconds after the last pod


def cases(name: str) -> list[dict[str, Any]]:
    path = FOLDER / "controllers_random" / f"{name}.json"
    return [step for step in json.loads(path.read_text())["steps"] if "case" in step]


def recorded_pod(document: dict[str, Any]) -> Pod:
    metadata = {"name": document["name"], "namespace": "default", "uid": document["uid"],
                "creationTimestamp": document["creationTimestamp"]}
    if document["annotations"]:
        metadata["annotations"] = document["annotations"]
    spec = {"nodeName": document["nodeName"]} if document["nodeName"] else {}
    made: Pod = freeze({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec,
                        "status": document["status"]})
    return made


def test_every_recorded_scale_down_takes_the_same_pods() -> None:
    """Up to pods that no rule tells apart, of which either may go."""
    exact = 0
    recorded = cases("rc_scale_down")
    for case in recorded:
        pods = tuple(recorded_pod(each) for each in case["pods"])
        now_ms = SCALED_MS + max(milliseconds(pod.metadata.creation_timestamp or "")
                                 for pod in pods)
        ours = to_delete(pods, case["from"] - case["to"], now_ms)
        theirs = [pod for pod in pods if pod.metadata.name in case["victims"]]
        exact += {pod.metadata.name for pod in ours} == set(case["victims"])
        extra = [pod for pod in ours if pod not in theirs]
        instead = [pod for pod in theirs if pod not in ours]
        for one, two in zip(extra, instead, strict=True):
            assert compare(one, two, now_ms) == 0, (case["case"], one.metadata, two.metadata)
    assert len(recorded) == 60
    assert exact >= 58


def listing(subsets: Any) -> list[str]:
    """Subsets in an order of their own: Kubernetes sorts them by a hash."""
    return sorted(json.dumps({field: sorted(entries, key=json.dumps)
                              for field, entries in subset.items()}, sort_keys=True)
                  for subset in subsets or ())


def test_every_recorded_service_has_the_same_endpoints() -> None:
    """Addresses, ready or not, ports and labels."""
    compared = 0
    for case in cases("endpoints"):
        pods = [freeze(pod, kind="Pod", api_version="v1") for pod in case["pods"]]
        recorded = {each["name"]: each for each in case["endpoints"]}
        for document in case["services"]:
            service = freeze({"metadata": {"name": document["name"], "namespace": "t"},
                              "spec": document["spec"]}, kind="Service", api_version="v1")
            if not service.spec.selector:
                continue
            chosen = [pod for pod in pods
                      if selects(service.spec.selector, pod.metadata.labels)]
            ours = thaw(endpoints_for(service, chosen, None))
            theirs = recorded[document["name"]]
            assert listing(ours.get("subsets")) == listing(theirs["subsets"]), document["name"]
            assert (ours["metadata"].get("labels") or None) == theirs["labels"]
            compared += 1
    assert compared == 52
