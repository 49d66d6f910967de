"""Requests to the API server and its answers, with Kubernetes' status codes, reasons and texts.

Source: Kubernetes API conventions ("Response Status Kind") and the answers of release 1.32; the
message texts are those of apimachinery's `errors.New...`, which clients match on.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from model.api.metadata import Metadata
from model.api.objects import (
    BY_GROUP_RESOURCE,
    BY_NAME,
    Key,
    Resource,
    Scale,
    ScaleSpec,
    freeze,
    resource_of,
    thaw,
)
from model.kernel.errors import InputError

Verb = Literal["create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"]
VERBS: tuple[Verb, ...] = ("create", "get", "list", "watch", "update", "patch", "delete",
                           "deletecollection")
READ_VERBS = ("get", "list", "watch")


class Options(NamedTuple):
    """The query parameters of a request and the fields of DeleteOptions, absent by default.

    Selectors are text as on the wire. `resource_version` None means: not given (most recent).
    `propagation_policy` is Background, Foreground or Orphan; `dry_run` is true for "All".
    """

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str | None = None
    resource_version_match: str = ""
    limit: int = 0
    continue_: str = ""
    allow_bookmarks: bool = False
    send_initial_events: bool = False
    timeout_seconds: int | None = None
    grace_period_seconds: int | None = None
    precondition_uid: str | None = None
    precondition_resource_version: str | None = None
    propagation_policy: str = ""
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = ""
    force: bool = False


NO_OPTIONS = Options()


class Patch(NamedTuple):
    """The body of a patch: which of the four media types it has, and its JSON bytes."""

    type: Literal["merge", "strategic", "json", "apply"]
    document: bytes


class Impersonation(NamedTuple):
    """Whom a client wishes to be taken for, as its Impersonate headers say."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Request(NamedTuple):
    """One request to the API server.

    `resource` is the plural (`pods`), or `plural.group` where the plural alone is ambiguous.
    `namespace` is "" for the cluster or all namespaces; `name` is "" for collections. `body` is an
    object, a Patch or None. `token` is the id of a bearer token; "" means whoever the connection
    belongs to, so that built-in components are known by their name. `impersonate` is whom the
    client acts for, None for itself.
    """

    verb: Verb
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    body: Any = None
    options: Options = NO_OPTIONS
    token: str = ""
    impersonate: Impersonation | None = None


class Cause(NamedTuple):
    """One fault of an object: `reason` as in FieldValueInvalid, `message`, and the field's path."""

    reason: str
    message: str
    field: str


class Status(NamedTuple):
    """An answer that is no object: every failure, and the success of some deletes."""

    kind: str = "Status"
    code: int = 200
    reason: str = ""
    message: str = ""
    name: str = ""
    group: str = ""
    details_kind: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0
    continue_: str = ""

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.code < 400


class ObjectList(NamedTuple):
    """A page of a collection; `kind` is for example PodList."""

    kind: str
    items: tuple[Any, ...] = ()
    resource_version: str = ""
    continue_: str = ""
    remaining_item_count: int | None = None
    api_version: str = "v1"


class Reply(NamedTuple):
    """The answer to a request: the HTTP status code and an object, an ObjectList or a Status.
    `warnings` are told to clients outside the cluster only."""

    code: int
    body: Any
    warnings: tuple[str, ...] = ()


class WatchEvent(NamedTuple):
    """One event of a watch. BOOKMARK carries only a resource version, ERROR a Status."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: Any


def lookup(resource: str) -> Resource:
    """The resource with this plural or `plural.group`; for one that is not built in, what its name
    tells. InputError when that is nothing."""
    found = BY_NAME.get(resource) or BY_GROUP_RESOURCE.get(resource)
    if found is None and "." in resource:
        plural, _, group = resource.partition(".")
        return Resource(plural, plural, group, "", True, custom=True)
    if found is None:
        raise InputError(f'the server does not have a resource type "{resource}"')
    return found


def failed(reply: Any) -> bool:
    """Whether a reply tells of a failure."""
    return isinstance(reply, Reply) and reply.code >= 400


# ---- building requests -------------------------------------------------------------------------


def create(obj: Any, *, namespace: str = "", options: Options = NO_OPTIONS) -> Request:
    """Create an object, in the namespace that it names unless another is given."""
    return Request("create", _name_of(resource_of(obj)), namespace or obj.metadata.namespace or "",
                   "", "", obj, options)


def get(resource: str, namespace: str, name: str, subresource: str = "") -> Request:
    """Read one object."""
    return Request("get", resource, namespace, name, subresource)


def list_(resource: str, namespace: str = "", options: Options = NO_OPTIONS) -> Request:
    """Read a collection; all namespaces when `namespace` is ""."""
    return Request("list", resource, namespace, "", "", None, options)


def watch(resource: str, resource_version: str, namespace: str = "",
          options: Options = NO_OPTIONS) -> Request:
    """Watch a collection from a resource version on, with bookmarks."""
    chosen = options._replace(resource_version=resource_version, allow_bookmarks=True)
    return Request("watch", resource, namespace, "", "", None, chosen)


def update(obj: Any, subresource: str = "") -> Request:
    """Replace an object; its resource version, when set, must still be the current one."""
    metadata = obj.metadata
    return Request("update", _name_of(resource_of(obj)), metadata.namespace or "",
                   metadata.name or "", subresource, obj)


def update_status(obj: Any) -> Request:
    """Replace the status of an object and nothing else."""
    return update(obj, "status")


def patch(resource: str, namespace: str, name: str, body: Patch, subresource: str = "",
          options: Options = NO_OPTIONS) -> Request:
    """Change parts of an object."""
    return Request("patch", resource, namespace, name, subresource, body, options)


def delete(resource: str, namespace: str, name: str, *, uid: str | None = None,
           grace_period_seconds: int | None = None, propagation_policy: str = "",
           resource_version: str | None = None) -> Request:
    """Delete an object, only while it still has `uid` and `resource_version` where given."""
    options = NO_OPTIONS
    if (uid, grace_period_seconds, propagation_policy, resource_version) != (None, None, "", None):
        options = Options(precondition_uid=uid, grace_period_seconds=grace_period_seconds,
                          propagation_policy=propagation_policy,
                          precondition_resource_version=resource_version)
    return Request("delete", resource, namespace, name, "", None, options)


def bind(namespace: str, pod: str, binding: Any) -> Request:
    """Bind a pod to a node through the pod's binding subresource."""
    return Request("create", "pods", namespace, pod, "binding", binding)


