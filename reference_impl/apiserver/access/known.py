"""What access control knows of the stored objects: the cache, and what was looked up in etcd."""

from __future__ import annotations

from typing import Any, NamedTuple

from model.kernel.values import EMPTY, FrozenMap


class LookUp(NamedTuple):
    """The cache does not know the object: read it from etcd, then ask again."""

    resource: str
    key: str


class Known(NamedTuple):
    """The server's cache at a time of its clock, with the objects that were read from etcd because
    the cache lacked them: (resource, key, object or None)."""

    cache: FrozenMap[str, FrozenMap[str, Any]]
    now: int
    found: tuple[tuple[str, str, Any], ...] = ()

    def get(self, resource: str, key: str) -> Any:
        """An object, None when there is none, or a LookUp when that must be asked of etcd."""
        for plural, name, obj in self.found:
            if plural == resource and name == key:
                return obj
        obj = self.cache.get(resource, EMPTY).get(key)
        return LookUp(resource, key) if obj is None else obj
