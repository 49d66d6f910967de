"""Is the server alive, healthy, ready: one line a check.

Source: Kubernetes documentation, "Kubernetes API health endpoints": individual checks under the
path of each, `verbose` names them all, `exclude` leaves one out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubeproof.http.engine import Engine
from model.kernel.world import UP

_TEXT = "text/plain; charset=utf-8"
_CHECKS = {"healthz": ("ping", "etcd"), "livez": ("ping", "etcd"),
           "readyz": ("ping", "etcd", "informer-sync")}


def _passes(check: str, engine: Engine) -> bool:
    world = engine.world
    if check == "etcd":
        return "etcd" not in world.names or world.status("etcd") == UP
    if check == "informer-sync":
        ready: Any = world["apiserver"].ready
        return bool(ready)
    return True


def answer(path: str, query: Mapping[str, str],
           engine: Engine) -> tuple[int, bytes, str] | None:
    """Code, content and media type; None when the path is no health check."""
    which, _, one = path.removeprefix("/").partition("/")
    if which not in _CHECKS:
        return None
    if one and one not in _CHECKS[which]:
        return 404, b"404 page not found\n", _TEXT
    chosen = (one,) if one else tuple(
        check for check in _CHECKS[which] if check != query.get("exclude"))
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
