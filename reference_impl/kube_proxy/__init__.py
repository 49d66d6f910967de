"""The proxy, one a node: it turns Services and Endpoints into the NAT rules of its kernel.

Modelled: cluster addresses, external addresses, node ports, addresses of load balancers, named
ports, full and partial writes, failed writes, tracked flows of UDP (one steady client for each
service port), what a restart of the process leaves in the kernel.

Not modelled, and why that is sound:
- session affinity and traffic policies: every end that they could choose is among the ends here;
- tracked flows of TCP: a closed connection is opened anew and then follows the rules;
- EndpointSlices: the Endpoints object carries the same ready addresses;
- two clients of one UDP service port: flows do not influence each other.
"""

from __future__ import annotations

from typing import Any

from model.api.scenario import Scenario
from model.kernel.component import Component
from reference_impl.kube_proxy.component import KubeProxy


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """One proxy for each node. Setting `proxy-restore-failures`: how often a write may fail."""
    failures = scenario.number("proxy-restore-failures", 0)
    return tuple(KubeProxy(shape.name, shape.address, scenario.pod_range, failures)
                 for shape in scenario.nodes)
