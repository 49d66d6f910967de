"""What the etcd member promises, and the bugs that the promises catch."""

from __future__ import annotations

from model.kernel.mutant import Mutant
from reference_impl.etcd.log import EventLog

STORE = "reference_impl.etcd.store"


def tombstones_of_the_compacted_revision_go(log: EventLog, revision: int) -> EventLog:
    return EventLog(tuple(event for event in log.since(revision)
                          if event.type == "PUT" or event.kv.mod_revision > revision))


MUTANTS = (
    Mutant("watch-delete-lost-at-compact-rev", "etcd-watch-delete-lost-at-compact-rev",
           "the_log_holds_every_event_since_the_compaction",
           ((f"{STORE}:kept_after_compaction", tombstones_of_the_compacted_revision_go),)),
)
