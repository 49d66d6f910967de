"""What access control promises, judged by an oracle written apart from it; and what breaks it.

Source: Kubernetes documentation, "Authorization", "Using RBAC Authorization" (privilege escalation
prevention), "Using Node Authorization", "Managing Service Accounts". The oracle is
`properties.apiserver.rights`. All promises are about what the server knew when it decided: its
cache may lag, and then a right that was just taken away still holds for a moment, as in Kubernetes.

The server decides and begins a write in one step, so the promises look at requests as they begin.
"""

from __future__ import annotations

from typing import Any

from model.api.requests import Status
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.values import EMPTY
from model.kernel.world import World
from properties.apiserver import rights
from properties.apiserver.rights import KUBELET, SUPERUSERS, Right
from properties.reading import KV, objects
from reference_impl.apiserver.access import authorization, escalation
from reference_impl.apiserver.registry.custom import resource_in
from reference_impl.apiserver.registry.store import Store
from reference_impl.apiserver.state import Pending, User
from reference_impl.lib import aggregation

SERVER = "apiserver"
PENDING = Part(SERVER, "pending")
READS = ("get", "list", "page", "identity")
BINDINGS = {"Role": "rolebindings", "ClusterRole": "clusterrolebindings"}
RESTRICTED_LABEL = "node-restriction.kubernetes.io/"


_found: dict[str, Any] = {"before": EMPTY, "after": EMPTY, "begun": ()}


def begun(before: World, after: World) -> tuple[Pending, ...]:
    """The requests that the server took up, or decided anew, in this step. Several promises ask
    about one step: the answer is kept for the next."""
    earlier, later = before[SERVER].pending, after[SERVER].pending
    if _found["before"] is not earlier or _found["after"] is not later:
        fresh = tuple(new for _, old, new in earlier.diff(later) if new is not None and (
            old is None or old.request != new.request or old.stage != new.stage))
        _found.update(before=earlier, after=later, begun=fresh)
    found: tuple[Pending, ...] = _found["begun"]
    return found


# ---- promises ----------------------------------------------------------------------------------


@step_rule(reads=(PENDING,), why="a right that nobody gave is no right")
def nothing_is_written_that_its_user_may_not_write(before: World, action: Action,
                                                   after: World) -> str | None:
    """The roles and bindings that the server knows give the user of every write the right to it.
    Kubelets are judged by the node authorizer's promises."""
    cache = before[SERVER].cache
    for pending in begun(before, after):
        user, request = pending.user, pending.request
        if pending.stage in READS or user.name.startswith(KUBELET) \
                or request.verb not in rights.WRITES:
            continue
        resource = resource_in(cache, request.resource)
        if resource is None:
            return f"{user.name} writes {request.resource}, which does not exist"
        what = f"{resource.name}/{request.subresource}" if request.subresource else resource.name
        home = request.name if resource.name == "namespaces" else request.namespace
        right = Right(request.verb, resource.group, what, home, request.name)
        allowed = (right, right._replace(verb="update"), right._replace(
            resource=resource.name, group=""))
        if not any(rights.may(user.name, user.groups, each, cache) for each in allowed):
            return f"{user.name} may not {right.verb} {what} in {home or 'the cluster'}"
    return None


@step_rule(reads=(PENDING,), why="roles could be used to climb")
def nobody_gives_away_what_he_does_not_have(before: World, action: Action,
                                            after: World) -> str | None:
    """Whoever writes a role has all of its rights, and whoever binds one has all of that role's;
    but for the verbs `escalate` and `bind`."""
    cache = before[SERVER].cache
    for pending in begun(before, after):
        obj, user = pending.candidate, pending.user
        kind = getattr(obj, "kind", "")
        if pending.stage != "write" or kind not in (*BINDINGS, "RoleBinding",
                                                    "ClusterRoleBinding"):
            continue
        namespace = obj.metadata.namespace or ""
        wanted, verb, plural = written_rights(pending, cache)
        exempt = Right(verb, "rbac.authorization.k8s.io", plural, namespace,
                       obj.metadata.name if kind in BINDINGS else obj.role_ref.name)
        if rights.may(user.name, user.groups, exempt, cache):
            continue
        right = rights.given_away(wanted, user.name, user.groups, namespace, cache)
        if right is not None:
            return (f"{user.name} gives away by {kind} {obj.metadata.name} what he does not have: "
                    f"{right.verb} {right.resource}")
    return None


