"""Patches that leave wrong types: refused with 422, in the words of release 1.32."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model.api.objects import freeze
from model.api.requests import Patch, Request, Status
from reference_impl.apiserver.registry.patching import base64_fault, go_text, patched

WEB = freeze({"kind": "ReplicationController", "apiVersion": "v1", "metadata": {"name": "web"},
              "spec": {"replicas": 1, "selector": {"app": "web"}}})
SECRET = freeze({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}})


def refusal(obj: Any, form: Any, change: Any) -> Status:
    """The Status of a patch that must be refused."""
    body = Patch(form, json.dumps(change).encode())
    found = patched(obj, Request("patch", "replicationcontrollers", "default", "web", "", body), 0)
    assert isinstance(found, Status), found
    return found


@pytest.mark.parametrize(("obj", "change", "message"), [
    (WEB, {"spec": {"replicas": "x"}},
     ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32'),
    (SECRET, {"data": {"pw": "not base64!"}},
     ' "" is invalid: patch: Invalid value: "map[data:map[pw:not base64!]]": error decoding from '
     "json: illegal base64 data at input byte 3"),
])
def test_a_strategic_merge_is_told_as_go_prints_it(obj: Any, change: Any, message: str) -> None:
    """The patch, not the object, is the invalid value."""
    found = refusal(obj, "strategic", change)
    assert (found.code, found.reason, found.message) == (422, "Invalid", message)
    assert found.causes[0].field == "patch"


def test_a_merge_patch_is_told_with_the_object() -> None:
    """And a strategic merge that is no object is no patch at all."""
    found = refusal(WEB, "merge", {"spec": {"replicas": "x"}})
    assert found.code == 422
    assert "json: cannot unmarshal string into Go struct field" in found.message
    found = refusal(WEB, "strategic", "x")
    assert (found.code, found.message) == (
        400, "json: cannot unmarshal string into Go value of type map[string]interface {}")


def test_go_text_and_base64() -> None:
    """Maps in key order, nil and booleans as Go writes them; where base64 ends."""
    assert go_text({"b": [1, True, None], "a": "x"}) == "map[a:x b:[1 true <nil>]]"
    assert [base64_fault(text) for text in ("YQ==", "YWI", "a b", "YQ==\n", "====")] == [
        -1, 3, 1, -1, 4]
