"""The printer of tables against its oracle: random objects, and cells that were tampered with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.api import objects as api
from properties.kubectl import age_interval, wrong_cells
from reference_impl.lib import tables

NOW = 400_000_000_000
STAMPS = st.integers(0, NOW // 1000).map(lambda seconds: api.timestamp(seconds * 1000))
NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
COUNTS = st.integers(0, 12)
STATES = st.sampled_from([
    {"running": {"startedAt": "2016-07-01T00:00:00Z"}}, {"waiting": {"reason": "ErrImagePull"}},
    {"terminated": {"exitCode": 0, "reason": "Completed"}},
    {"terminated": {"exitCode": 1, "reason": "Error"}}])
STATUSES = st.fixed_dictionaries({"name": NAMES, "ready": st.booleans(), "restartCount": COUNTS,
                                  "state": STATES})


def documents(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Frozen objects of a kind with random names, ages and the given fields."""
    metadata = st.fixed_dictionaries({"name": NAMES, "creationTimestamp": STAMPS})
    return st.fixed_dictionaries({"kind": st.just(kind), "apiVersion": st.just("v1"),
                                  "metadata": metadata, **fields}).map(api.freeze)


PODS = documents("Pod", spec=st.fixed_dictionaries(
    {"containers": st.lists(st.fixed_dictionaries({"name": NAMES}), max_size=3)},
    optional={"nodeName": NAMES}), status=st.fixed_dictionaries(
        {"phase": st.sampled_from(["Pending", "Running", "Failed"])},
        optional={"podIP": st.just("10.244.0.5"),
                  "containerStatuses": st.lists(STATUSES, max_size=3)}))
SERVICES = documents("Service", spec=st.fixed_dictionaries(
    {"ports": st.lists(st.fixed_dictionaries({"port": st.integers(1, 65535)}, optional={
        "nodePort": st.integers(30000, 32767)}), min_size=1, max_size=3),
     "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"])},
    optional={"clusterIP": st.just("10.96.0.7")}))
CONTROLLERS = documents("ReplicationController", spec=st.fixed_dictionaries({"replicas": COUNTS}),
                        status=st.fixed_dictionaries({"replicas": COUNTS,
                                                      "readyReplicas": COUNTS}))
ENDPOINTS = documents("Endpoints", subsets=st.lists(st.fixed_dictionaries({
    "addresses": st.lists(st.integers(1, 250).map(lambda n: {"ip": f"10.244.0.{n}"}),
                          unique_by=str, max_size=5),
    "ports": st.lists(st.fixed_dictionaries({"port": st.integers(1, 9)}), min_size=1,
                      max_size=2, unique_by=str)}), max_size=1))
KINDS = [PODS, SERVICES, CONTROLLERS, ENDPOINTS]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=4)),
       st.booleans(), st.booleans())
def test_every_printed_cell_says_what_its_object_says(found: list[Any], wide: bool,
                                                      old: bool) -> None:
    rows = tables.old_rows if old else tables.rows
    text = tables.table(rows(found[0].kind, found, NOW, wide))
    assert wrong_cells(text, tuple(found), NOW) is None


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS).flatmap(lambda kind: st.lists(kind, min_size=2, max_size=4)),
       st.data())
def test_a_cell_of_another_object_is_noticed(found: list[Any], data: st.DataObject) -> None:
    """Two rows that differ are swapped: the oracle must name a cell."""
    kind = found[0].kind
    header, *rows = tables.rows(kind, found, NOW, False)
    at = data.draw(st.integers(0, len(rows) - 2))
    judged = [rows[at][i] != rows[at + 1][i] for i, name in enumerate(header)
              if name not in ("STATUS", "EXTERNAL-IP", "TYPE")]
    rows[at], rows[at + 1] = rows[at + 1], rows[at]
    told = wrong_cells(tables.table([header, *rows]), tuple(found), NOW)
    near = _same_age(found[at], found[at + 1])
    assert (told is not None) or not any(judged) or near


def _same_age(left: Any, right: Any) -> bool:
    """Whether a difference may be one of ages alone, which a coarse text can hide."""
    return bool(left._replace(metadata=right.metadata._replace(
        creation_timestamp=left.metadata.creation_timestamp)) == left) or \
        left.metadata.name == right.metadata.name


@pytest.mark.parametrize(("text", "interval"), [
    ("5s", (5_000, 6_000)), ("2m30s", (150_000, 151_000)), ("3h", (10_800_000, 14_400_000)),
    ("soon", None), ("5", None)])
def test_an_age_is_an_interval(text: str, interval: tuple[int, int] | None) -> None:
    assert age_interval(text) == interval