def written_rights(pending: Pending, cache: Any) -> tuple[tuple[Any, ...], str, str]:
    """The rules that a write newly gives away, with the verb and resource that would allow it."""
    obj, old = pending.candidate, pending.base
    if obj.kind in BINDINGS:
        before = (old.rules or ()) if old is not None else ()
        added = tuple(rule for rule in obj.rules or () if rule not in before)
        return added, "escalate", f"{obj.kind.lower()}s"
    reference = obj.role_ref
    plural = f"{reference.kind.lower()}s"
    if old is not None and old.subjects == obj.subjects:
        return (), "bind", plural
    key = reference.name if reference.kind == "ClusterRole" else (
        f"{obj.metadata.namespace}/{reference.name}")
    role = cache.get(plural, EMPTY).get(key)
    return (role.rules or ()) if role is not None else (), "bind", plural


@step_rule(reads=(PENDING,), why="a credential must not outlive what it stands for")
def no_token_of_what_is_gone_is_accepted(before: World, action: Action,
                                         after: World) -> str | None:
    """A request under an account's token is taken up only while the account of that uid, and the
    object that the token is bound to, are there as far as the server or the store know; and before
    the token's time is over."""
    local, kv = before[SERVER], before["etcd"].kv
    for pending in begun(before, after):
        token = pending.request.token
        if not token.startswith("jwt:") or pending.stage == "identity":
            continue
        for resource, key, uid in rights.named_by(token):
            shown = local.cache.get(resource, EMPTY).get(key)
            entry = kv.get(f"/registry/{resource}/{key}")
            uids = {each.metadata.uid for each in (shown, entry and entry.value)
                    if each is not None}
            if uid not in uids:
                return f"a token is accepted though {resource} {key} is not the one of uid {uid}"
        clock = after.now + after.slots[after.names[SERVER]].skew
        if rights.expires_ms(token) <= clock - 1000:
            return f"a token is accepted {clock - rights.expires_ms(token)} ms after its end"
    return None


@step_rule(reads=(PENDING,), why="a taint keeps secrets off a machine that may be broken into")
def a_kubelet_changes_of_its_node_only_what_is_its_own(before: World, action: Action,
                                                       after: World) -> str | None:
    """With the credential of a kubelet no other node is written; of its own neither the taints, nor
    the owners (they decide what the garbage collector deletes), nor the labels that are reserved
    to administrators."""
    stored = before["etcd"].kv
    for pending in begun(before, after):
        user, obj = pending.user, pending.candidate
        if pending.stage != "write" or not user.name.startswith(KUBELET) \
                or getattr(obj, "kind", "") != "Node":
            continue
        node = user.name.removeprefix(KUBELET)
        if obj.metadata.name != node:
            return f"the kubelet of {node} writes the node {obj.metadata.name}"
        entry = stored.get(f"/registry/nodes/{node}")
        if entry is None or entry.value.metadata.uid != obj.metadata.uid:
            continue
        text = taken_liberty(entry.value, obj)
        if text and pending.base is not None and (
                pending.base.metadata.resource_version == str(entry.mod_revision)):
            return f"the kubelet of {node} changes {text} of its node"
    return None


def taken_liberty(old: Any, new: Any) -> str:
    """What is different though a kubelet may not change it, "" for nothing."""
    def guarded(node: Any) -> dict[str, Any]:
        return {"the owners": node.metadata.owner_references or (),
                "the taints": (node.spec.taints or ()) if node.spec is not None else (),
                "reserved labels": [pair for pair in node.metadata.labels or ()
                                    if pair[0].startswith(RESTRICTED_LABEL)]}
    before, after = guarded(old), guarded(new)
    return next((what for what in before if before[what] != after[what]), "")


