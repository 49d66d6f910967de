"""Sets of fields, and what is done with them: compare, merge and prune documents by their shapes.

A set is the tree that `fieldsV1` of a managed-fields entry is: `f:NAME` for a field, `k:{…}` for an
entry of a list by its keys, `v:…` for a member of a set; `{}` is a member without members below
it, a tree with "." is a member that has some. None is the empty set; the root is never a member.
Trees are never changed in place. Source: KEP-555 (server-side apply) and the API reference of
`FieldsV1`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from model.api.schema import (
    ATOMIC,
    FREE,
    FREE_SHAPE,
    KEYED,
    LIST,
    MAP,
    SCALAR,
    SET,
    STRUCT,
    Shape,
)

Tree = dict[str, Any]
SELF = "."
_LEAVES = frozenset((SCALAR, ATOMIC, LIST))


class DuplicateError(Exception):
    """A list that merges by key holds two entries of one key; the message names them."""


# -- algebra -------------------------------------------------------------------------------------

def _node(member: bool, children: Tree) -> Tree | None:
    if not children:
        return {} if member else None
    return {SELF: {}, **children} if member else children


def is_member(node: Tree) -> bool:
    """Whether the place of a node is itself in the set."""
    return not node or SELF in node


def _children(node: Tree) -> Iterator[tuple[str, Tree]]:
    return ((key, child) for key, child in node.items() if key != SELF)


def union(one: Tree | None, other: Tree | None) -> Tree | None:
    """What is in either set."""
    if one is None or other is None:
        return one if other is None else other
    children = {key: child for key, child in one.items() if key != SELF}
    for key, child in _children(other):
        children[key] = union(children.get(key), child) if key in children else child
    return _node(is_member(one) or is_member(other), children)


def difference(one: Tree | None, other: Tree | None) -> Tree | None:
    """What is in the first set and not in the second."""
    if one is None or other is None:
        return one
    children = {}
    for key, child in _children(one):
        left = difference(child, other.get(key))
        if left is not None:
            children[key] = left
    return _node(is_member(one) and not is_member(other), children)


def intersection(one: Tree | None, other: Tree | None) -> Tree | None:
    """What is in both sets."""
    if one is None or other is None:
        return None
    children = {}
    for key, child in _children(one):
        both = intersection(child, other.get(key))
        if both is not None:
            children[key] = both
    return _node(is_member(one) and is_member(other), children)


def paths(node: Tree | None, prefix: str = "") -> Iterator[str]:
    """The members as text: at each level those without members below them first."""
    if node is None:
        return
    named = sorted(_children(node))
    for key, child in named:
        if is_member(child):
            yield prefix + _element(key)
    for key, child in named:
        if child:
            yield from paths(child, prefix + _element(key))


def _element(key: str) -> str:
    kind, _, text = key.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    keys = json.loads(text)
    return "[" + ",".join(f"{name}={_text(value)}" for name, value in sorted(keys.items())) + "]"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# -- entries of lists ----------------------------------------------------------------------------

def entry_key(shape: Shape, entry: Any) -> str:
    """How a set names an entry of a keyed list, or a member of a set."""
    if shape.kind == SET:
        return "v:" + _text(entry)
    defaults = shape.key_defaults()
    keys = {}
    for name in shape.keys:
        value = entry.get(name) if isinstance(entry, dict) else None
        if value is None:
            value = defaults.get(name)
        if value is not None:
            keys[name] = value
    return "k:" + json.dumps(keys, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _indexed(shape: Shape, entries: Any) -> dict[str, Any]:
    """Key -> entry; of entries with one key the first."""
    found: dict[str, Any] = {}
    for entry in entries or ():
        found.setdefault(entry_key(shape, entry), entry)
    return found


def _item(shape: Shape) -> Shape:
    return shape.item or FREE_SHAPE


def _is_map(shape: Shape, value: Any) -> bool:
    return isinstance(value, dict) and shape.kind not in _LEAVES and shape.kind not in (SET, KEYED)


# -- sets of documents ---------------------------------------------------------------------------

def applied_set(value: Any, shape: Shape) -> Tree | None:
    """The fields that an applied document names: leaves, entries of lists, keys of maps."""
    if shape.kind in _LEAVES:
        return {}
    if shape.kind in (SET, KEYED):
        children: Tree = {}
        for entry in value or ():
            key = entry_key(shape, entry)
            if key in children:
                raise DuplicateError(f"duplicate entries for key {_element(key)}")
            children[key] = _with_self(applied_set(entry, _item(shape))
                                       if isinstance(entry, dict) else None)
        return _node(False, children)
    if not isinstance(value, dict):
        return {}
    children = {}
    for key, item in value.items():
        try:
            node = applied_set(item, shape.child(key) or FREE_SHAPE)
        except DuplicateError as error:
            raise DuplicateError(f".{key}{'' if str(error)[0] in '.[' else ': '}{error}") from None
        if item is None or item == {} or shape.kind in (MAP, FREE):
            node = _with_self(node)
        if node is not None:
            children["f:" + key] = node
    return _node(False, children)


def _with_self(node: Tree | None) -> Tree:
    return {SELF: {}, **node} if node else {}


def whole_set(value: Any, shape: Shape) -> Tree:
    """Everything in a value, its inner places too: what is new when the value is new."""
    children: Tree = {}
    if _is_map(shape, value):
        for key, item in value.items():
            children["f:" + key] = whole_set(item, shape.child(key) or FREE_SHAPE)
    elif shape.kind in (SET, KEYED):
        for key, entry in _indexed(shape, value).items():
            children[key] = whole_set(entry, _item(shape)) if isinstance(entry, dict) else {}
    return _node(True, children) or {}


def compared(old: Any, new: Any, shape: Shape) -> tuple[Tree | None, Tree | None]:
    """What was changed or added from one value to another, and what was removed."""
    if old is new:
        return None, None
    if shape.kind in (SET, KEYED):
        before, after = _indexed(shape, old), _indexed(shape, new)
        return _compared_children(before, after, lambda key: (key, _item(shape)))
    if not (_is_map(shape, old) or _is_map(shape, new)) or not (
            isinstance(old, (dict, type(None))) and isinstance(new, (dict, type(None)))):
        return (None if _same(old, new) else {}), None
    return _compared_children(old or {}, new or {}, lambda key: (
        "f:" + key, shape.child(key) or FREE_SHAPE))


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _compared_children(old: dict[str, Any], new: dict[str, Any],
                       place: Any) -> tuple[Tree | None, Tree | None]:
    changed: Tree = {}
    removed: Tree = {}
    for key, item in new.items():
        name, shape = place(key)
        if key not in old:
            changed[name] = whole_set(item, shape)
            continue
        inner, gone = compared(old[key], item, shape)
        if inner is not None:
            changed[name] = inner
        if gone is not None:
            removed[name] = gone
    for key, item in old.items():
        if key not in new:
            name, shape = place(key)
            removed[name] = whole_set(item, shape)
    return _node(False, changed), _node(False, removed)


# -- merging -------------------------------------------------------------------------------------

def merged(live: Any, config: Any, shape: Shape) -> Any:
    """The live value with an applied one laid over it."""
    if shape.kind in (SET, KEYED) and isinstance(live, list) and isinstance(config, list):
        return _merged_list(live, config, shape)
    if not _is_map(shape, config) or not isinstance(live, dict):
        return config
    result = dict(live)
    for key, item in config.items():
        if item is None:
            result.pop(key, None)
        elif key in live:
            result[key] = merged(live[key], item, shape.child(key) or FREE_SHAPE)
        else:
            result[key] = item
    return result


def _merged_list(live: list[Any], config: list[Any], shape: Shape) -> list[Any]:
    """Entries of both: shared ones in the order of the applied list; those that only the live list
    has stay before the shared entry that they stood before."""
    before, wanted = _indexed(shape, live), _indexed(shape, config)
    left, right = list(before), list(wanted)
    result: list[Any] = []
    at = 0
    for index, key in enumerate(right):
        shared = next((each for each in right[index:] if each in before), None)
        while at < len(left) and left[at] != shared:
            if left[at] not in wanted:
                result.append(before[left[at]])
            at += 1
        if key == shared:
            at += 1
        result.append(merged(before[key], wanted[key], _item(shape)) if key in before
                      else wanted[key])
    result.extend(before[key] for key in left[at:] if key not in wanted)
    return result


def pruned(value: Any, shape: Shape, last: Tree | None, owned: Tree | None) -> Any:
    """The value without what the applier owned before (`last`) and nobody owns now (`owned`).
    Structs, maps and lists that this leaves empty go too."""
    if last is None:
        return value
    if shape.kind in (SET, KEYED) and isinstance(value, list):
        kept = []
        for entry in value:
            key = entry_key(shape, entry)
            mine, held = last.get(key), _below(owned, key)
            if _drops(mine, held, False):
                continue
            kept.append(pruned(entry, _item(shape), mine, held)
                        if isinstance(entry, dict) else entry)
        return kept
    if not _is_map(shape, value):
        return value
    result = {}
    for key, item in value.items():
        mine, held = last.get("f:" + key), _below(owned, "f:" + key)
        if _drops(mine, held, shape.kind == STRUCT):
            continue
        left = pruned(item, shape.child(key) or FREE_SHAPE, mine, held)
        if left or left == item:
            result[key] = left
    return result


def _below(tree: Tree | None, key: str) -> Tree | None:
    return None if tree is None else tree.get(key)


def _drops(last: Tree | None, owned: Tree | None, named: bool) -> bool:
    """Whether a place goes. A field of a struct counts as owned when something below it is."""
    if last is None or not is_member(last):
        return False
    return owned is None or not (is_member(owned) or named)


def merge_all(trees: Iterable[Tree | None]) -> Tree | None:
    """What is in any of some sets."""
    result: Tree | None = None
    for tree in trees:
        result = union(result, tree)
    return result
