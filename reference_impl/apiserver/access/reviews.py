"""Stage two, asked from outside: access reviews and who am I. They are answered, not stored.

Source: Kubernetes documentation, "Authorization" (checking API access) and "Authenticating"
(self subject review). Not modelled: SelfSubjectRulesReview and TokenReview.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import Generic, Metadata, rest_fields, timestamp, with_metadata, with_rest
from model.api.requests import Reply
from reference_impl.apiserver.access import authorization
from reference_impl.apiserver.access.authorization import Attributes, Policy
from reference_impl.apiserver.state import User

ANSWERED = frozenset(("selfsubjectreviews", "selfsubjectaccessreviews", "subjectaccessreviews",
                      "localsubjectaccessreviews"))


def answer(body: Generic, user: User, policy: Policy, now: int) -> Reply:
    """The review with its status."""
    if body.kind == "SelfSubjectReview":
        info: dict[str, Any] = {"username": user.name, "groups": list(user.groups)}
        if user.uid:
            info["uid"] = user.uid
        dated = with_metadata(body, Metadata(creation_timestamp=timestamp(now)))
        return Reply(201, with_rest(dated, status={"userInfo": info}))
    spec = rest_fields(body).get("spec") or {}
    if body.kind != "SelfSubjectAccessReview":
        user = User(spec.get("user") or "", spec.get("uid") or "",
                    tuple(spec.get("groups") or ()))
    asked = _attributes(spec)
    granted = authorization.allowed(user, asked, policy)
    return Reply(201, with_rest(body, status={"allowed": granted}))


def _attributes(spec: dict[str, Any]) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path:
        return Attributes(path.get("verb") or "", "", "", path=path.get("path") or "")
    what = spec.get("resourceAttributes") or {}
    resource = what.get("resource") or ""
    if what.get("subresource"):
        resource = f"{resource}/{what['subresource']}"
    return Attributes(what.get("verb") or "", what.get("group") or "", resource,
                      what.get("namespace") or "", what.get("name") or "")