@step_rule(reads=(PENDING,), why="who acts for a component could do all that it may")
def every_request_is_judged_as_its_sender(before: World, action: Action,
                                          after: World) -> str | None:
    """Without a token and without impersonation a connection is its owner's: a user's client is
    that user, a kubelet its node."""
    for pending in begun(before, after):
        client, request = pending.client[0], pending.request
        if pending.stage == "identity" or request.token or request.impersonate is not None:
            continue
        kind, _, rest = client.partition("/")
        wanted = {"kubelet": f"{KUBELET}{rest}", "kubectl": rest or "kubernetes-admin"}.get(kind)
        if wanted is not None and pending.user.name != wanted:
            return f"a request of {client} is judged as {pending.user.name}"
    return None


@leads_to(within_ms=120_000, reads=(KV, Part(SERVER, "cache")),
          why="a right that was taken away must end, and a new one must work")
def the_server_comes_to_know_every_role_and_binding(world: World) -> str | None:
    """What access is decided by is what is stored."""
    cache = world[SERVER].cache
    for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings",
                   "serviceaccounts"):
        there = {obj.metadata.uid for obj in objects(world, plural)}
        known = {obj.metadata.uid for obj in cache.get(plural, EMPTY).values()}
        if there != known:
            return f"the server knows {len(known)} {plural}, and {len(there)} are stored"
    return None


@leads_to(within_ms=120_000, reads=(KV,), why="whoever has the role lacks what was added, or keeps "
          "what was taken away")
def an_aggregated_role_has_the_rules_of_its_parts(world: World) -> str | None:
    """Of all roles that its selectors choose, and nothing else."""
    roles = list(objects(world, "clusterroles"))
    for role in roles:
        if role.aggregation_rule is None:
            continue
        wanted = {rule for part in roles if part is not role and rights.is_part(part, role)
                  for rule in part.rules or ()}
        if set(role.rules or ()) != wanted:
            return (f"{role.metadata.name} has {len(role.rules or ())} rules, its parts give "
                    f"{len(wanted)}")
    return None


@sometimes(reads=(PENDING,), why="administrators may do everything")
def somebody_without_all_rights_writes(world: World) -> bool:
    """A write of a user who is neither an administrator nor part of the cluster is under way."""
    return any(pending.stage == "write" and SUPERUSERS not in pending.user.groups
               and not pending.user.name.startswith("system:")
               for pending in world[SERVER].pending.values())


PROPERTIES: tuple[Property, ...] = (
    nothing_is_written_that_its_user_may_not_write, nobody_gives_away_what_he_does_not_have,
    no_token_of_what_is_gone_is_accepted, a_kubelet_changes_of_its_node_only_what_is_its_own,
    every_request_is_judged_as_its_sender, the_server_comes_to_know_every_role_and_binding,
    an_aggregated_role_has_the_rules_of_its_parts, somebody_without_all_rights_writes)


# ---- seeded bugs -------------------------------------------------------------------------------


def reading_lets_write(user: User, asked: Any, policy: Any) -> Any:
    """Who may read something may do anything to it."""
    decision = _by_roles(user, asked, policy)
    return decision if decision.allowed else _by_roles(user, asked._replace(verb="get"), policy)


def nothing_is_asked_back(user: User, new: Any, old: Any, cache: Any) -> Status | None:
    """Roles and bindings are stored whatever they give away."""
    return None


def only_new_roles_are_looked_at(user: User, new: Any, old: Any, cache: Any) -> Status | None:
    """A role is looked at when it is made, not when it is changed."""
    return None if old is not None else _objection(user, new, old, cache)


def names_are_enough(resource: str, key: str, uid: str, known: Any) -> Any:
    """An account of the same name will do, whatever its uid."""
    found = known.get(resource, key)
    return found if type(found).__name__ == "LookUp" else None if found is not None else "gone"