def evict(namespace: str, pod: str, eviction: Any) -> Request:
    """Delete a pod if its disruption budgets allow it."""
    return Request("create", "pods", namespace, pod, "eviction", eviction)


def scale(resource: str, namespace: str, name: str, replicas: int,
          resource_version: str | None = None) -> Request:
    """Set the number of replicas through the scale subresource."""
    metadata = Metadata(name=name, namespace=namespace, resource_version=resource_version)
    return Request("update", resource, namespace, name, "scale",
                   Scale(metadata=metadata, spec=ScaleSpec(replicas)))


def _name_of(resource: Resource) -> str:
    return resource.name if BY_NAME[resource.name] is resource else resource.group_resource


def describe(request: Request) -> str:
    """A request as one line, for traces and messages: `create pods default/web-1`."""
    what = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    name = request.name
    if not name and request.verb == "create" and request.body is not None:
        metadata = request.body.metadata
        name = metadata.name or f"{metadata.generate_name or ''}*"
    where = str(Key(request.namespace, name)) if name else request.namespace
    return " ".join(part for part in (request.verb, what, where) if part)


# ---- failures, in the words of Kubernetes 1.32 -------------------------------------------------


def failure(code: int, reason: str, message: str) -> Status:
    """A failure with no details."""
    return Status(code=code, reason=reason, message=message)


def _about(code: int, reason: str, resource: str, name: str, message: str,
           causes: tuple[Cause, ...] = ()) -> Status:
    found = lookup(resource)
    return Status("Status", code, reason, message, name, found.group, found.name, "", causes)


def _qualified(resource: str) -> str:
    return lookup(resource).group_resource


def not_found(resource: str, name: str) -> Status:
    """404: no such object."""
    return _about(404, "NotFound", resource, name, f'{_qualified(resource)} "{name}" not found')


def no_such_path() -> Status:
    """404: no such resource or URL at all."""
    return failure(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: str, name: str, being_deleted: bool = False) -> Status:
    """409: the name is taken."""
    head = "object is being deleted: " if being_deleted else ""
    return _about(409, "AlreadyExists", resource, name,
                  f'{head}{_qualified(resource)} "{name}" already exists')


MODIFIED = ("the object has been modified; please apply your changes to the latest version and "
            "try again")


def conflict(resource: str, name: str, why: str = MODIFIED) -> Status:
    """409: the object is no longer the one that the client saw."""
    return _about(409, "Conflict", resource, name,
                  f'Operation cannot be fulfilled on {_qualified(resource)} "{name}": {why}')


def forbidden(resource: str, name: str, why: str, causes: tuple[Cause, ...] = ()) -> Status:
    """403: authorization or admission refuses."""
    named = f' "{name}"' if name else ""
    return _about(403, "Forbidden", resource, name,
                  f"{_qualified(resource)}{named} is forbidden: {why}", causes)


def invalid(kind: str, group: str, name: str, causes: tuple[Cause, ...]) -> Status:
    """422: validation found these faults, in this order."""
    # The message names each fault once, the causes list it as often as it was found.
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    return Status("Status", 422, "Invalid", f'{qualified} "{name}" is invalid: {listed}', name,
                  group, kind, "", causes)


def bad_request(message: str) -> Status:
    """400: the request cannot be understood."""
    return failure(400, "BadRequest", message)


