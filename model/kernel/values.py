"""The map inside worlds: persistent, iterated in key order, hashed incrementally, diffed cheaply.

A write copies one small dict. Up to `_SMALL` entries that is the whole map; beyond, entries are
spread over `_BUCKETS` dicts, so that a write stays below two microseconds at thousands of entries.
The bucket of a key depends on the process's string hash; nothing that is observable does.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from operator import is_not
from typing import Any, Generic, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

DIGEST_BYTES = 8
_SMALL = 48
_BUCKETS = 32
_KEYS_KEPT = 400  # above, copying the sorted keys at each new key costs more than a write
_MASK = _BUCKETS - 1
_MISSING: Any = object()
_new = object.__new__
_DIFFS_KEPT = 4
_last_diffs: list[tuple[Any, Any, list[tuple[Any, Any, Any]]]] = []


class FrozenMap(Generic[K, V]):
    """An immutable mapping from comparable keys (strings, integers or tuples of them) to values."""

    __slots__ = ("_hash", "_keys", "_one", "_parts", "_size")
    _one: dict[K, V] | None  # the only part; None when there are several
    _parts: tuple[dict[K, V], ...]
    _size: int
    _hash: int | None
    _keys: tuple[K, ...] | None

    def __init__(self, entries: Iterable[tuple[K, V]] = ()) -> None:
        data = dict(entries)
        self._parts = (data,) if len(data) <= _SMALL else _spread(data)
        self._one = data if len(data) <= _SMALL else None
        self._size = len(data)
        self._hash = None
        self._keys = None

    @staticmethod
    def _make(parts: tuple[dict[K, V], ...], size: int, keys: tuple[K, ...] | None,
              digest: int | None) -> FrozenMap[K, V]:
        self: FrozenMap[K, V] = _new(FrozenMap)
        self._parts = parts
        self._one = parts[0] if len(parts) == 1 else None
        self._size = size
        self._keys = keys
        self._hash = digest
        return self

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: K) -> bool:
        one = self._one
        return key in (one if one is not None else self._parts[hash(key) & _MASK])

    def __getitem__(self, key: K) -> V:
        one = self._one
        return one[key] if one is not None else self._parts[hash(key) & _MASK][key]

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value at `key`, else `default`."""
        one = self._one
        if one is not None:
            return one.get(key, default)
        return self._parts[hash(key) & _MASK].get(key, default)

    def keys(self) -> tuple[K, ...]:
        """All keys in order; kept until the set of keys changes."""
        keys = self._keys
        if keys is None:
            keys = self._keys = _sorted_keys(self._parts)
        return keys

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def values(self) -> Iterator[V]:
        """All values in the order of their keys."""
        return map(self._reader(), self.keys())

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries in the order of their keys."""
        keys = self.keys()
        return zip(keys, map(self._reader(), keys), strict=True)

    def _reader(self) -> Callable[[K], V]:
        one = self._one
        return one.__getitem__ if one is not None else self.__getitem__

    def set(self, key: K, value: V) -> FrozenMap[K, V]:
        """The map with `value` at `key`; the same object when it stands there already."""
        one, where = self._one, 0
        if one is None:
            where = hash(key) & _MASK
            part = self._parts[where]
        else:
            part = one
        old = part.get(key, _MISSING)
        if old is value:
            return self
        changed = part.copy()
        changed[key] = value
        digest = self._hash
        if digest is not None:
            digest ^= hash((key, value))
            if old is not _MISSING:
                digest ^= hash((key, old))
        result: FrozenMap[K, V] = _new(FrozenMap)
        result._hash = digest
        if old is not _MISSING:
            result._size, result._keys = self._size, self._keys
        else:
            result._size = size = self._size + 1
            keys = self._keys
            result._keys = None if keys is None else _inserted(keys, key)
            if size == _SMALL + 1 and one is not None:
                result._one, result._parts = None, _spread(changed)
                return result
        if one is not None:
            result._one, result._parts = changed, (changed,)
        else:
            parts = self._parts
            result._one, result._parts = None, (*parts[:where], changed, *parts[where + 1:])
        return result

    def drop(self, key: K) -> FrozenMap[K, V]:
        """The map without `key`; the same object when it is not there."""
        parts = self._parts
        where = 0 if len(parts) == 1 else hash(key) & _MASK
        part = parts[where]
        if key not in part:
            return self
        changed = part.copy()
        old = changed.pop(key)
        digest = self._hash
        if digest is not None:
            digest ^= hash((key, old))
        size, keys = self._size - 1, _removed(self._keys, key)
        if len(parts) == 1:
            return FrozenMap._make((changed,), size, keys, digest)
        rest = (*parts[:where], changed, *parts[where + 1:])
        if size <= _SMALL:
            rest = ({k: v for each in rest for k, v in each.items()},)
        return FrozenMap._make(rest, size, keys, digest)

    def update(self, entries: Iterable[tuple[K, V]]) -> FrozenMap[K, V]:
        """The map with all `entries` set."""
        result = self
        for key, value in entries:
            result = result.set(key, value)
        return result

    def diff(self, newer: FrozenMap[K, V]) -> list[tuple[K, V | None, V | None]]:
        """What changed from here to `newer`: (key, old or None, new or None), in key order.

        Costs one copied dict for maps that are a few writes apart, whatever their size. Values
        that are the same object count as unchanged; others are compared. The last answers are
        kept, since many properties ask about the same step: take the list as it is.
        """
        if self is newer:
            return []
        for old, new, changes in _last_diffs:
            if old is self and new is newer:
                return changes
        changes = self._diff(newer)
        _last_diffs.insert(0, (self, newer, changes))
        del _last_diffs[_DIFFS_KEPT:]
        return changes

    def _diff(self, newer: FrozenMap[K, V]) -> list[tuple[K, V | None, V | None]]:
        mine, theirs = self._parts, newer._parts
        if len(mine) != len(theirs):
            mine, theirs = (_joined(mine),), (_joined(theirs),)
        changes: list[tuple[K, V | None, V | None]] = []
        pairs: Iterable[tuple[dict[K, V], dict[K, V]]] = zip(mine, theirs, strict=True)
        if len(mine) > 1:
            pairs = compress(pairs, map(is_not, mine, theirs))
        for old, new in pairs:
            added = 0
            known = old.get
            for key, value in new.items():
                before = known(key, _MISSING)
                if before is value:
                    continue
                if before is _MISSING:
                    added += 1
                    changes.append((key, None, value))
                elif before != value:
                    changes.append((key, before, value))
            if len(old) + added > len(new):
                changes.extend((key, old[key], None) for key in old if key not in new)
        if len(changes) > 1:
            changes.sort(key=_key_of)
        return changes

    def __hash__(self) -> int:
        digest = self._hash
        if digest is None:
            digest = 0
            for part in self._parts:
                for entry in part.items():
                    digest ^= hash(entry)
            self._hash = digest
        return digest

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, FrozenMap):
            return NotImplemented
        if self._size != other._size:
            return False
        if self._hash is not None and other._hash is not None and self._hash != other._hash:
            return False
        mine, theirs = self._parts, other._parts
        if len(mine) != len(theirs):
            return _joined(mine) == _joined(theirs)
        return all(a is b or a == b for a, b in zip(mine, theirs, strict=True))

    def __repr__(self) -> str:
        return "FrozenMap({" + ", ".join(f"{k!r}: {v!r}" for k, v in self.items()) + "})"

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenMap, (tuple(self.items()),)


EMPTY: FrozenMap[Any, Any] = FrozenMap()


def _spread(data: dict[K, V]) -> tuple[dict[K, V], ...]:
    parts: tuple[dict[K, V], ...] = tuple({} for _ in range(_BUCKETS))
    for key, value in data.items():
        parts[hash(key) & _MASK][key] = value
    return parts


def _joined(parts: tuple[dict[K, V], ...]) -> dict[K, V]:
    return parts[0] if len(parts) == 1 else {k: v for part in parts for k, v in part.items()}


def _key_of(change: tuple[Any, Any, Any]) -> Any:
    return change[0]


def _sorted_keys(parts: tuple[dict[Any, Any], ...]) -> tuple[Any, ...]:
    return tuple(sorted(key for part in parts for key in part))


def _inserted(keys: tuple[Any, ...], key: Any) -> tuple[Any, ...] | None:
    if len(keys) > _KEYS_KEPT:
        return None
    at = bisect_left(keys, key)
    return (*keys[:at], key, *keys[at:])


def _removed(keys: tuple[Any, ...] | None, key: Any) -> tuple[Any, ...] | None:
    if keys is None or len(keys) > _KEYS_KEPT:
        return None
    at = bisect_left(keys, key)
    return keys[:at] + keys[at + 1:]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def stable_digest(text: str) -> str:
    """A digest for files, the same in every process (16 hexadecimal digits)."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
