"""Stage two, asked from outside: who am I, whose token is this, who may do what, a token please.

Such objects are answered, not stored. Source: Kubernetes documentation, "Authorization" (checking
API access) and "Authenticating" (self subject review, token review).
"""

from __future__ import annotations

from typing import Any

from model.api.metadata import Metadata
from model.api.objects import Generic, rest_fields, timestamp, with_metadata, with_rest
from model.api.requests import Reply, Request, bad_request, field_invalid, invalid, refused
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access import (
    authentication,
    authorization,
    rbac,
    service_account_tokens,
)
from reference_impl.apiserver.access.known import Known, LookUp
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.state import User

GROUP = "authorization.k8s.io"
ANSWERED = frozenset(("selfsubjectreviews", "selfsubjectaccessreviews", "subjectaccessreviews",
                      "localsubjectaccessreviews", "selfsubjectrulesreviews", "tokenreviews"))
_BOTH = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def is_answered(request: Request) -> bool:
    """Whether a request is answered from what is known, without writing anything."""
    return request.verb == "create" and (
        request.resource in ANSWERED if not request.subresource
        else request.subresource == "token")


def answer(request: Request, user: User, tokens: FrozenMap[str, User], known: Known,
           token_id: str) -> Reply | LookUp:
    """The review with its status, or the object that must be read first."""
    body = request.body
    if request.subresource == "token":
        return service_account_tokens.issued(body, request.namespace, request.name, known, token_id)
    if body.kind == "SelfSubjectReview":
        dated = with_metadata(body, Metadata(creation_timestamp=timestamp(known.now)))
        return Reply(201, with_rest(dated, status={"userInfo": _info(user)}))
    if body.kind == "TokenReview":
        return _token_review(body, tokens, known)
    undated = with_metadata(body, with_rest(body.metadata, creationTimestamp=None))
    spec = rest_fields(body).get("spec") or {}
    if body.kind == "SelfSubjectRulesReview":
        if not spec.get("namespace"):
            return refused(bad_request("no namespace on request"))
        rules = _rules(user, spec["namespace"], known)
        return Reply(201, with_rest(undated, spec={}, status=rules))
    return _access_review(undated, spec, request, user, known)


def _info(user: User) -> dict[str, Any]:
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra}
    return info


def _token_review(body: Generic, tokens: FrozenMap[str, User], known: Known) -> Reply | LookUp:
    """Whose token it is. The body carries the id of the token, as every request does."""
    spec = rest_fields(body).get("spec") or {}
    token = spec.get("token") or ""
    if not token:
        return refused(invalid("TokenReview", "authentication.k8s.io", "", (
            field_invalid("spec.token", "", "must be specified"),)))
    wanted = tuple(spec.get("audiences") or service_account_tokens.AUDIENCES)
    found: User | LookUp | None = tokens.get(token)
    audiences: tuple[str, ...] = service_account_tokens.AUDIENCES
    if found is None:
        found = service_account_tokens.holder(token, known, wanted)
        claims = service_account_tokens.claims_of(token) or {}
        audiences = tuple(claims.get("aud") or audiences)
    if isinstance(found, LookUp):
        return found
    undated = with_metadata(body, with_rest(body.metadata, creationTimestamp=None))
    shared = [audience for audience in wanted if audience in audiences]
    if found is None or not shared:
        status: dict[str, Any] = {"user": {}, "error": "invalid bearer token"}
    else:
        user = found._replace(groups=(*found.groups, authentication.AUTHENTICATED))
        status = {"authenticated": True, "user": _info(user), "audiences": shared}
    return Reply(201, with_rest(undated, status=status))


def _access_review(body: Generic, spec: dict[str, Any], request: Request, user: User,
                   known: Known) -> Reply:
    if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
        return refused(invalid(body.kind, GROUP, "", (
            field_invalid("spec.resourceAttributes", "null", _BOTH),)))
    if body.kind == "LocalSubjectAccessReview":
        named = (spec.get("resourceAttributes") or {}).get("namespace") or ""
        if named != request.namespace:
            return refused(invalid(body.kind, GROUP, "", (field_invalid(
                "spec.resourceAttributes.namespace", named,
                f"must match metadata.namespace: {request.namespace}"),)))
    if body.kind != "SelfSubjectAccessReview":
        extra = tuple((key, tuple(values))
                      for key, values in sorted((spec.get("extra") or {}).items()))
        user = User(spec.get("user") or "", spec.get("uid") or "",
                    tuple(spec.get("groups") or ()), extra)
    decision = authorization.decide(user, _attributes(spec), known.cache)
    status: dict[str, Any] = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return Reply(201, with_rest(body, status=status))


def _attributes(spec: dict[str, Any]) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path:
        return Attributes(path.get("verb") or "", "", "", path=path.get("path") or "")
    what = spec.get("resourceAttributes") or {}
    resource = what.get("resource") or ""
    if what.get("subresource"):
        resource = f"{resource}/{what['subresource']}"
    selector = (what.get("fieldSelector") or {}).get("rawSelector") or ""
    return Attributes(what.get("verb") or "", what.get("group") or "", resource,
                      what.get("namespace") or "", what.get("name") or "", "", selector)


def _rules(user: User, namespace: str, known: Known) -> dict[str, Any]:
    """Every rule that applies to a user in a namespace, as a review tells it."""
    resources, paths = [], []
    for grant in rbac.grants_for(user, namespace, rbac.policy_of(known.cache)):
        rule = grant.rule
        if rule is None:
            continue
        if rule.resources:
            told = {"verbs": rule.verbs, "apiGroups": rule.api_groups,
                    "resources": rule.resources, "resourceNames": rule.resource_names}
            resources.append({name: list(values) for name, values in told.items() if values})
        if rule.non_resource_urls:
            paths.append({"verbs": list(rule.verbs or ()),
                          "nonResourceURLs": list(rule.non_resource_urls)})
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
