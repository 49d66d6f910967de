"""Tokens belong to accounts by uid: the promises, the refinement, and what breaks them.

Source: Kubernetes documentation, "Managing Service Accounts"; kubernetes issues 20787 and 21706.
"""

from __future__ import annotations

from typing import Any

from model.api.metadata import annotation
from model.api.requests import delete
from model.controllers.token import SPEC
from model.kernel.action import Action
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, Index, objects, title
from reference_impl.controllers.token import (
    ACCOUNT_NAME,
    ACCOUNT_UID,
    ACCOUNTS,
    EVERY_ACCOUNT,
    SECRETS,
    TOKEN_TYPE,
    State,
    Tokens,
    Work,
    account_key,
    belongs,
    suffix_of,
)

NAME = "controllers/token"
WHOLE = Part(NAME)
ASKED, DELETING, MAKING = "account", "delete", "create"


def owner_of(secret: Any) -> tuple[str, str]:
    """Name and uid of the account that a Secret says it belongs to."""
    metadata = secret.metadata
    return annotation(metadata, ACCOUNT_NAME) or "", annotation(metadata, ACCOUNT_UID) or ""


def is_by_itself(secret: Any) -> bool:
    """Whether a Secret is one that accounts get without asking, by the form of its name."""
    account, uid = owner_of(secret)
    return bool(uid) and (secret.metadata.name or "").startswith(f"{account}-token-")


# ---- promises ----------------------------------------------------------------------------------


@each(of=KV, prefix="/registry/secrets/", why="a second token is one that nobody knows to revoke")
def an_account_gets_one_token_by_itself(world: World, key: str, old: Any, new: Any) -> str | None:
    """However often its creation is tried, and however old the caches are."""
    if new is None or old is not None or not is_by_itself(new.value):
        return None
    owner = owner_of(new.value)
    prefix = key.rpartition("/")[0] + "/"
    mine = [other for other, entry in world["etcd"].kv.items() if other.startswith(prefix)
            and is_by_itself(entry.value) and owner_of(entry.value) == owner]
    if len(mine) > 1:
        return f"the account {owner[0]} has {len(mine)} tokens: {', '.join(mine)}"
    return None


@each(of=KV, prefix="/registry/secrets/", why="who had the old account could act as the new one")
def a_token_never_passes_to_another_account(world: World, key: str, old: Any,
                                            new: Any) -> str | None:
    """Once a uid stands on a Secret, it stays."""
    if old is None or new is None or old.value.metadata.uid != new.value.metadata.uid:
        return None
    before, after = owner_of(old.value)[1], owner_of(new.value)[1]
    if before in ("", after):
        return None
    return f"the token {title(new.value)} of the account {before} now names {after}"


@step_rule(reads=(Part(NAME, "work"),), why="pods of the account lose their credential with it")
def no_token_of_a_living_account_is_deleted(before: World, action: Action,
                                            after: World) -> str | None:
    """The controller deletes a token only when its account is gone for good."""
    work = after[NAME].work
    if work is None or work.at != DELETING:
        return None
    name, uid = owner_of(work.secret)
    namespace = work.secret.metadata.namespace
    entry = before["etcd"].kv.get(f"/registry/serviceaccounts/{namespace}/{name}")
    if entry is None or (uid and entry.value.metadata.uid != uid):
        return None
    # A Secret without a uid belongs to whoever has the name, also to one made since it was asked.
    return f"the token {title(work.secret)} is deleted, its account {name} lives" if uid else None


@leads_to(within_ms=120_000, reads=(KV, Part(NAME, "memory")),
          why="a pod without its token cannot ask the API server")
def each_account_gets_its_token(world: World) -> str | None:
    """Before release 1.24, every account; and it lists the token among its secrets."""
    if world[NAME].memory != EVERY_ACCOUNT:
        return None
    tokens = {(each.metadata.namespace, *owner_of(each)): each.metadata.name
              for each in objects(world, SECRETS) if is_by_itself(each)}
    for account in objects(world, ACCOUNTS):
        metadata = account.metadata
        if metadata.deletion_timestamp is not None:
            continue
        token = tokens.get((metadata.namespace, metadata.name, metadata.uid))
        if token is None:
            return f"the account {title(account)} has no token"
        if token not in [each.name for each in account.secrets or ()]:
            return f"the account {title(account)} does not list its token {token}"
    return None


@leads_to(within_ms=120_000, reads=(KV,), why="the next account of that name must not inherit it")
def no_token_outlives_its_account(world: World) -> str | None:
    """Every token is filled in and belongs to an account that is there, by uid."""
    accounts = {(each.metadata.namespace, each.metadata.name): each.metadata.uid
                for each in objects(world, ACCOUNTS)}
    for secret in objects(world, SECRETS):
        if secret.type == TOKEN_TYPE:
            name, uid = owner_of(secret)
            if accounts.get((secret.metadata.namespace, name)) != uid or not secret.data:
                return f"the token {title(secret)} of {name} ({uid or 'no uid'}) is nobody's"
    return None


@sometimes(reads=(KV,), why="a cluster without tokens keeps every promise about them")
def an_account_lists_a_token(world: World) -> bool:
    """Some account has a token of its own."""
    return True in _LISTING.of(world)


_LISTING = Index(ACCOUNTS, lambda account: bool(account.secrets))


