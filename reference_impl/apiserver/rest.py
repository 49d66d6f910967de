"""Stage one: from a request to the handler of its verb; reads are answered here.

Source: Kubernetes documentation, "Kubernetes API Concepts": verbs, resource versions in get, list
and watch, paging. A read without resource version is consistent: it asks etcd for its revision and
waits for the cache to have reached it (KEP-2340); one with a version is answered from the cache.
"""

from __future__ import annotations

from typing import Any

from model.api import selectors
from model.api.requests import (
    ObjectList,
    Options,
    Reply,
    Request,
    Status,
    bad_request,
    expired,
    failure,
    method_not_allowed,
    no_such_path,
    not_found,
)
from model.api.resources import Resource
from model.api.storage import KeyValue, Range, prefix_end
from model.kernel.errors import InputError
from model.kernel.values import EMPTY
from reference_impl.apiserver import storage
from reference_impl.apiserver.registry import transforms
from reference_impl.apiserver.state import State, Watcher

WRITES = frozenset(("create", "update", "patch", "delete", "deletecollection"))
_NAMED = frozenset(("get", "update", "patch", "delete"))
_SUBRESOURCE_VERBS = {"binding": ("create",), "eviction": ("create",), "token": ("create",),
                      "finalize": ("update",), "log": ("get",)}


def refused_path(request: Request, resource: Resource | None) -> Status | None:
    """The failure of a request that no handler exists for."""
    if resource is None:
        return no_such_path()
    subresource = request.subresource
    if subresource and subresource not in resource.subresources:
        return no_such_path()
    verb = request.verb
    if subresource:
        allowed = _SUBRESOURCE_VERBS.get(subresource, ("get", "update", "patch"))
        return None if verb in allowed else method_not_allowed()
    if verb in _NAMED and not request.name:
        return method_not_allowed()
    if verb == "create" and request.name:
        return method_not_allowed()
    if verb == "deletecollection" and resource.name in ("namespaces", "services"):
        return method_not_allowed()
    return None


def refused_body(request: Request, resource: Resource) -> Status | None:
    """The 400 of a body that does not fit its URL."""
    body = request.body
    if body is None or request.verb not in ("create", "update") or request.subresource in (
            "binding", "eviction"):
        return None
    if request.subresource not in ("scale", "token") and body.kind != resource.kind:
        return bad_request(f"the object provided is a {body.kind}, not a {resource.kind}")
    metadata = body.metadata
    if resource.namespaced and metadata.namespace and metadata.namespace != request.namespace:
        return bad_request("the namespace of the provided object does not match the namespace "
                           "sent on the request")
    if request.verb == "update":
        if not metadata.name:
            return bad_request("name must be provided")
        if metadata.name != request.name:
            return bad_request(f"the name of the object ({metadata.name}) does not match the name "
                               f"on the URL ({request.name})")
    return None


def refused_options(request: Request, resource: Resource) -> Status | None:
    """The failure of selectors and resource versions that cannot be understood."""
    options = request.options
    try:
        selectors.parse_labels(options.label_selector)
        selectors.check_fields(resource.kind, selectors.parse_fields(options.field_selector))
    except InputError as error:
        return bad_request(error.what)
    version = options.resource_version
    if version and not version.isdigit():
        return failure(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax')
    return None


# -- get ----------------------------------------------------------------------------------------

def cached_get(local: State, request: Request) -> Reply:
    """A get from the cache."""
    key = storage.cache_key(request.namespace, request.name)
    return shown(local.cache.get(request.resource, EMPTY).get(key), request)


def shown(obj: Any, request: Request) -> Reply:
    """The answer of a get: the object, or its scale."""
    if obj is None:
        return Reply(404, not_found(request.resource, request.name))
    if request.subresource == "scale":
        resource = storage.resource_named(request.resource)
        assert resource is not None, "routing checked the resource"
        return Reply(200, transforms.scale_of(obj, resource))
    return Reply(200, obj)


def live_get(request: Request) -> Range:
    """A get that asks etcd."""
    key = storage.cache_key(request.namespace, request.name)
    return Range(storage.storage_key(request.resource, key))


# -- list ---------------------------------------------------------------------------------------

def prefix_of(request: Request) -> str:
    """Where the objects of a list lie in etcd."""
    base = f"{storage.PREFIX}{request.resource}/"
    return f"{base}{request.namespace}/" if request.namespace else base


def cached_list(local: State, request: Request, resource: Resource) -> Reply:
    """A list of what the cache shows now."""
    options = request.options
    labels, fields, namespace = options.label_selector, options.field_selector, request.namespace
    objects = local.cache.get(request.resource, EMPTY)
    if namespace or labels or fields:
        items = tuple(obj for obj in objects.values()
                      if (not namespace or obj.metadata.namespace == namespace)
                      and storage.matches(labels, fields, obj))
    else:
        items = tuple(objects.values())
    return Reply(200, ObjectList(f"{resource.kind}List", items, str(local.revision), "", None,
                                 resource.api_version))


def is_paged(options: Options) -> bool:
    """Whether a list must be read from etcd at a revision."""
    return bool(options.limit or options.continue_ or options.resource_version_match == "Exact")


def page_request(request: Request) -> Range | Status:
    """The read of one page."""
    options = request.options
    prefix = prefix_of(request)
    start, revision = prefix, 0
    if options.continue_:
        token = _token(options.continue_)
        if token is None:
            return bad_request("continue key is not valid: the continue token is malformed")
        revision, start = token
    elif options.resource_version and options.resource_version != "0":
        revision = int(options.resource_version)
    # Selectors filter what was read, so a page with selectors reads everything that is left.
    selective = options.label_selector or options.field_selector
    limit = 0 if selective else options.limit
    return Range(start, prefix_end(prefix), revision, limit)


def _token(text: str) -> tuple[int, str] | None:
    revision, _, start = text.partition(":")
    return (int(revision), start) if revision.isdigit() and start else None


def page(request: Request, resource: Resource, kvs: tuple[KeyValue, ...], total: int,
         revision: int) -> Reply:
    """One page as a list, with the token of the next one."""
    options = request.options
    chosen: list[Any] = []
    following, left = "", None
    for at, kv in enumerate(kvs):
        if options.limit and len(chosen) == options.limit:
            following, left = f"{revision}:{kv.key}", total - at
            break
        obj = storage.decoded(kv)
        if storage.matches(options.label_selector, options.field_selector, obj):
            chosen.append(obj)
    if not following and options.limit and total > len(kvs):
        following, left = f"{revision}:{kvs[-1].key}\0", total - len(kvs)
    if options.label_selector or options.field_selector:
        left = None
    return Reply(200, ObjectList(f"{resource.kind}List", tuple(chosen), str(revision), following,
                                 left, resource.api_version))


def compacted() -> Status:
    """410: the revision of a page is gone."""
    return expired("The provided continue parameter is too old to display a consistent list "
                   "result. You can start a new list without the continue parameter.")


# -- watch --------------------------------------------------------------------------------------

def watcher_of(request: Request, client: str, lane: str, since: int) -> Watcher:
    """The watch that a request asks for."""
    options = request.options
    fields = options.field_selector
    if request.name:
        fields = f"{fields},metadata.name={request.name}" if fields else (
            f"metadata.name={request.name}")
    return Watcher(client, lane, request.resource, request.namespace, options.label_selector,
                   fields, since, options.allow_bookmarks)


def wants_initial_events(options: Options) -> bool:
    """Whether a watch begins with the present state, as ADDED events."""
    return options.send_initial_events or options.resource_version in (None, "", "0")

