"""Tokens of service accounts: asked for, judged when used.

Source: Kubernetes documentation, "Managing Service Accounts" and "Configure Service Accounts for
Pods"; KEP-1205 (bound tokens), KEP-4193 (node and id in the claims). A token is a set of claims. In
the world its id is the claims themselves as text; the front door turns ids into signed tokens and
back, so a client can use only what it was given. A token is good while it has not expired, the
account of its uid exists, and so does the Secret, Pod or Node that it is bound to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from model.api.metadata import Metadata
from model.api.objects import EPOCH, Generic, rest_fields, timestamp, with_rest
from model.api.requests import (
    Cause,
    Reply,
    Status,
    bad_request,
    conflict,
    field_invalid,
    invalid,
    not_found,
    refused,
)
from reference_impl.apiserver.access.known import Known, LookUp
from reference_impl.apiserver.state import User

ACCOUNTS = "serviceaccounts"
ACCOUNT_PREFIX = "system:serviceaccount:"
ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCES = (ISSUER,)
LEGACY_ISSUER = "kubernetes/serviceaccount"
LEGACY = "kubernetes.io/serviceaccount/"
SECRET_TYPE = "kubernetes.io/service-account-token"
ID_PREFIX = "jwt:"
EXTRA = "authentication.kubernetes.io/"
SECONDS_MIN, SECONDS_MAX, SECONDS_DEFAULT = 600, 1 << 32, 3600
LONG_LIVED_ASKED, LONG_LIVED_S = 3607, 365 * 24 * 3600
"""What the kubelet asks for on behalf of pods, and what such a token really lives, so that clients
that never read it anew go on working; the claim `warnafter` keeps what was asked for."""
BOUND = {"Pod": ("v1", "pods"), "Secret": ("v1", "secrets"), "Node": ("v1", "nodes")}
EPOCH_S = int(EPOCH.timestamp())


def groups_of(namespace: str) -> tuple[str, ...]:
    """The groups of every service account of a namespace."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def text_of(claims: dict[str, Any]) -> str:
    """The id of a token with these claims."""
    return ID_PREFIX + json.dumps(claims, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=4096)
def claims_of(text: str) -> dict[str, Any] | None:
    """The claims that an id tells, None when it is no such id."""
    if not text.startswith(ID_PREFIX):
        return None
    try:
        claims = json.loads(text[len(ID_PREFIX):])
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def seconds(now: int) -> int:
    """The cluster's time as claims tell it: seconds since 1970."""
    return EPOCH_S + now // 1000


# -- judging ------------------------------------------------------------------------------------


def holder(token: str, known: Known,
           audiences: tuple[str, ...] = AUDIENCES) -> User | LookUp | None:
    """The account that a token stands for now, None when it is not (or no longer) good."""
    claims = claims_of(token)
    if claims is None:
        return None
    try:
        if claims.get("iss") == LEGACY_ISSUER:
            return _legacy_holder(claims, known)
        return _bound_holder(claims, known, audiences)
    except (KeyError, TypeError):
        return None  # no claims that this server ever made


def _bound_holder(claims: dict[str, Any], known: Known,
                  audiences: tuple[str, ...]) -> User | LookUp | None:
    at = seconds(known.now)
    if not claims["nbf"] <= at < claims["exp"] or not set(claims["aud"]) & set(audiences):
        return None
    private = claims["kubernetes.io"]
    namespace, account = private["namespace"], private["serviceaccount"]
    fault = _unfit(ACCOUNTS, f"{namespace}/{account['name']}", account["uid"], known)
    if fault is not None:
        return fault if isinstance(fault, LookUp) else None
    for kind, (_, resource) in BOUND.items():
        bound = private.get(kind.lower())
        if bound is None or (kind == "Node" and "pod" in private):
            continue
        key = bound["name"] if kind == "Node" else f"{namespace}/{bound['name']}"
        fault = _unfit(resource, key, bound["uid"], known)
        if fault is not None:
            return fault if isinstance(fault, LookUp) else None
    return User(claims["sub"], account["uid"], groups_of(namespace), _extra(claims))


def _unfit(resource: str, key: str, uid: str, known: Known) -> LookUp | str | None:
    """Why a token is no longer good because of an object that it names, None when it is."""
    found = known.get(resource, key)
    if isinstance(found, LookUp):
        return found
    if found is None:
        return f"{key} is gone"
    return None if found.metadata.uid == uid else f"{key} is another one now"


