"""The rule of the service proxy: the kernel holds what was last seen, at the latest after a write.

For each service, `seen` is what the lists of services and endpoints say together (an anonymous
value: which addresses lead to which ends), `rules` what the kernel of the node holds for it. Not
modelled: how a value is made of addresses and ports (the packet walk has its own oracle), and other
nodes, which share nothing with this one. That is sound: the rule is about when the two agree.
"""

from __future__ import annotations

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
    each,
    invariant,
    leads_to,
    lemma,
    mutant,
    require,
    witness,
)


class Service(Index, symmetric=True, short="s"):
    """A service."""


class Value(Index, symmetric=True, short="v"):
    """A set of ways into a service with the ends that they lead to."""


class KubeProxy(Spec):
    """A write covers all that changed since the last write that succeeded."""

    scopes = {"ci": {"Service": 2, "Value": 2}, "proof": {"Service": 2, "Value": 2}}

    seen: Map[Service, Value | None] = each(None)
    rules: Map[Service, Value | None] = each(None)
    dirty: Map[Service, bool] = each(False)
    full: bool = True
    listed: bool = False

    @action
    def see(self, s: Service, v: Value) -> None:
        self.seen[s] = v
        self.dirty[s] = True

    @action
    def miss(self, s: Service) -> None:
        self.seen[s] = None
        self.dirty[s] = True

    @action(fair="strong")
    def list_all(self) -> None:
        require(not self.listed)
        self.listed = True

    @action(fair="strong")
    def write(self) -> None:
        require(self.listed)
        for s in Service:
            if self.full or self.dirty[s]:
                self.rules[s] = self.seen[s]
        for s in Service:
            self.dirty[s] = False
        self.full = False

    @action
    def fail(self) -> None:
        require(self.listed)
        self.full = True

    @action
    def restart(self) -> None:
        for s in Service:
            self.seen[s] = None
            self.dirty[s] = False
        self.full = True
        self.listed = False

    @action
    def crash(self) -> None:
        for s in Service:
            self.seen[s] = None
            self.rules[s] = None
            self.dirty[s] = False
        self.full = True
        self.listed = False

    @invariant
    def rules_equal_what_was_last_seen(self) -> bool:
        return all(self.full or self.dirty[s] or self.rules[s] == self.seen[s] for s in Service)

    @lemma
    def nothing_is_believed_before_the_lists(self) -> bool:
        return self.listed or self.full

    @leads_to
    def what_changed_is_written(self, s: Service) -> tuple[bool, bool]:
        return self.full or self.dirty[s], not self.full and not self.dirty[s]

    @witness
    def two_services_differ_in_the_kernel(self) -> bool:
        return any(any(self.rules[s] != self.rules[o] and self.rules[s] is not None
                       and self.rules[o] is not None for o in Service) for s in Service)

    @mutant(replaces="fail", breaks="rules_equal_what_was_last_seen")
    def a_failed_write_forgets_what_it_was_for(self) -> None:
        require(self.listed)
        for s in Service:
            self.dirty[s] = False

    @mutant(replaces="restart", breaks="rules_equal_what_was_last_seen")
    def a_restart_trusts_the_kernel(self) -> None:
        for s in Service:
            self.seen[s] = None
            self.dirty[s] = False
        self.full = False
        self.listed = False


SPEC = KubeProxy
