"""Access: nobody has a right that an administrator never gave away, no token outlives its account.

Administrators give rights to users and take them away. A user may pass on to another what he has
himself. The server decides by its cache, which lags behind what is stored, both when somebody
acts and when somebody gives. An account's token is good for the account that it was made for; the
account goes and another one of its name may come; a request under the token is taken up only while
the server's cache shows the one that the token was made for.

Not modelled: the shape of rules (a right here is one of them, whatever it says; what rules cover
which is a matter of the oracle in `properties.apiserver.rights`), groups and roles as such (a role
is a set of rights, a group a set of users), and the order of authorizers, of which any may allow.
Source: Kubernetes documentation, "Using RBAC Authorization" (privilege escalation prevention) and
"Managing Service Accounts".
"""

from __future__ import annotations

from typing import Literal

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
    each,
    implies,
    invariant,
    leads_to,
    limit,
    mutant,
    require,
    witness,
)

Life = Literal["absent", "first", "second"]
Token = Literal["none", "good"]


class User(Index, symmetric=True, short="u"):
    """Somebody who is no administrator."""


class Right(Index, symmetric=True, short="r"):
    """One thing that somebody may or may not do."""


class Access(Spec):
    """Rights, who has them, who the server thinks has them; an account, its token."""

    scopes = {"ci": {"User": 2, "Right": 1}, "proof": {"User": 2, "Right": 2}}

    holds: Map[tuple[User, Right], bool] = each(False)
    shown: Map[tuple[User, Right], bool] = each(False)
    given: Map[Right, bool] = each(False)
    acted: Map[tuple[User, Right], bool] = each(False)
    calm: bool = False

    account: Life = "absent"
    shown_account: Life = "absent"
    token: Token = "none"
    accepted: bool = False
    accepted_for: Life = "absent"

    # -- rights ---------------------------------------------------------------------------------

    @action
    def give(self, u: User, r: Right) -> None:
        """An administrator binds somebody to a role."""
        limit(not self.calm)
        require(not self.holds[u, r])
        self.holds[u, r] = True
        self.given[r] = True

    @action
    def take(self, u: User, r: Right) -> None:
        """An administrator takes a binding away."""
        limit(not self.calm)
        require(self.holds[u, r])
        self.holds[u, r] = False

    @action
    def pass_on(self, u: User, other: User, r: Right) -> None:
        """A user binds another one; the server lets him if it thinks that he has the right."""
        limit(not self.calm)
        require(self.shown[u, r] and not self.holds[other, r])
        self.holds[other, r] = True

    @action(fair="weak")
    def see(self, u: User, r: Right, there: bool) -> None:
        """The server's cache catches up."""
        require(self.shown[u, r] != there)
        limit(self.holds[u, r] == there)
        self.shown[u, r] = there

    @action
    def act(self, u: User, r: Right) -> None:
        """A request that needs a right is carried out."""
        require(self.shown[u, r])
        self.acted[u, r] = True

    # -- an account and its token ---------------------------------------------------------------

    @action
    def change_account(self, to: Life) -> None:
        """It is made, deleted, made again."""
        limit(not self.calm)
        require((self.account == "absent" and (to == "first" or to == "second"))
                or (self.account != "absent" and to == "absent"))
        limit(implies(to == "first", self.token == "none"))
        self.account = to

    @action(fair="weak")
    def see_account(self, to: Life) -> None:
        """The server's cache shows another state of the account."""
        require(self.shown_account != to)
        limit(self.account == to)
        self.shown_account = to

    @action
    def issue(self) -> None:
        """A token is made for the first account."""
        require(self.shown_account == "first" and self.token == "none")
        self.token = "good"

    @action
    def use(self) -> None:
        """A request under the token is taken up."""
        require(self.token == "good" and self.shown_account == "first")
        self.accepted = True
        self.accepted_for = self.shown_account

    @action(fair="weak")
    def calm_down(self) -> None:
        require(not self.calm)
        self.calm = True

    # -- promises -------------------------------------------------------------------------------

    @invariant
    def every_right_was_given_by_an_administrator(self) -> bool:
        return all(implies(self.holds[u, r], self.given[r]) for u in User for r in Right)

    @invariant
    def nobody_acts_under_a_right_that_was_never_given(self) -> bool:
        return all(implies(self.acted[u, r], self.given[r]) for u in User for r in Right)

    @invariant
    def the_server_knows_of_no_right_that_was_never_given(self) -> bool:
        return all(implies(self.shown[u, r], self.given[r]) for u in User for r in Right)

    @invariant
    def a_token_is_accepted_for_its_own_account_only(self) -> bool:
        return implies(self.accepted, self.accepted_for == "first")

    @leads_to
    def what_was_taken_away_ends(self, u: User, r: Right) -> tuple[bool, bool]:
        return self.calm and not self.holds[u, r], not self.shown[u, r]

    @leads_to
    def a_token_of_an_account_that_is_gone_is_refused_in_the_end(self) -> tuple[bool, bool]:
        return self.calm and self.account != "first", self.shown_account != "first"

    @witness
    def a_right_that_was_passed_on_is_used(self) -> bool:
        return any(self.acted[u, r] and not self.holds[v, r]
                   for u in User for v in User for r in Right)

    @witness
    def a_token_was_accepted_and_another_account_came(self) -> bool:
        return self.accepted and self.shown_account == "second"

    # -- seeded mistakes ------------------------------------------------------------------------

    @mutant(replaces="pass_on", breaks="every_right_was_given_by_an_administrator")
    def pass_on_what_one_does_not_have(self, u: User, other: User, r: Right) -> None:
        limit(not self.calm)
        require(not self.holds[other, r] and not self.holds[u, r])
        self.holds[other, r] = True

    @mutant(replaces="act", breaks="nobody_acts_under_a_right_that_was_never_given")
    def act_without_the_right(self, u: User, r: Right) -> None:
        self.acted[u, r] = True

    @mutant(replaces="use", breaks="a_token_is_accepted_for_its_own_account_only")
    def use_for_an_account_of_the_same_name(self) -> None:
        require(self.token == "good" and self.shown_account != "absent")
        self.accepted = True
        self.accepted_for = self.shown_account

    @mutant(replaces="see", breaks="what_was_taken_away_ends")
    def see_only_what_is_given(self, u: User, r: Right, there: bool) -> None:
        require(self.shown[u, r] != there and there)
        limit(self.holds[u, r])
        self.shown[u, r] = there


SPEC = Access
