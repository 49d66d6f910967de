"""Which time a write about a Service carries: the oldest change since the last look."""

from __future__ import annotations

from model.api.metadata import Condition, Metadata
from model.api.objects import Pod, PodStatus, Service, annotation
from reference_impl.lib.trigger_times import ANNOTATION, Triggers, annotated, looked_at

SERVICE = Service(metadata=Metadata(name="web", creation_timestamp="2016-07-01T00:00:01Z"))


def pod(name: str, since: str) -> Pod:
    return Pod(metadata=Metadata(name=name), status=PodStatus(
        conditions=(Condition("Ready", "True", last_transition_time=since),)))


def test_a_new_service_counts_from_its_creation() -> None:
    """Even if its pods changed before."""
    assert looked_at(None, SERVICE, [pod("a", "2016-07-01T00:00:00Z")])[1] == "2016-07-01T00:00:01Z"


def test_the_oldest_change_since_the_last_look_counts() -> None:
    """Of a new pod and of one whose readiness changed; what was known does not count again."""
    known, _ = looked_at(None, SERVICE, [pod("a", "2016-07-01T00:00:02Z")])
    pods = [pod("a", "2016-07-01T00:00:07Z"), pod("b", "2016-07-01T00:00:05Z")]
    known, moment = looked_at(known, SERVICE, pods)
    assert moment == "2016-07-01T00:00:05Z"
    assert looked_at(known, SERVICE, pods)[1] is None


def test_a_deletion_takes_the_annotation_away() -> None:
    """It answers no change of the kind."""
    known = Triggers("2016-07-01T00:00:01Z", (("a", "2016-07-01T00:00:02Z"),))
    dated = annotated(SERVICE, "2016-07-01T00:00:02Z")
    assert annotation(dated.metadata, ANNOTATION) == "2016-07-01T00:00:02Z"
    assert annotated(dated, looked_at(known, SERVICE, [])[1]) == SERVICE