def owners_do_not_matter(old: Any, new: Any) -> bool:
    """A kubelet may set the owners of its node."""
    return True


def judged_against_itself(self: Store, local: Any, pending: Pending, resource: Any, base: Any,
                          new: Any) -> Any:
    """The old object that admission is shown has some fields of the new one already."""
    if getattr(base, "kind", "") == "Node" and type(new) is not Status:
        metadata = base.metadata._replace(labels=new.metadata.labels)
        return _judged(self, local, pending, resource, base._replace(metadata=metadata), new)
    return _judged(self, local, pending, resource, base, new)


def what_was_gathered_stays(role: Any, roles: Any) -> Any:
    """An aggregated role gets what its parts give and keeps what they gave before."""
    found = _aggregated(role, roles) or ()
    return (*(rule for rule in role.rules or () if rule not in found), *found) or None


def charged_whatever_is_there(self: Store, local: Any, lane: str, pending: Pending,
                              io: Any) -> Any:
    """A quota is charged by what the cache shows, and written over whatever is stored."""
    charging = bool(pending.work) and pending.work[0].verb == "charge"
    sender: Any = Unconditional(io) if charging else io
    return _work(self, local, lane, pending, sender)


class Unconditional:
    """Sends every transaction to etcd without its conditions."""

    def __init__(self, io: Any) -> None:
        self.io = io

    def __getattr__(self, name: str) -> Any:
        return getattr(self.io, name)

    def request(self, to: str, lane: str, body: Any) -> None:
        """Send it."""
        self.io.request(to, lane, body._replace(compares=()))


_by_roles, _objection = authorization.by_roles, escalation.objection
_judged, _work = Store._judged, Store._work
_aggregated = aggregation.aggregated
_ACCESS = "reference_impl.apiserver.access"
_STORE = "reference_impl.apiserver.registry.store:Store"
MUTANTS = (
    Mutant("rule-for-reading-lets-write", "who may read a resource may write it",
           "nothing_is_written_that_its_user_may_not_write",
           ((f"{_ACCESS}.authorization:by_roles", reading_lets_write),), "shared-cluster"),
    Mutant("roles-give-away-anything", "roles and bindings are stored whatever they give away",
           "nobody_gives_away_what_he_does_not_have",
           ((f"{_ACCESS}.escalation:objection", nothing_is_asked_back),), "shared-cluster"),
    Mutant("changed-roles-give-away-anything", "a role is looked at when it is made only",
           "nobody_gives_away_what_he_does_not_have",
           ((f"{_ACCESS}.escalation:objection", only_new_roles_are_looked_at),),
           "shared-cluster"),
    Mutant("bound-token-uid-not-checked", "bound-token-uid-not-checked",
           "no_token_of_what_is_gone_is_accepted",
           ((f"{_ACCESS}.service_account_tokens:_unfit", names_are_enough),), "shared-cluster"),
    Mutant("node-restriction-ownerref", "node-restriction-ownerref",
           "a_kubelet_changes_of_its_node_only_what_is_its_own",
           ((f"{_ACCESS}.admission.node_restriction:same_owners", owners_do_not_matter),),
           "shared-cluster"),
    Mutant("admission-old-object-overwritten", "admission-old-object-overwritten",
           "a_kubelet_changes_of_its_node_only_what_is_its_own",
           ((f"{_STORE}._judged", judged_against_itself),), "shared-cluster"),
    Mutant("aggregated-role-keeps-old-rules",
           "an aggregated role keeps what its parts no longer give",
           "an_aggregated_role_has_the_rules_of_its_parts",
           ((f"{_ACCESS}.role_upkeep:aggregated", what_was_gathered_stays),), "gathered-roles"),
    Mutant("quota-admission-race-two-servers", "quota-admission-race-two-servers",
           "a_quota_is_never_used_above_its_limit",
           ((f"{_STORE}._work", charged_whatever_is_there),), "shared-quota"),
)
