"""Every namespace that is not ending has exactly one account `default`, made by the controller.

The controller asks for an account when its caches show an active namespace without one, one request
at a time. The server takes a name once, and takes nothing for a namespace that ends. Answers may be
lost; caches lag.

The server side is there when `server` is 1; the refinement of the implementation sets it to 0 and
checks when the controller asks.

Not modelled: what an account holds, and who else makes accounts (a user may: then the request is
refused, which settles it). Source: Kubernetes documentation, "Managing Service Accounts".
"""

from __future__ import annotations

from typing import Annotated, Literal

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Spec,
    action,
    constant,
    count,
    each,
    implies,
    invariant,
    leads_to,
    limit,
    mutant,
    require,
    witness,
)

Phase = Literal["absent", "active", "ending"]
Number = Annotated[int, Between(0, 2)]


class Namespace(Index, symmetric=True, short="n"):
    """A namespace."""


class ServiceAccount(Spec):
    """Namespaces, their accounts, and a controller with caches that lag."""

    server = constant(1)
    scopes = {"ci": {"Namespace": 2}, "proof": {"Namespace": 2}}

    phase: Map[Namespace, Phase] = each("absent")
    accounts: Map[Namespace, Number] = each(0)
    calm: bool = False

    seen: Map[Namespace, Phase] = each("absent")
    known: Map[Namespace, bool] = each(False)
    asked: Map[Namespace, bool] = each(False)

    @action
    def change(self, n: Namespace, to: Phase) -> None:
        """A namespace is made, deleted, or gone; a new one is made when the old one is gone."""
        limit(self.server == 1 and not self.calm)
        require((self.phase[n] == "absent" and to == "active")
                or (self.phase[n] == "active" and to == "ending")
                or (self.phase[n] == "ending" and to == "absent" and self.accounts[n] == 0))
        self.phase[n] = to

    @action
    def remove(self, n: Namespace) -> None:
        """Somebody deletes the account."""
        limit(not self.calm)
        require(self.accounts[n] > 0)
        self.accounts[n] -= 1

    @action(fair="weak")
    def see(self, n: Namespace, phase: Phase) -> None:
        """The cache shows another phase of the namespace."""
        require(self.seen[n] != phase)
        limit(self.phase[n] == phase)
        self.seen[n] = phase

    @action(fair="weak")
    def see_account(self, n: Namespace, there: bool) -> None:
        require(self.known[n] != there)
        limit((self.accounts[n] > 0) == there)
        self.known[n] = there

    @action(fair="strong")
    def ask(self, n: Namespace) -> None:
        """Ask for an account; nothing else is in flight."""
        require(self.seen[n] == "active" and not self.known[n])
        require(not any(self.asked[m] for m in Namespace))
        self.asked[n] = True

    @action(fair="strong")
    def answer(self, n: Namespace) -> None:
        """The server decides; the answer comes, or is lost and the request is tried again."""
        require(self.asked[n])
        self.asked[n] = False
        if self.server == 1 and self.phase[n] == "active" and self.accounts[n] == 0:
            self.accounts[n] = 1

    @action
    def crash(self) -> None:
        """The controller starts anew; what it asked may still be carried out, by `answer`."""
        limit(not self.calm and not any(self.asked[n] for n in Namespace))
        for n in Namespace:
            self.seen[n] = "absent"
            self.known[n] = False
            self.asked[n] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def there_is_at_most_one_account(self) -> bool:
        return all(self.accounts[n] <= 1 for n in Namespace)

    @invariant
    def a_namespace_that_is_absent_has_no_account(self) -> bool:
        return all(implies(self.phase[n] == "absent", self.accounts[n] == 0) for n in Namespace)

    @invariant
    def one_request_is_in_flight_at_most(self) -> bool:
        return count(self.asked[n] for n in Namespace) <= 1

    @leads_to
    def an_active_namespace_has_its_account(self, n: Namespace) -> tuple[bool, bool]:
        return self.calm and self.phase[n] == "active", self.accounts[n] == 1

    @witness
    def every_namespace_has_its_account(self) -> bool:
        return all(self.phase[n] == "active" and self.accounts[n] == 1 for n in Namespace)

    @mutant(replaces="answer", breaks="there_is_at_most_one_account")
    def answer_with_another_account(self, n: Namespace) -> None:
        require(self.asked[n] and self.accounts[n] < 2)
        self.asked[n] = False
        if self.server == 1 and self.phase[n] == "active":
            self.accounts[n] += 1

    @mutant(replaces="answer", breaks="a_namespace_that_is_absent_has_no_account")
    def answer_for_a_namespace_that_is_gone(self, n: Namespace) -> None:
        require(self.asked[n])
        self.asked[n] = False
        self.accounts[n] = 1

    @mutant(replaces="see_account", breaks="an_active_namespace_has_its_account")
    def see_no_deletion_of_an_account(self, n: Namespace, there: bool) -> None:
        require(self.known[n] != there and there and self.accounts[n] > 0)
        self.known[n] = there


SPEC = ServiceAccount
