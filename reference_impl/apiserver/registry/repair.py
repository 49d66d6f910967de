"""Stage three: the repair loop gives back addresses and ports that no stored service holds.

It reads the ranges and the services from etcd at one revision. An entry without a holder may belong
to a service that is just being created, so it is released only after it was seen so several times
(kubernetes/kubernetes#37488).
"""

from __future__ import annotations

from typing import Any

from model.api.storage import Range, RangeReply, Txn, TxnReply, prefix_end
from model.kernel.component import Io
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver import storage
from reference_impl.apiserver.registry import allocators
from reference_impl.apiserver.registry.allocators import ADDRESSES, PORTS, RANGES
from reference_impl.apiserver.state import State

LANE = "repair"
TIMER = "idle:repair"
EVERY_MS = 180_000
SIGHTINGS_TO_RELEASE = 3


def begin(local: State, io: Io) -> State:
    """Read ranges and services in one transaction."""
    prefix = f"{storage.PREFIX}services/"
    io.request("etcd", LANE, Txn((), (
        Range(storage.storage_key(RANGES, ADDRESSES)), Range(storage.storage_key(RANGES, PORTS)),
        Range(prefix, prefix_end(prefix)))))
    return local


def continued(local: State, answer: Any, io: Io) -> State:
    """Count what nobody holds; release what was counted often enough, one range at a time."""
    io.after(EVERY_MS, TIMER)
    if type(answer) is not TxnReply or len(answer.replies) != 3:
        return local
    addresses, ports, listed = answer.replies
    if type(listed) is not RangeReply:
        return local
    services = FrozenMap((kv.key, kv.value) for kv in listed.kvs)
    suspects: FrozenMap[tuple[str, str], int] = EMPTY
    asked = False
    for key, found in ((ADDRESSES, addresses), (PORTS, ports)):
        if type(found) is not RangeReply or not found.kvs:
            continue
        range_ = storage.decoded(found.kvs[0])
        held = allocators.held_by_others(services, key, "")
        loose = allocators.unheld(range_, held)
        for entry in loose:
            suspects = suspects.set((key, entry), local.suspects.get((key, entry), 0) + 1)
        ripe = due(suspects, key)
        if ripe and not asked:
            asked = True
            changed = allocators.release(range_, ripe, held)
            io.request("etcd", LANE, storage.replacing(storage.storage_key(RANGES, key), range_,
                                                       changed))
            for entry in ripe:
                suspects = suspects.drop((key, entry))
    return local if suspects == local.suspects else local._replace(suspects=suspects)


def due(suspects: FrozenMap[tuple[str, str], int], key: str) -> tuple[str, ...]:
    """The entries of a range that were without a holder often enough."""
    return tuple(entry for (range_key, entry), count in suspects.items()
                 if range_key == key and count >= SIGHTINGS_TO_RELEASE)
