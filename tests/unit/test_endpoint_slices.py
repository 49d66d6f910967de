"""Slices are filled, kept and given up as Kubernetes does; what `level` plans, on values."""

from __future__ import annotations

from model.api.metadata import Metadata
from model.api.objects import (
    EndpointPort,
    EndpointSlice,
    ObjectReference,
    Service,
    ServiceSpec,
    SliceEndpoint,
)
from reference_impl.controllers.endpoint_slice import ENDPOINTS_MAX, blank_for, level

WEB = (EndpointPort("", 80, "TCP"),)
OTHER = (EndpointPort("", 90, "TCP"),)
BLANK = blank_for(Service(metadata=Metadata(name="web", namespace="default", uid="u"),
                          spec=ServiceSpec(selector=(("app", "web"),))))


def pods(*numbers: int) -> list[SliceEndpoint]:
    return [SliceEndpoint((f"10.0.{n // 250}.{n % 250}",), None, None, "node-1",
                          ObjectReference("Pod", "default", f"web-{n}", f"uid-{n}"))
            for n in numbers]


def piece(name: str, ports: tuple[EndpointPort, ...] | None, *numbers: int) -> EndpointSlice:
    return BLANK._replace(metadata=BLANK.metadata._replace(name=name, uid=f"uid-{name}"),
                          endpoints=tuple(pods(*numbers)) or None, ports=ports)


def plan(wanted: dict[tuple[EndpointPort, ...], list[SliceEndpoint]],
         *pieces: EndpointSlice) -> list[tuple[str, str, int]]:
    """(verb, slice, how many endpoints it will list) of each write."""
    return [(each.verb, each.name, len(each.body.endpoints or ()) if each.body else 0)
            for each in level(wanted, list(pieces), BLANK, True)]


class TestPlans:
    def test_a_service_without_pods_gets_one_empty_slice(self) -> None:
        """And keeps it."""
        assert plan({}) == [("create", "", 0)]
        assert plan({}, piece("a", None)) == []

    def test_the_empty_slice_is_filled_and_emptied_again(self) -> None:
        """No slice is deleted to make another."""
        assert plan({WEB: pods(1, 2)}, piece("a", None)) == [("update", "a", 2)]
        assert plan({}, piece("a", WEB, 1)) == [("update", "a", 0)]

    def test_a_hundred_in_a_slice(self) -> None:
        """The rest goes into the next one."""
        assert plan({WEB: pods(*range(ENDPOINTS_MAX + 1))}) == [
            ("create", "", ENDPOINTS_MAX), ("create", "", 1)]

    def test_what_stays_is_not_written(self) -> None:
        """A new pod goes to the fullest slice with room; the other slice is left alone."""
        first, second = piece("a", WEB, *range(60)), piece("b", WEB, *range(100, 110))
        everyone = pods(*range(60), *range(100, 110), 500)
        assert plan({WEB: everyone}, first, second) == [("update", "a", 61)]

    def test_a_slice_that_changes_anyway_takes_the_new_pod(self) -> None:
        """One write instead of two."""
        first, second = piece("a", WEB, 1, 2), piece("b", WEB, 3, 4, 5)
        assert plan({WEB: pods(1, 3, 4, 5, 6)}, first, second) == [("update", "a", 2)]

    def test_a_slice_that_lost_everything_goes(self) -> None:
        """Unless another one is needed: then it gets its content."""
        first, second = piece("a", WEB, 1), piece("b", WEB, 2)
        assert plan({WEB: pods(1)}, first, second) == [("delete", "b", 0)]
        assert plan({WEB: pods(1), OTHER: pods(2)}, first, second) == [("update", "b", 1)]

    def test_a_pod_in_two_slices_leaves_one(self) -> None:
        """As after a write of unknown outcome."""
        assert plan({WEB: pods(1)}, piece("a", WEB, 1), piece("b", WEB, 1)) == [
            ("delete", "b", 0)]
