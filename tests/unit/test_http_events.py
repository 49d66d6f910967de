"""Events in the form of events.k8s.io: stored as core events, shown as they were sent."""

from __future__ import annotations

from kubeproof.http import events
from model.api.objects import freeze, thaw
from model.api.requests import ObjectList, Request

NEWER = {"apiVersion": "events.k8s.io/v1", "kind": "Event",
         "metadata": {"name": "e", "namespace": "default"}, "regarding": {"name": "p"},
         "note": "hello", "reason": "R", "reportingController": "c", "deprecatedCount": 2}


def test_an_event_is_the_same_object_in_both_forms() -> None:
    """There and back; the core form has the core's names."""
    request = events.to_core(Request("create", "events.events.k8s.io", "default", "", "",
                                     freeze(NEWER)))
    assert request.resource == "events"
    core = thaw(request.body)
    assert (core["apiVersion"], core["message"], core["count"]) == ("v1", "hello", 2)
    assert core["involvedObject"] == {"name": "p"}
    assert thaw(events.from_core(request.body)) == NEWER
    page = events.from_core(ObjectList("EventList", (request.body,)))
    assert (page.api_version, thaw(page.items[0])) == ("events.k8s.io/v1", NEWER)
