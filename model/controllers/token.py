"""Tokens: a Secret belongs to one account by uid; each account has one, and none outlives it.

Accounts of one name follow each other; the later has another uid, here the next generation. The
controller makes a Secret for the account that its cache shows, under a name that the uid decides,
so that a second attempt changes nothing; it deletes a Secret only after the server has said that
the account is gone or is another one.

The server side is there when `server` is 1; the refinement of the implementation sets it to 0 and
checks when the controller makes and deletes.

Not modelled: what is in a Secret, the list that an account keeps, and releases in which accounts
get no Secret by themselves (there `make` never happens). Source: Kubernetes documentation,
"Managing Service Accounts"; kubernetes issues 20787, 21706 (a second token, because the first was
not seen).
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
    define,
    each,
    invariant,
    leads_to,
    lemma,
    limit,
    mutant,
    require,
    step_rule,
    witness,
)

Life = Literal["unborn", "there", "gone"]
Doubt = Literal["none", "asking", "gone"]


class Account(Index, symmetric=True, short="a"):
    """An account: a name with a uid."""


class Secret(Index, symmetric=True, short="s"):
    """A Secret of an account."""


class Token(Spec):
    """Accounts, their Secrets, and a controller with caches that lag."""

    server = constant(1)
    scopes = {"ci": {"Account": 2, "Secret": 3}, "proof": {"Account": 2, "Secret": 3}}

    life: Map[Account, Life] = each("unborn")
    owner: Map[Secret, Account | None] = each(None)
    calm: bool = False

    seen: Map[Account, bool] = each(False)
    holds: Map[Account, Annotated[int, Between(0, 3)]] = each(0)
    making: Map[Account, bool] = each(False)
    doubt: Map[Account, Doubt] = each("none")

    @define
    def secrets(self, a: Account) -> int:
        return count(self.owner[s] == a for s in Secret)

    @action
    def be_born(self, a: Account) -> None:
        """An account is made; one of a name at a time."""
        limit(self.server == 1 and not self.calm)
        require(self.life[a] == "unborn")
        require(not any(self.life[b] == "there" for b in Account))
        self.life[a] = "there"

    @action
    def die(self, a: Account) -> None:
        limit(not self.calm)
        require(self.life[a] == "there")
        self.life[a] = "gone"

    @action
    def remove(self, s: Secret) -> None:
        """A user deletes a Secret."""
        limit(not self.calm)
        require(self.owner[s] is not None)
        self.owner[s] = None

    @action(fair="weak")
    def see(self, a: Account, there: bool) -> None:
        """The cache shows that an account came or went."""
        require(self.seen[a] != there)
        limit((self.life[a] == "there") == there)
        self.seen[a] = there

    @action(fair="weak")
    def see_secrets(self, a: Account, number: Annotated[int, Between(0, 3)]) -> None:
        """The cache shows how many Secrets name the account."""
        require(self.holds[a] != number)
        limit(self.secrets(a) == number)
        self.holds[a] = number

    @action(fair="weak")
    def plan(self, a: Account) -> None:
        """Make the Secret of an account that the cache shows without one."""
        require(self.seen[a] and self.holds[a] == 0 and not self.making[a])
        self.making[a] = True

    @action(fair="weak")
    def make(self, a: Account, s: Secret) -> None:
        """The creation is carried out, at once or much later, unless the name is taken."""
        limit(self.server == 1)
        require(self.making[a] and self.owner[s] is None)
        self.making[a] = False
        if self.secrets(a) == 0:
            self.owner[s] = a

    @action
    def lose(self, a: Account) -> None:
        """The controller hears no answer, or a refusal, and starts over."""
        limit(not self.calm)
        require(self.making[a])
        self.making[a] = False

    @action(fair="weak")
    def wonder(self, a: Account) -> None:
        """A Secret's account is not in the cache: ask the server."""
        require(self.holds[a] > 0 and not self.seen[a] and self.doubt[a] == "none")
        self.doubt[a] = "asking"

    @action(fair="weak")
    def hear(self, a: Account, gone: bool) -> None:
        """The server says whether the account is gone, or nothing that could be heard."""
        require(self.doubt[a] == "asking")
        limit((self.life[a] == "gone") == gone)
        self.doubt[a] = "gone" if gone else "none"

    @action(fair="weak")
    def clear(self, a: Account, s: Secret) -> None:
        """Delete a Secret whose account is known to be gone."""
        require(self.doubt[a] == "gone")
        limit(self.server == 1 and self.owner[s] == a)
        self.doubt[a] = "none"
        if self.server == 1:
            self.owner[s] = None

    @action(fair="weak")
    def drop_doubt(self, a: Account) -> None:
        """The Secret went by itself, or the deletion was sent."""
        require(self.doubt[a] == "gone")
        limit(self.secrets(a) == 0)
        self.doubt[a] = "none"

    @action
    def crash(self) -> None:
        """The controller starts anew; what it asked to be made may still come, by `make`."""
        limit(not self.calm and not any(self.making[a] for a in Account))
        for a in Account:
            self.seen[a] = False
            self.holds[a] = 0
            self.making[a] = False
            self.doubt[a] = "none"

    @action(fair="weak")
    def calm_down(self) -> None:
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def an_account_has_one_secret_at_most(self) -> bool:
        return all(self.secrets(a) <= 1 for a in Account)

    @invariant
    def an_account_that_is_declared_gone_is_gone(self) -> bool:
        return all(self.doubt[a] != "gone" or self.life[a] == "gone" for a in Account)

    @lemma
    def what_is_made_or_owned_is_of_an_account_that_was(self) -> bool:
        return all(self.life[a] != "unborn" or (self.secrets(a) == 0 and not self.making[a]
                                               and not self.seen[a]) for a in Account)

    @step_rule
    def nobody_who_lives_loses_a_secret_but_by_a_user(self, after: Token) -> bool:
        return all(after.secrets(a) >= self.secrets(a) or not self.calm
                   or self.life[a] == "gone" for a in Account)

    @leads_to
    def an_account_gets_its_secret(self, a: Account) -> tuple[bool, bool]:
        return self.calm and self.life[a] == "there", self.secrets(a) == 1

    @leads_to
    def no_secret_outlives_its_account(self, a: Account) -> tuple[bool, bool]:
        return (self.calm and self.life[a] == "gone",
                self.secrets(a) == 0 and not self.making[a])

    @witness
    def an_account_was_followed_by_another_that_has_its_secret(self) -> bool:
        return any(self.life[a] == "gone" and self.life[b] == "there" and self.secrets(b) == 1
                   for a in Account for b in Account)

    @mutant(replaces="make", breaks="an_account_has_one_secret_at_most")
    def make_under_any_name(self, a: Account, s: Secret) -> None:
        require(self.making[a] and self.owner[s] is None)
        self.making[a] = False
        self.owner[s] = a

    @mutant(replaces="wonder", breaks="an_account_that_is_declared_gone_is_gone")
    def believe_the_cache(self, a: Account) -> None:
        require(self.holds[a] > 0 and not self.seen[a] and self.doubt[a] == "none")
        self.doubt[a] = "gone"


SPEC = Token