def unauthorized() -> Status:
    """401: the credential is unknown or no longer valid."""
    return failure(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> Status:
    """405: the resource has no such verb."""
    return failure(405, "MethodNotAllowed",
                   "the server does not allow this method on the requested resource")


def expired(message: str) -> Status:
    """410: the resource version is gone, list again."""
    return failure(410, "Expired", message)


def too_old(requested: int, oldest: int) -> Status:
    """410 of a watch that starts before what the server still remembers."""
    return expired(f"too old resource version: {requested} ({oldest})")


def too_large(requested: int, current: int) -> Status:
    """504: the client asks for a future that the server has not seen."""
    cause = Cause("ResourceVersionTooLarge", "Too large resource version", "")
    return Status(code=504, reason="Timeout", causes=(cause,), retry_after_seconds=1,
                  message=f"Timeout: Too large resource version: {requested}, current: {current}")


def budget_exhausted(budget: str, why: str) -> Status:
    """429: an eviction that a disruption budget does not allow now."""
    return Status(code=429, reason="TooManyRequests", retry_after_seconds=0,
                  message="Cannot evict pod as it would violate the pod's disruption budget.",
                  causes=(Cause("DisruptionBudget", f"The disruption budget {budget} {why}", ""),))


def timed_out(message: str) -> Status:
    """504: the server gave up on the request."""
    return failure(504, "Timeout", f"Timeout: {message}")


def internal_error(message: str) -> Status:
    """500: the server itself failed."""
    return Status(code=500, reason="InternalError", causes=(Cause("", message, ""),),
                  message=f"Internal error occurred: {message}")


def success(resource: str, name: str, uid: str) -> Status:
    """What a delete answers when the object went at once."""
    return _about(200, "", resource, name, "")._replace(uid=uid)


def refused(status: Status) -> Reply:
    """The reply that carries a status."""
    return Reply(status.code, status)


# ---- faults of a field, as validation words them -----------------------------------------------


def field_required(field: str, detail: str = "") -> Cause:
    """A field that must be set is not."""
    return Cause("FieldValueRequired", f"Required value: {detail}" if detail else "Required value",
                 field)


def field_invalid(field: str, value: Any, detail: str) -> Cause:
    """A field has a value that breaks a rule."""
    return Cause("FieldValueInvalid", f"Invalid value: {_shown(value)}: {detail}", field)


def field_unsupported(field: str, value: Any, supported: tuple[str, ...]) -> Cause:
    """A field has a value outside its finite set."""
    listed = ", ".join(f'"{each}"' for each in supported)
    return Cause("FieldValueNotSupported",
                 f"Unsupported value: {_shown(value)}: supported values: {listed}", field)


def field_duplicate(field: str, value: Any) -> Cause:
    """A value that must be unique in its list is not."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", field)


def field_forbidden(field: str, detail: str) -> Cause:
    """A field must not be set, or not be changed."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


# ---- documents ---------------------------------------------------------------------------------


def status_document(status: Status) -> dict[str, Any]:
    """A Status as the server sends it."""
    metadata = {"continue": status.continue_} if status.continue_ else {}
    document: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": metadata,
                                "status": "Success" if status.ok else "Failure"}
    if status.message:
        document["message"] = status.message
    if status.reason:
        document["reason"] = status.reason
    details = {key: value for key, value in (
        ("name", status.name), ("group", status.group), ("kind", status.details_kind),
        ("uid", status.uid), ("causes", [_cause_document(cause) for cause in status.causes]),
        ("retryAfterSeconds", status.retry_after_seconds)) if value}
    if details:
        document["details"] = details
    if not status.ok:
        document["code"] = status.code
    return document


def _cause_document(cause: Cause) -> dict[str, str]:
    return {key: value for key, value in (("reason", cause.reason), ("message", cause.message),
                                          ("field", cause.field)) if value}


def list_document(page: ObjectList) -> dict[str, Any]:
    """An ObjectList as the server sends it."""
    metadata: dict[str, Any] = {"resourceVersion": page.resource_version}
    if page.continue_:
        metadata["continue"] = page.continue_
    if page.remaining_item_count is not None:
        metadata["remainingItemCount"] = page.remaining_item_count
    return {"kind": page.kind, "apiVersion": page.api_version, "metadata": metadata,
            "items": [thaw(item) for item in page.items]}


def document_of(body: Any) -> dict[str, Any]:
    """Any body of a reply or event as a JSON document."""
    if isinstance(body, Status):
        return status_document(body)
    if isinstance(body, ObjectList):
        return list_document(body)
    return thaw(body)


def list_kind(resource: str) -> str:
    """The kind of a collection: PodList."""
    return f"{lookup(resource).kind}List"


def objects_in(document: Any) -> tuple[Any, ...]:
    """The objects of a document: the items of a List, else the object itself. InputError as
    `freeze`."""
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and \
            isinstance(document.get("items"), list):
        item_kind = str(document["kind"])[:-4]
        version = str(document.get("apiVersion", ""))
        return tuple(freeze(item, kind=item_kind, api_version=version)
                     for item in document["items"])
    return (freeze(document),)
