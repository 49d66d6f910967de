"""Is the server alive, healthy, ready: one line a check. And the list of all paths.

Source: Kubernetes documentation, "Kubernetes API health endpoints": individual checks under the
path of each, `verbose` names them all, `exclude` leaves one out. The hooks are those that a server
of release 1.32 runs at its start; here they are done when it has read its store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from kubeproof.http.engine import Engine
from model.kernel.world import UP

_TEXT = "text/plain; charset=utf-8"
_PLAIN = ("ping", "log", "etcd", "informer-sync", "shutdown", "autoregister-completion")
_HOOKS = (
    "start-apiserver-admission-initializer", "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer", "priority-and-fairness-filter",
    "storage-object-count-tracker-hook", "start-apiextensions-informers",
    "start-apiextensions-controllers", "crd-informer-synced", "start-system-namespaces-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "start-legacy-token-tracking-controller", "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer", "bootstrap-controller",
    "start-kube-aggregator-informers", "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller", "apiservice-registration-controller",
    "apiservice-wait-for-first-sync", "apiservice-discovery-controller",
    "kube-apiserver-autoregistration", "autoregister-completion", "apiservice-openapi-controller",
    "apiservice-openapiv3-controller")
_STARTED = tuple(hook if hook in _PLAIN else f"poststarthook/{hook}" for hook in _HOOKS)
_ALIVE = ("ping", "log", "etcd", *_STARTED)
CHECKS = {"healthz": _ALIVE, "livez": _ALIVE,
          "readyz": ("ping", "log", "informer-sync", *_STARTED, "shutdown")}


def _passes(check: str, engine: Engine) -> bool:
    world = engine.world
    if check == "etcd":
        return "etcd" not in world.names or world.status("etcd") == UP
    if check in ("ping", "log", "shutdown"):
        return True
    return bool(world["apiserver"].ready)


def answer(path: str, query: Mapping[str, str],
           engine: Engine) -> tuple[int, bytes, str] | None:
    """Code, content and media type; None when the path is no health check."""
    which, _, one = path.removeprefix("/").partition("/")
    if which not in CHECKS:
        return None
    if one and one not in CHECKS[which]:
        return 404, b"404 page not found\n", _TEXT
    chosen = (one,) if one else tuple(
        check for check in CHECKS[which] if check != query.get("exclude"))
    passed = {check: _passes(check, engine) for check in chosen}
    if all(passed.values()):
        if "verbose" not in query:
            return 200, b"ok", _TEXT
        lines = [f"[+]{check} ok" for check in chosen]
        lines.append(f"{which} check passed")
    else:
        lines = [f"[+]{check} ok" if fine else f"[-]{check} failed: reason withheld"
                 for check, fine in passed.items()]
        lines.append(f"{which} check failed")
    return 200 if all(passed.values()) else 500, ("\n".join(lines) + "\n").encode(), _TEXT


def index(group_versions: Iterable[str]) -> bytes:
    """The paths that the server has, as GET / lists them."""
    found = {"/.well-known/openid-configuration", "/api", "/apis", "/apis/", "/metrics",
             "/metrics/slis", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks",
             "/version"}
    for text in group_versions:
        group, _, _ = text.rpartition("/")
        found |= {f"/apis/{group}", f"/apis/{text}"} if group else {f"/api/{text}"}
    for which, checks in CHECKS.items():
        found |= {f"/{which}", *(f"/{which}/{check}" for check in checks)}
    return json.dumps({"paths": sorted(found)}, indent=2).encode()
