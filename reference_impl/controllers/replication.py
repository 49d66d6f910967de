"""The replication controller: as many live pods as each ReplicationController wishes.

The machine is `reference_impl.lib.replicas`; here is what ReplicationControllers add: a selector
that is a plain map. Nobody owns them, so their pods have no siblings in other controllers. What is
not modelled stands there.
"""

from __future__ import annotations

from typing import Any

from model.api.records import Pairs
from model.api.scenario import Scenario
from model.api.selectors import selects
from model.kernel.component import Component
from reference_impl.lib.informer import Reflector
from reference_impl.lib.replicas import PODS, Owner, Replicas, home, orphan_namespace, owner_uid

RCS = "replicationcontrollers"


class Replication(Replicas):
    """See the head of this file."""

    name = "controllers/replication"
    source = "replication-controller"
    owners = RCS
    kind = "ReplicationController"
    reflectors = (
        Reflector(RCS, indexes={"namespace": home}),
        Reflector(PODS, indexes={"owner": owner_uid, "orphans": orphan_namespace}),
    )

    def chooses(self, owner: Owner, labels: Pairs | None) -> bool:
        selector: Any = None if owner.spec is None else owner.spec.selector
        return selects(selector, labels)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The replication controller of a cluster."""
    return (Replication(),)
