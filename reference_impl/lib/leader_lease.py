"""Leadership by a lease: who may hold it, until when its holder may act. Pure functions of values.

Source: client-go, tools/leaderelection. A candidate remembers the record that it saw last and when,
by its own clock, it saw that record change: it never compares its clock with the times in the
record, so that clocks may differ as long as they run at the same speed. The lease of another
candidate has run out when the record did not change for as long as *its holder* promised.

A holder may act until its renewal deadline, which is shorter than the lease. It counts from the
moment at which the renewal that succeeded was sent; client-go counts from its answer, so that a
slow answer may stretch it beyond what others wait for.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api.metadata import Metadata
from model.api.objects import Lease, LeaseSpec, micro_timestamp


class Terms(NamedTuple):
    """How a candidate competes: how long its lease lasts, how long it goes on without a renewal,
    and how often it tries."""

    lease_s: int = 15
    deadline_s: int = 10
    retry_s: int = 2


class View(NamedTuple):
    """What a candidate knows: the record that it saw last, and since when it is unchanged."""

    record: Lease | None = None
    since: int = 0


def holder_of(record: Lease | None) -> str:
    """Who holds a lease; "" when nobody does."""
    return (record.spec.holder_identity or "") if record is not None and record.spec else ""


def seen(view: View, record: Lease, now: int) -> View:
    """The view after a look at the record."""
    if view.record is not None and view.record.spec == record.spec:
        return View(record, view.since)
    return View(record, now)


def runs_out_at(view: View, own: Terms) -> int:
    """When the lease that was seen has run out, by the clock of who saw it. It lasts as long as
    its holder wrote into it, whatever `own` terms the onlooker has."""
    duration = view.record.spec.lease_duration_seconds if view.record and view.record.spec else None
    return view.since + (own.lease_s if duration is None else duration) * 1000


def may_take(view: View, identity: str, own: Terms, now: int) -> bool:
    """Whether a candidate may write itself into the record that it saw."""
    holder = holder_of(view.record)
    return holder in ("", identity) or runs_out_at(view, own) <= now


def claimed(view: View, name: str, identity: str, own: Terms, now: int) -> Lease:
    """The record with this candidate as its holder."""
    moment = micro_timestamp(now)
    old = view.record.spec if view.record is not None and view.record.spec else LeaseSpec()
    renews = old.holder_identity == identity
    spec = LeaseSpec(identity, own.lease_s, old.acquire_time if renews else moment, moment,
                     (old.lease_transitions or 0) + (0 if renews or view.record is None else 1))
    if view.record is None:
        return Lease(metadata=Metadata(name=name, namespace="kube-system"), spec=spec)
    return view.record._replace(spec=spec)
