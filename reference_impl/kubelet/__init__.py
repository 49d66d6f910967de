"""The kubelet, one a node: it registers its machine, runs the pods bound to it, reports on them.

Modelled: the Node object with its heartbeats (lease and status), admission by room, image pulls
with back-off, init containers in order, start and stop, restart policy with back-off, in-place
change of an image, graceful deletion, active deadlines, pod addresses, the status of pods, events,
and cAdvisor's figures of what containers use (`cadvisor.py`, from a deterministic load).

Not modelled, and why that is sound:
- probes: a container is ready while it runs; a component that only reads the Ready condition sees
  every sequence of values that a probe could produce from containers that end and start;
- eviction under pressure and image collection (no pressure arises: admission holds the room);
- volumes, mounts, devices: they can only delay a start, and every start may be late here;
- two pods of one name at a time on one machine: the second waits for the end of the first. A real
  kubelet tells them apart by uid; what the second does meanwhile is what it does later.
How long a container runs before it ends by itself is the scenario's to say (the annotation
`kubeproof.io/exit`), so that a quiet cluster stays quiet.
"""

from __future__ import annotations

from typing import Any

from model.api.scenario import Scenario
from model.kernel.component import Component
from reference_impl.kubelet.component import Kubelet
from reference_impl.kubelet.node import machines


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """One kubelet for each node. Settings: `kubelet-events` ("false" silences its events) and
    `metrics-period-seconds` (how often it publishes what its containers use; 0: never)."""
    tells = scenario.setting("kubelet-events", "true") == "true"
    metrics_ms = 1000 * scenario.number("metrics-period-seconds", 60)
    return tuple(Kubelet(machine, tells, metrics_ms) for machine in machines(scenario))
