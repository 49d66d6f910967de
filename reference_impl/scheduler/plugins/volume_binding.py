"""Claims must be bound, or bindable on the node.

Source: Kubernetes documentation, "Persistent Volumes" and "Volume binding mode". Volumes that a
class can provision are taken as possible on every node; zones of provisioners, attach limits and
ReadWriteOncePod are not modelled, since no modelled component provisions or attaches volumes.
"""

from __future__ import annotations

from typing import Any

from reference_impl.scheduler.framework import SKIP, Plugin, Rejection
from reference_impl.scheduler.matching import term_matches
from reference_impl.scheduler.records import Claim, NodeInfo, PodInfo, Snapshot, Volume

_NO_VOLUME = Rejection("VolumeBinding",
                       ("node(s) didn't find available persistent volumes to bind",), False)
_CONFLICT = Rejection("VolumeBinding", ("node(s) had volume node affinity conflict",), False)
_UNBOUND = Rejection("VolumeBinding",
                     ("pod has unbound immediate PersistentVolumeClaims",), False)


class VolumeBinding(Plugin):
    name = "VolumeBinding"
    filters = True
    helped_by = ("node added", "node labels changed", "storage changed")

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        """The volumes bound, and the claims that wait for a node with their candidates."""
        catalog = snapshot.catalog
        bound: list[Volume] = []
        waiting: list[tuple[Volume, ...]] = []
        for name in pod.needs.claims:
            claim = catalog.claims.get(f"{pod.needs.namespace}/{name}")
            if claim is None:
                return Rejection("VolumeBinding",
                                 (f'persistentvolumeclaim "{name}" not found',), False)
            if claim.volume:
                volume = catalog.volumes.get(claim.volume)
                if volume is not None:
                    bound.append(volume)
                continue
            storage = catalog.classes.get(claim.storage_class)
            if storage is None or not storage.waits:
                return _UNBOUND
            if not storage.provisions:
                waiting.append(_candidates(claim, pod, snapshot))
        return (tuple(bound), tuple(waiting)) if pod.needs.claims else SKIP

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        bound, waiting = state
        if not all(_reaches(volume, node) for volume in bound):
            return _CONFLICT
        return None if _chosen(waiting, node) is not None else _NO_VOLUME

    def reserve(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> Snapshot | Rejection:
        """Set the volumes aside that the pod's claims will be bound to."""
        if not pod.needs.claims:
            return snapshot
        state = self.pre_filter(pod, snapshot)
        if type(state) is Rejection:
            return state
        chosen = _chosen(state[1], node)
        if chosen is None:
            return _NO_VOLUME
        volumes = snapshot.volumes
        for name in chosen:
            volumes = volumes.set(name, pod.key)
        return snapshot._replace(volumes=volumes)


def _chosen(waiting: tuple[tuple[Volume, ...], ...], node: NodeInfo) -> list[str] | None:
    """A volume for each waiting claim that reaches the node; None when one has none."""
    taken: list[str] = []
    for candidates in waiting:
        volume = next((each for each in candidates
                       if each.name not in taken and _reaches(each, node)), None)
        if volume is None:
            return None
        taken.append(volume.name)
    return taken


def _reaches(volume: Volume, node: NodeInfo) -> bool:
    return volume.terms is None or any(term_matches(term, node) for term in volume.terms)


def _candidates(claim: Claim, pod: PodInfo, snapshot: Snapshot) -> tuple[Volume, ...]:
    """The volumes that could serve a claim, the smallest first; not those that are set aside for
    another pod."""
    fitting = [volume for volume in snapshot.catalog.volumes.values()
               if volume.available and snapshot.volumes.get(volume.name, pod.key) == pod.key
               and volume.storage_class == claim.storage_class
               and volume.size >= claim.size and set(claim.modes) <= set(volume.modes)]
    return tuple(sorted(fitting, key=lambda volume: (volume.size, volume.name)))
