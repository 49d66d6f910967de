"""What an admission plug-in is told, and what it may answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.requests import Request
from model.api.resources import Resource
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver.access.known import LookUp
from reference_impl.apiserver.state import User

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"


class Attributes(NamedTuple):
    """A write on its way in. `old` is the stored object (never a changed one), `cache` what the
    server knows of all resources, `looked_up` an object that was read from etcd at the request of a
    plug-in: (resource, key, object or None). `token` is fresh entropy for generated names."""

    operation: str
    resource: Resource
    request: Request
    user: User
    namespace: str
    old: Any
    cache: FrozenMap[str, FrozenMap[str, Any]]
    looked_up: tuple[str, str, Any] | None
    release: tuple[int, int]
    suffix: str

    def known(self, resource: str, key: str) -> Any:
        """An object from the cache, or as it was looked up."""
        if self.looked_up is not None and self.looked_up[:2] == (resource, key):
            return self.looked_up[2]
        return self.cache.get(resource, EMPTY).get(key)

    def of_namespace(self, resource: str) -> list[Any]:
        """All objects of a resource in the namespace of the request, in the order of names."""
        return [obj for obj in self.cache.get(resource, EMPTY).values()
                if obj.metadata.namespace == self.namespace]


class WaitFor(NamedTuple):
    """The object will exist soon: wait a while for it, then ask again."""

    resource: str
    key: str


__all__ = ["CREATE", "DELETE", "UPDATE", "Attributes", "LookUp", "WaitFor"]
