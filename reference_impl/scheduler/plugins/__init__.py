"""The plug-ins of the default profile of kube-scheduler 1.32, in its order, with its weights."""

from __future__ import annotations

from reference_impl.scheduler.framework import Profile
from reference_impl.scheduler.plugins.image_locality import ImageLocality
from reference_impl.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from reference_impl.scheduler.plugins.node_affinity import NodeAffinity
from reference_impl.scheduler.plugins.node_name import NodeName
from reference_impl.scheduler.plugins.node_ports import NodePorts
from reference_impl.scheduler.plugins.node_resources_balanced import NodeResourcesBalancedAllocation
from reference_impl.scheduler.plugins.node_resources_fit import NodeResourcesFit
from reference_impl.scheduler.plugins.node_unschedulable import NodeUnschedulable
from reference_impl.scheduler.plugins.pod_topology_spread import PodTopologySpread
from reference_impl.scheduler.plugins.taint_toleration import TaintToleration
from reference_impl.scheduler.plugins.volume_binding import VolumeBinding

DEFAULT_PROFILE = Profile((
    NodeUnschedulable(),
    NodeName(),
    TaintToleration(),
    NodeAffinity(),
    NodePorts(),
    NodeResourcesFit(),
    VolumeBinding(),
    PodTopologySpread(),
    InterPodAffinity(),
    NodeResourcesBalancedAllocation(),
    ImageLocality(),
))
