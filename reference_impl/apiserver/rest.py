"""Stage one: from a request to the handler of its verb; reads are answered here.

Source: Kubernetes documentation, "Kubernetes API Concepts": verbs, resource versions in get, list
and watch, paging. A read without resource version is consistent: it asks etcd for its revision and
waits for the cache to have reached it (KEP-2340); one with a version is answered from the cache.
"""

from __future__ import annotations

import base64
import json
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
    field_forbidden,
    field_unsupported,
    invalid,
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


SERVICES_BY_COLLECTION = (1, 23)
"""The release since which services can be deleted as a collection."""


def routed(request: Request) -> Request:
    """The request as its handler takes it: a Binding that is created by itself names its pod, and
    an eviction may be rehearsed by the options of its deletion."""
    if request.resource == "bindings" and request.verb == "create" and request.body is not None:
        return request._replace(resource="pods", name=request.body.metadata.name or "",
                                subresource="binding")
    wanted = request.body.delete_options if request.subresource == "eviction" and \
        request.body is not None else None
    if wanted is not None and "All" in (wanted.dry_run or ()):
        return request._replace(options=request.options._replace(dry_run=True))
    return request


def refused_path(request: Request, resource: Resource | None,
                 release: tuple[int, int]) -> Status | None:
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
    if verb == "deletecollection" and (resource.name == "namespaces" or (
            resource.name == "services" and release < SERVICES_BY_COLLECTION)):
        return method_not_allowed()
    return None


def refused_body(request: Request, resource: Resource) -> Status | None:
    """The 400 of a body that does not fit its URL."""
    body = request.body
    if body is not None and request.verb == "create" and (
            request.subresource == "binding" or resource.name == "bindings"):
        return transforms.target_fault(body)
    if body is not None and request.subresource == "eviction" and request.name != (
            body.metadata.name or request.name):
        return bad_request("name in URL does not match name in Eviction object")
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
        fields = selectors.parse_fields(options.field_selector)
        fault = (_list_fault(request) if request.verb in ("list", "watch")
                 else _delete_fault(request))
        if fault is not None:
            return fault
        if resource.custom:
            selectors.check_custom_fields(fields)
        else:
            selectors.check_fields(resource.kind, fields)
    except InputError as error:
        return bad_request(error.what)
    version = options.resource_version
    if version and not version.isdigit():
        return failure(500, "", f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: '
                       f'parsing "{version}": invalid syntax')
    return None


def _list_fault(request: Request) -> Status | None:
    """The 422 of a resourceVersionMatch that does not fit the other options."""
    options, field = request.options, "resourceVersionMatch"
    match, causes = options.resource_version_match, []
    if request.verb == "watch":
        if options.continue_:
            causes.append(field_forbidden(field, f"{field} is forbidden when continue is provided"))
        if options.send_initial_events and match != "NotOlderThan":
            causes.append(field_forbidden(field, f"sendInitialEvents requires setting {field} to "
                                          "NotOlderThan"))
        if match and not options.send_initial_events:
            causes.append(field_forbidden(field, f"{field} is forbidden for watch unless "
                                          "sendInitialEvents is provided"))
        if match not in ("", "NotOlderThan"):
            causes.append(field_unsupported(field, match, ("NotOlderThan",)))
    elif match:
        if not options.resource_version:
            causes.append(field_forbidden(field, f"{field} is forbidden unless resourceVersion is "
                                          "provided"))
        if options.continue_:
            causes.append(field_forbidden(field, f"{field} is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            causes.append(field_unsupported(field, match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and options.resource_version == "0":
            causes.append(field_forbidden(field, f'{field} "exact" is forbidden for '
                                          'resourceVersion "0"'))
    return invalid("ListOptions", "meta.k8s.io", "", tuple(causes)) if causes else None


_POLICIES = ("Foreground", "Background", "Orphan")


def _delete_fault(request: Request) -> Status | None:
    """The 422 of a deletion with a policy that there is not."""
    policy = request.options.propagation_policy
    if not policy or policy in _POLICIES:
        return None
    return invalid("DeleteOptions", "meta.k8s.io", "", (field_unsupported(
        "propagationPolicy", policy, (*_POLICIES, "nil")),))


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
        return Reply(200, transforms.scale_of(obj))
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
        token = continued(options.continue_)
        if type(token) is Status:
            return token
        revision, start = token[0], prefix + token[1]
    elif options.resource_version and options.resource_version != "0":
        revision = int(options.resource_version)
    # Selectors filter what was read, so a page with selectors reads everything that is left.
    selective = options.label_selector or options.field_selector
    limit = 0 if selective else options.limit
    return Range(start, prefix_end(prefix), revision, limit)


_NO_TOKEN = "invalid continue token: continue key is not valid: "
LATEST = -1
"""The revision in a token that goes on from whatever is stored now."""


def token_of(revision: int, start: str) -> str:
    """The continue token of the page after: a revision, and the key within the list's prefix."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start},
                      separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def continued(text: str) -> Any:
    """Revision (0: the newest) and key of a continue token; the 400 when it is none."""
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")
    except ValueError:
        return bad_request(f"{_NO_TOKEN}illegal base64 data at input byte {len(text) // 4 * 4}")
    try:
        token = json.loads(decoded)
        version, revision, start = token["v"], token["rv"], token["start"]
    except (ValueError, TypeError, KeyError):
        return bad_request(f"{_NO_TOKEN}invalid character {go_character(decoded[:1])} looking for "
                           "beginning of value")
    if version != "meta.k8s.io/v1" or type(revision) is not int or type(start) is not str:
        return bad_request(f"{_NO_TOKEN}server does not recognize this encoded version {version}")
    if revision == 0:
        return bad_request("invalid continue token: incorrect encoded resourceVersion in "
                           f"continueToken (version {version})")
    return max(0, revision), start


def go_character(char: str) -> str:
    """A character as Go's JSON decoder shows it."""
    if char in ("'", '"'):
        return "'\\''" if char == "'" else "'\"'"
    if char.isascii() and char.isprintable():
        return f"'{char}'"
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
    return f"'{short}'" if short else f"'\\u{ord(char or chr(0)):04x}'"


def page(request: Request, resource: Resource, kvs: tuple[KeyValue, ...], total: int,
         revision: int) -> Reply:
    """One page as a list, with the token of the next one."""
    options = request.options
    chosen: list[Any] = []
    following, left = "", None
    for at, kv in enumerate(kvs):
        if options.limit and len(chosen) == options.limit:
            following, left = token_of(revision, _within(request, kvs[at - 1].key)), total - at
            break
        obj = storage.decoded(kv)
        if storage.matches(options.label_selector, options.field_selector, obj):
            chosen.append(obj)
    if not following and options.limit and total > len(kvs):
        following, left = token_of(revision, _within(request, kvs[-1].key)), total - len(kvs)
    if options.label_selector or options.field_selector:
        left = None
    return Reply(200, ObjectList(f"{resource.kind}List", tuple(chosen), str(revision), following,
                                 left, resource.api_version))


def _within(request: Request, key: str) -> str:
    """The key right after `key`, without the prefix of the list."""
    return key[len(prefix_of(request)):] + "\0"


def compacted(request: Request) -> Status:
    """410: the revision of a page is gone. A client that had begun may go on, inconsistently."""
    text = request.options.continue_
    if not text:
        return expired("The resourceVersion for the provided list is too old.")
    token = continued(text)
    return expired(
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list."
    )._replace(continue_=token_of(LATEST, token[1]))


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