def _extra(claims: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    private = claims["kubernetes.io"]
    found = {"credential-id": f"JTI={claims['jti']}"}
    for kind in ("node", "pod"):
        if kind in private:
            found[f"{kind}-name"] = private[kind]["name"]
            found[f"{kind}-uid"] = private[kind].get("uid", "")
    return tuple((f"{EXTRA}{key}", (found[key],)) for key in sorted(found) if found[key])


def legacy_claims(namespace: str, secret: str, notes: Mapping[str, str]) -> dict[str, Any]:
    """The claims of the token that a Secret with these annotations carries for ever."""
    name = notes.get("kubernetes.io/service-account.name", "")
    return {"iss": LEGACY_ISSUER, f"{LEGACY}namespace": namespace,
            f"{LEGACY}secret.name": secret, f"{LEGACY}service-account.name": name,
            f"{LEGACY}service-account.uid": notes.get("kubernetes.io/service-account.uid", ""),
            "sub": f"{ACCOUNT_PREFIX}{namespace}:{name}"}


def _legacy_holder(claims: dict[str, Any], known: Known) -> User | LookUp | None:
    namespace, uid = claims[f"{LEGACY}namespace"], claims[f"{LEGACY}service-account.uid"]
    name = claims[f"{LEGACY}secret.name"]
    secret = known.get("secrets", f"{namespace}/{name}")
    if secret is None or isinstance(secret, LookUp):
        return secret
    notes = dict(secret.metadata.annotations or ())
    if secret.type != SECRET_TYPE or legacy_claims(namespace, name, notes) != claims \
            or "token" not in dict(secret.data or ()):
        return None
    fault = _unfit(ACCOUNTS, f"{namespace}/{claims[f'{LEGACY}service-account.name']}", uid, known)
    if fault is not None:
        return fault if isinstance(fault, LookUp) else None
    return User(claims["sub"], uid, groups_of(namespace))


# -- asking -------------------------------------------------------------------------------------


def issued(body: Generic, namespace: str, name: str, known: Known, token_id: str) -> Reply | LookUp:
    """The answer to a TokenRequest for an account; `token_id` is fresh for each."""
    if body.metadata.name not in (None, "", name):
        return refused(bad_request(f"name in URL {name} does not match name in TokenRequest "
                                   f"object {body.metadata.name}"))
    account = known.get(ACCOUNTS, f"{namespace}/{name}")
    if isinstance(account, LookUp):
        return account
    if account is None:
        return refused(not_found(ACCOUNTS, name))
    spec = rest_fields(body).get("spec") or {}
    lifetime = spec.get("expirationSeconds", SECONDS_DEFAULT)
    causes = _lifetime_faults(lifetime)
    if causes:
        # The request has no name of its own, and Kubernetes' refusal shows none.
        return refused(invalid("TokenRequest", "authentication.k8s.io", "", causes))
    private: dict[str, Any] = {"namespace": namespace, "serviceaccount": {
        "name": name, "uid": account.metadata.uid}}
    reference = spec.get("boundObjectRef")
    if reference:
        fault = _bind(private, reference, account, known)
        if fault is not None:
            return fault if isinstance(fault, LookUp) else refused(fault)
    audiences = spec.get("audiences") or list(AUDIENCES)
    at = seconds(known.now)
    claims = {"aud": audiences, "exp": at + lifetime, "iat": at, "iss": ISSUER, "jti": token_id,
              "kubernetes.io": private, "nbf": at, "sub": f"{ACCOUNT_PREFIX}{namespace}:{name}"}
    if lifetime == LONG_LIVED_ASKED and "pod" in private and audiences == list(AUDIENCES):
        private["warnafter"] = at + lifetime
        claims["exp"] = at + LONG_LIVED_S
    metadata = Metadata(name=name, namespace=namespace,
                        creation_timestamp=timestamp(known.now))
    filled = {"audiences": audiences, "expirationSeconds": lifetime, "boundObjectRef": reference}
    status = {"token": text_of(claims),
              "expirationTimestamp": timestamp((claims["exp"] - EPOCH_S) * 1000)}
    return Reply(201, with_rest(body._replace(metadata=metadata), spec=filled, status=status))


def _lifetime_faults(lifetime: Any) -> tuple[Cause, ...]:
    field = "spec.expirationSeconds"
    if lifetime < SECONDS_MIN:
        return (field_invalid(field, lifetime, "may not specify a duration less than 10 minutes"),)
    if lifetime > SECONDS_MAX:
        return (field_invalid(field, lifetime,
                              "may not specify a duration larger than 2^32 seconds"),)
    return ()


def _bind(private: dict[str, Any], reference: dict[str, Any], account: Any,
          known: Known) -> Status | LookUp | None:
    """Add the object that a token is bound to; why that cannot be, None when it was done."""
    kind, name = reference.get("kind") or "", reference.get("name") or ""
    version, resource = BOUND.get(kind, ("", ""))
    if not resource or reference.get("apiVersion") != version:
        return bad_request("cannot bind token to object of type "
                           f"{reference.get('apiVersion') or ''}, Kind={kind}")
    namespace = private["namespace"]
    found = known.get(resource, name if kind == "Node" else f"{namespace}/{name}")
    if isinstance(found, LookUp):
        return found
    if found is None:
        return not_found(resource, name)
    owner = account.metadata.name
    if kind == "Pod" and (found.spec.service_account_name or "default") != owner:
        return bad_request(f'cannot bind token for serviceaccount "{owner}" to pod running with '
                           "different serviceaccount name.")
    uid = found.metadata.uid
    if reference.get("uid") and reference["uid"] != uid:
        return conflict(resource, name, f"the UID in the bound object reference "
                        f"({reference['uid']}) does not match the UID in record. The object might "
                        "have been deleted and then recreated")
    private[kind.lower()] = {"name": name, "uid": uid}
    if kind == "Pod" and found.spec.node_name:
        node = known.get("nodes", found.spec.node_name)
        if isinstance(node, LookUp):
            return node
        private["node"] = {"name": found.spec.node_name} | (
            {"uid": node.metadata.uid} if node is not None else {})
    return None
