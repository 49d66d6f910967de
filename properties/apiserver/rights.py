"""Who may do what, worked out a second time: an oracle of access for the properties.

Written from the Kubernetes documentation ("Using RBAC Authorization", "Using Node Authorization",
"Managing Service Accounts") and nothing else: no rule is shared with the server. It works on the
documents of roles and bindings and asks plain questions of them; speed does not matter much here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from model.api.objects import EPOCH
from model.kernel.values import EMPTY

WRITES = ("create", "update", "patch", "delete", "deletecollection")
SUPERUSERS = "system:masters"
BUILT_IN = ("controllers/", "scheduler", "kube-proxy/", "kubelet/")
KUBELET = "system:node:"


class Right(NamedTuple):
    """One thing that somebody may or may not do: a verb on a resource of a group, in a namespace
    ("" for the whole cluster), perhaps with a name."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


def rules_about(user: str, groups: tuple[str, ...], namespace: str, cache: Any) -> Iterator[Any]:
    """The rules that bindings give to a user in a namespace."""
    cluster_roles = cache.get("clusterroles", EMPTY)
    for binding in cache.get("clusterrolebindings", EMPTY).values():
        if speaks_of(binding, user, groups):
            role = cluster_roles.get(binding.role_ref.name)
            yield from (role.rules or ()) if role is not None else ()
    for binding in cache.get("rolebindings", EMPTY).values():
        if binding.metadata.namespace != namespace or not speaks_of(binding, user, groups):
            continue
        wanted = binding.role_ref
        role = (cluster_roles.get(wanted.name) if wanted.kind == "ClusterRole"
                else cache.get("roles", EMPTY).get(f"{namespace}/{wanted.name}"))
        yield from (role.rules or ()) if role is not None else ()


def speaks_of(binding: Any, user: str, groups: tuple[str, ...]) -> bool:
    """Whether a subject of a binding is this user or one of the groups."""
    for subject in binding.subjects or ():
        if subject.kind == "Group":
            found = subject.name in groups
        elif subject.kind == "ServiceAccount":
            home = subject.namespace or binding.metadata.namespace
            found = user == f"system:serviceaccount:{home}:{subject.name}"
        else:
            found = user == subject.name
        if found:
            return True
    return False


def gives(rule: Any, right: Right) -> bool:
    """Whether a rule gives a right."""
    part = right.resource.partition("/")[2]
    names = ["*", right.resource]
    if part:
        names.append(f"*/{part}")
    return (any(each in ("*", right.verb) for each in rule.verbs or ())
            and any(each in ("*", right.group) for each in rule.api_groups or ())
            and any(each in names for each in rule.resources or ())
            and (not rule.resource_names or right.name in rule.resource_names))


def may(user: str, groups: tuple[str, ...], right: Right, cache: Any) -> bool:
    """Whether roles give a right to a user."""
    return SUPERUSERS in groups or any(
        gives(rule, right) for rule in rules_about(user, groups, right.namespace, cache))


def given_away(wanted: tuple[Any, ...], user: str, groups: tuple[str, ...], namespace: str,
               cache: Any) -> Right | None:
    """A right that some rules contain and a user does not have, None when there is none.

    Every combination of the words that occur in the rules is tried, each star as a word that occurs
    nowhere: that stands for all others.
    """
    for rule in wanted:
        words = ((each or ("",)) for each in (
            rule.verbs, rule.api_groups, rule.resources, rule.resource_names))
        for verb, group, resource, name in product(*words):
            verb, group, resource = ("(any other)" if word == "*" else word
                                     for word in (verb, group, resource))
            right = Right(verb, group, resource, namespace, name)
            if rule.resources and not may(user, groups, right, cache):
                return right
    return None


def is_part(part: Any, role: Any) -> bool:
    """Whether an aggregated role chooses another role, by some selector of equal labels."""
    labels = dict(part.metadata.labels or ())
    return any(all(labels.get(key) == value for key, value in selector.match_labels or ())
               for selector in role.aggregation_rule.cluster_role_selectors or ())


# ---- tokens ------------------------------------------------------------------------------------


def named_by(token: str) -> list[tuple[str, str, str]]:
    """The objects that must exist for a token to be good: (resource, key, uid)."""
    claims = json.loads(token.partition(":")[2])
    private = claims["kubernetes.io"]
    namespace = private["namespace"]
    found = [("serviceaccounts", f"{namespace}/{private['serviceaccount']['name']}",
              private["serviceaccount"]["uid"])]
    for kind in ("pod", "secret"):
        if kind in private:
            found.append((f"{kind}s", f"{namespace}/{private[kind]['name']}",
                          private[kind]["uid"]))
    return found


def expires_ms(token: str) -> int:
    """When a token ends, on the cluster's clock."""
    claims = json.loads(token.partition(":")[2])
    end: int = claims["exp"]
    return (end - int(EPOCH.timestamp())) * 1000
