"""Endpoint: a Service's addresses are those of its ready pods, and in the end exactly those.

The controller drafts from its caches (`seen`, `listed`) what a Service's Endpoints should say, and
writes that unless the cached Endpoints say so already. The server accepts a write only over the
version that was cached. Pods and the Service change underneath; a Service may be deleted and made
again while the old Endpoints are still cached.

Not modelled: ports and addresses (each pod that counts has all of them; the implementation is
compared with recorded answers), several Services (one does not see another; each is such a one),
lost answers (the key is tried again as after a conflict), and a creation and a deletion of
Endpoints that one relist collapses (Kubernetes overlooks that too, until something changes). The
server's side is there when `server` is 1, pods that are there without being ready when `grades` is.
Source: Kubernetes 1.32, pkg/controller/endpoint.
"""

from __future__ import annotations

from typing import Literal

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
    constant,
    define,
    each,
    implies,
    invariant,
    leads_to,
    lemma,
    limit,
    mutant,
    require,
    witness,
)

Place = Literal["out", "unready", "ready"]


class Service(Index, symmetric=True, short="s"):
    """The name of a Service, and of its Endpoints."""


class Pod(Index, symmetric=True, short="p"):
    """A pod that the Service selects."""


class Endpoint(Spec):
    """Pods that come and go, Endpoints that follow."""

    grades = constant(0)
    server = constant(1)
    scopes = {"ci": {"Service": 1, "Pod": 2}, "proof": {"Service": 1, "Pod": 2},
              "graded": {"Service": 1, "Pod": 1, "grades": 1}}

    truth: Map[tuple[Service, Pod], Place] = each("out")
    wanted: Map[Service, bool] = each(False)
    published: Map[tuple[Service, Pod], Place] = each("out")
    exists: Map[Service, bool] = each(False)
    current: Map[Service, bool] = each(True)
    fresh: Map[Service, bool] = each(False)
    due: Map[Service, bool] = each(False)
    calm: bool = False

    present: Map[Service, bool] = each(False)
    seen: Map[tuple[Service, Pod], Place] = each("out")
    shown: Map[Service, bool] = each(False)
    listed: Map[tuple[Service, Pod], Place] = each("out")
    busy: Map[Service, bool] = each(False)
    deletes: Map[Service, bool] = each(False)
    draft: Map[tuple[Service, Pod], Place] = each("out")

    @define
    def fits(self, s: Service) -> bool:
        return self.shown[s] and all(self.listed[s, p] == self.seen[s, p] for p in Pod)

    @define
    def right(self, s: Service) -> bool:
        return self.exists[s] == self.wanted[s] and all(
            self.published[s, p] == self.truth[s, p] for p in Pod if self.wanted[s])

    @define
    def settled(self, s: Service) -> bool:
        return (not self.due[s] and not self.busy[s] and self.current[s]
                and self.present[s] == self.wanted[s]
                and all(self.seen[s, p] == self.truth[s, p] for p in Pod))

    @action
    def change(self, s: Service, p: Pod, place: Place) -> None:
        """A pod gets or loses its address, or becomes ready or not."""
        limit(place != "unready" or self.grades == 1)
        require(not self.calm and place != self.truth[s, p])
        self.truth[s, p] = place

    @action
    def declare(self, s: Service, wish: bool) -> None:
        """A user creates or deletes the Service."""
        require(not self.calm and wish != self.wanted[s])
        self.wanted[s] = wish

    @action(fair="weak")
    def notice(self, s: Service, wish: bool) -> None:
        """The cache shows the Service, or that it is gone."""
        require(wish != self.present[s])
        limit(wish == self.wanted[s])
        self.present[s] = wish
        if self.server == 1:
            self.due[s] = True

    @action(fair="weak")
    def observe(self, s: Service, p: Pod, place: Place) -> None:
        """The cache shows another state of a pod."""
        require(place != self.seen[s, p])
        limit(place == self.truth[s, p])
        self.seen[s, p] = place
        if self.server == 1:
            self.due[s] = True

    @action(fair="weak")
    def catch_up(self, s: Service) -> None:
        """The cache shows the Endpoints as they are now; that makes the Service due, since what was
        found fitting may have been compared with older Endpoints."""
        require(not self.current[s])
        self.current[s] = True
        self.shown[s] = self.exists[s]
        for p in Pod:
            self.listed[s, p] = self.published[s, p]
        self.due[s] = True

    @action(fair="weak")
    def begin(self, s: Service, writes: bool) -> None:
        """The worker drafts from its caches; it may write nothing only where the cache fits."""
        require(not self.busy[s] and (self.due[s] or self.server == 0))
        require(writes or self.server == 0 or (self.present[s] and self.fits(s)))
        limit(writes == (not self.present[s] or not self.fits(s)))
        self.busy[s] = writes
        self.deletes[s] = writes and not self.present[s]
        for p in Pod:
            self.draft[s, p] = self.seen[s, p] if writes and self.present[s] else "out"
        if self.server == 1:
            self.due[s] = False
            self.fresh[s] = writes and (self.current[s] or not self.present[s])

    @action(fair="weak")
    def write(self, s: Service) -> None:
        """The server takes the draft: the version it was made over is still the current one."""
        require(self.busy[s] and self.fresh[s])
        self.exists[s] = not self.deletes[s]
        self.current[s] = False
        self.fresh[s] = False
        self.busy[s] = False
        self.deletes[s] = False
        for p in Pod:
            self.published[s, p] = self.draft[s, p]
            self.draft[s, p] = "out"

    @action(fair="weak")
    def refuse(self, s: Service) -> None:
        """The write was refused, or its outcome is unknown: the Service is due again."""
        limit(not self.fresh[s])
        require(self.busy[s])
        self.busy[s] = False
        self.deletes[s] = False
        for p in Pod:
            self.draft[s, p] = "out"
        if self.server == 1:
            self.due[s] = True

    @action
    def meddle(self, s: Service) -> None:
        """Somebody else deletes the Endpoints."""
        require(not self.calm and self.exists[s])
        self.exists[s] = False
        self.current[s] = False
        self.fresh[s] = self.fresh[s] and self.deletes[s]
        for p in Pod:
            self.published[s, p] = "out"

    @action
    def crash(self) -> None:
        """The process dies and lists everything anew."""
        require(not self.calm)
        for s in Service:
            self.present[s] = self.wanted[s] and self.server == 1
            self.shown[s] = self.exists[s]
            self.current[s] = True
            self.busy[s] = False
            self.deletes[s] = False
            self.fresh[s] = False
            if self.server == 1:
                self.due[s] = self.wanted[s] or self.exists[s]
            for p in Pod:
                self.seen[s, p] = self.truth[s, p]
                self.listed[s, p] = self.published[s, p]
                self.draft[s, p] = "out"

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing changes by itself."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def only_an_existing_object_lists_pods(self) -> bool:
        return all(implies(not self.exists[s], self.published[s, p] == "out")
                   for s in Service for p in Pod)

    @invariant
    def the_cache_shows_what_is_there_while_it_is_current(self) -> bool:
        return all(implies(self.current[s], self.shown[s] == self.exists[s]
                           and all(self.listed[s, p] == self.published[s, p] for p in Pod))
                   for s in Service)

    @invariant
    def a_quiet_service_is_right(self) -> bool:
        return all(implies(self.settled(s), self.right(s)) for s in Service)

    @lemma
    def a_draft_that_deletes_lists_no_pods(self) -> bool:
        return all(implies(self.deletes[s], self.draft[s, p] == "out")
                   for s in Service for p in Pod)

    @lemma
    def a_service_that_is_not_due_fits_what_the_cache_shows(self) -> bool:
        return all(implies(not self.due[s] and not self.busy[s] and self.current[s],
                           self.fits(s) if self.present[s] else not self.exists[s])
                   for s in Service)

    @leads_to
    def endpoints_become_exactly_the_ready_pods(self, s: Service) -> tuple[bool, bool]:
        return self.calm, self.calm and self.right(s)

    @witness
    def a_ready_pod_is_published(self) -> bool:
        return any(self.published[s, p] == "ready" for s in Service for p in Pod)

    @mutant(replaces="catch_up", breaks="a_quiet_service_is_right")
    def only_deleted_endpoints_make_a_service_due(self, s: Service) -> None:
        require(not self.current[s])
        self.current[s] = True
        self.shown[s] = self.exists[s]
        if not self.exists[s]:
            self.due[s] = True
        for p in Pod:
            self.listed[s, p] = self.published[s, p]

    @mutant(replaces="observe", breaks="a_quiet_service_is_right")
    def pods_that_leave_are_overlooked(self, s: Service, p: Pod, place: Place) -> None:
        require(place != self.seen[s, p])
        limit(place == self.truth[s, p])
        self.seen[s, p] = place
        if self.server == 1 and place != "out":
            self.due[s] = True


SPEC = Endpoint
