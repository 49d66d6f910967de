"""The ReplicaSet controller: as many live pods as each ReplicaSet wishes.

Source: Kubernetes 1.32, pkg/controller/replicaset, and "ReplicaSet" in the documentation. The
machine is `reference_impl.lib.replicas`; here is what ReplicaSets add: a selector with expressions,
and the rank of victims by related pods on their node. Related are the live pods of all ReplicaSets
that have the same owner, so a Deployment thins out where it is crowded.

The controller takes part where the scenario's setting `workloads` is "yes". What is not modelled
stands with the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.api.records import Pairs
from model.api.scenario import Scenario
from model.api.selectors import from_object, matches
from model.kernel.component import Component
from reference_impl.lib.informer import Reflector
from reference_impl.lib.replicas import (
    PODS,
    Owner,
    Replicas,
    State,
    home,
    is_active,
    orphan_namespace,
    owner_uid,
)

SETS = "replicasets"


class ReplicaSets(Replicas):
    """See the head of this file."""

    name = "controllers/replica-set"
    source = "replicaset-controller"
    owners = SETS
    kind = "ReplicaSet"
    reflectors = (
        Reflector(SETS, indexes={"namespace": home, "owner": owner_uid}),
        Reflector(PODS, indexes={"owner": owner_uid, "orphans": orphan_namespace}),
    )

    def chooses(self, owner: Owner, labels: Pairs | None) -> bool:
        selector: Any = None if owner.spec is None else owner.spec.selector
        return bool(selector) and matches(from_object(selector), labels)

    def siblings(self, local: State, owner: Owner) -> Mapping[str, int]:
        deployment = owner_uid(owner)
        if deployment is None:
            return {}
        counts: dict[str, int] = {}
        pods = self.reflector(PODS)
        for each in self.reflector(SETS).by(local.caches[SETS], "owner", deployment):
            for pod in pods.by(local.caches[PODS], "owner", each.metadata.uid or ""):
                node = pod.spec.node_name if pod.spec is not None else None
                if node and is_active(pod):
                    counts[node] = counts.get(node, 0) + 1
        return counts


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The ReplicaSet controller, where the controllers of workloads run."""
    return (ReplicaSets(),) if scenario.workloads else ()