# ---- refinement --------------------------------------------------------------------------------


_views: dict[str, Any] = {"accounts": EMPTY, "secrets": EMPTY, "value": (EMPTY, EMPTY)}


def view(local: State) -> tuple[FrozenMap[str, bool], FrozenMap[str, int]]:
    """The uids of the accounts that the cache shows, and how many tokens of their own they have."""
    accounts, secrets = local.caches[ACCOUNTS].store, local.caches[SECRETS].store
    if accounts is not _views["accounts"] or secrets is not _views["secrets"]:
        seen = FrozenMap((each.metadata.uid or "", True) for each in accounts.values())
        numbers: dict[str, int] = {}
        for secret in secrets.values():
            if is_by_itself(secret):
                uid = owner_of(secret)[1]
                numbers[uid] = numbers.get(uid, 0) + 1
        _views.update(accounts=accounts, secrets=secrets,
                      value=(seen, FrozenMap(numbers.items())))
    found: tuple[FrozenMap[str, bool], FrozenMap[str, int]] = _views["value"]
    return found


def _hands(local: State) -> tuple[str, str, str]:
    """Whose token is being made; whose account is in doubt, and how far."""
    work: Work | None = local.work
    if work is None:
        return "", "", "none"
    if work.at == MAKING and work.account is not None:
        return work.account.metadata.uid or "", "", "none"
    if work.at in (ASKED, DELETING) and work.secret is not None and is_by_itself(work.secret):
        return "", owner_of(work.secret)[1], "asking" if work.at == ASKED else "gone"
    return "", "", "none"


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    seen, holds = view(local)
    making, doubted, doubt = _hands(local)
    return {"life": EMPTY, "owner": EMPTY, "calm": False, "seen": seen, "holds": holds,
            "making": FrozenMap([(making, True)]) if making else EMPTY,
            "doubt": FrozenMap([(doubted, doubt)]) if doubted else EMPTY}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    if step.action.verb == "restart":
        return (Label("crash"),)
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    (seen, holds), (sees, has) = view(old), view(new)
    found = [Label("see", (uid, bool(after))) for uid, _, after in seen.diff(sees)]
    found += [Label("see_secrets", (uid, after or 0)) for uid, _, after in holds.diff(has)]
    (making, doubted, was), (makes, doubts, now) = _hands(old), _hands(new)
    if old.work is not new.work:
        if making:
            found.append(Label("lose", (making,)))
        if was == "asking":
            found.append(Label("hear", (doubted, now == "gone")))
        elif was == "gone":
            found.append(Label("drop_doubt", (doubted,)))
        if makes:
            found.append(Label("plan", (makes,)))
        if now == "asking":
            found.append(Label("wonder", (doubts,)))
        elif now == "gone" and was != "asking":
            found.append(Label("hear", (doubts, True)))
    return tuple(found)


REFINEMENT = refinement(
    "tokens_are_made_and_deleted_as_the_spec_allows", SPEC, reads=(WHOLE,), state=state,
    labels=labels, constants={"server": 0}, why="an old cache is no proof that an account is gone")

PROPERTIES: tuple[Property, ...] = (
    an_account_gets_one_token_by_itself, a_token_never_passes_to_another_account,
    no_token_of_a_living_account_is_deleted, each_account_gets_its_token,
    no_token_outlives_its_account, an_account_lists_a_token, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def named_anew_each_time(self: Tokens, local: State, account: Any) -> str:
    """Another name for each version of the account, as long as the cache shows no token of it."""
    reflector = self.reflector(SECRETS)
    key = f"{account.metadata.namespace}/{account.metadata.name}"
    for secret in reflector.by(local.caches[SECRETS], "account", key):
        if is_by_itself(secret) and belongs(secret, account):
            return str(secret.metadata.name)
    return f"{account.metadata.name}-token-{suffix_of(str(account.metadata))}"


def deleted_on_the_caches_word(self: Tokens, local: State, key: str, io: Io) -> State:
    """The account is not in the cache, so it is taken for gone."""
    secret = self.cached(local, SECRETS, key)
    if secret is None:
        return self.done(local)
    account = self.cached(local, ACCOUNTS, account_key(secret))
    if account is not None and belongs(secret, account):
        return self._fill(local, account, secret, io)
    request = delete(SECRETS, secret.metadata.namespace, secret.metadata.name)
    return self.ask(local, request, Work(DELETING, None, secret), io)


def name_is_enough(secret: Any, account: Any) -> bool:
    """An account of the same name takes over the token of the one before."""
    return True


_MODULE = "reference_impl.controllers.token"
MUTANTS = (
    Mutant("sa-token-created-twice", "sa-token-created-twice",
           "an_account_gets_one_token_by_itself",
           ((f"{_MODULE}:Tokens.secret_name", named_anew_each_time),), scenario="accounts"),
    Mutant("token-deleted-on-the-caches-word",
           "a token is deleted because its account is not in the cache yet",
           "tokens_are_made_and_deleted_as_the_spec_allows",
           ((f"{_MODULE}:Tokens._sync_secret", deleted_on_the_caches_word),), scenario="accounts"),
    Mutant("token-kept-for-the-next-account", "bound-token-uid-not-checked",
           "a_token_never_passes_to_another_account", ((f"{_MODULE}:belongs", name_is_enough),),
           scenario="accounts"),
)
