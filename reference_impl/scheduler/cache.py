"""The scheduler's cache: nodes with running totals, and the pods that occupy them.

Every function takes a snapshot and gives the next one; a change costs the node and the group that
it touches, however large the cluster is.
"""

from __future__ import annotations

from model.kernel.values import FrozenMap
from reference_impl.scheduler.read import minus, plus
from reference_impl.scheduler.records import Group, NodeInfo, PodInfo, Snapshot

_USED_AT = NodeInfo._fields.index("used")


def _group_key(pod: PodInfo) -> str:
    return f"{pod.needs.group} terminating" if pod.terminating else pod.needs.group


def with_pod_on(node: NodeInfo, pod: PodInfo) -> NodeInfo:
    """The node with one more pod in its totals."""
    needs = pod.needs
    totals = (plus(node.used, needs.request), node.scored_cpu + needs.scored_cpu,
              node.scored_memory + needs.scored_memory,
              node.ports + needs.ports if needs.ports else node.ports, (*node.pods, pod.key))
    return tuple.__new__(NodeInfo, node[:_USED_AT] + totals)


def without_pod_on(node: NodeInfo, pod: PodInfo) -> NodeInfo:
    """The node with one pod less in its totals."""
    needs = pod.needs
    ports = node.ports
    if needs.ports:
        left = list(ports)
        for port in needs.ports:
            left.remove(port)
        ports = tuple(left)
    at = node.pods.index(pod.key)
    totals = (minus(node.used, needs.request), node.scored_cpu - needs.scored_cpu,
              node.scored_memory - needs.scored_memory, ports,
              node.pods[:at] + node.pods[at + 1:])
    return tuple.__new__(NodeInfo, node[:_USED_AT] + totals)


def add_pod(snapshot: Snapshot, pod: PodInfo) -> Snapshot:
    """The snapshot with a pod on `pod.node`; a node that is not known keeps it as a stray."""
    nodes, strays, groups, linked = (snapshot.nodes, snapshot.strays, snapshot.groups,
                                     snapshot.linked)
    node = nodes.get(pod.node)
    if node is None:
        strays = strays.set(pod.node, (*strays.get(pod.node, ()), pod.key))
    else:
        nodes = nodes.set(pod.node, with_pod_on(node, pod))
    key = _group_key(pod)
    group = groups.get(key)
    if group is None:
        group = Group(pod.needs, pod.terminating, FrozenMap())
        if pod.needs.between_pods:
            linked = linked.set(key, True)
    counts = group.nodes.set(pod.node, group.nodes.get(pod.node, 0) + 1)
    groups = groups.set(key, Group(group.needs, group.terminating, counts))
    return snapshot._replace(nodes=nodes, strays=strays, groups=groups, linked=linked,
                             pods=snapshot.pods.set(pod.key, pod))


def remove_pod(snapshot: Snapshot, key: str) -> Snapshot:
    """The snapshot without a pod; unchanged when it does not hold it."""
    pod = snapshot.pods.get(key)
    if pod is None:
        return snapshot
    nodes, strays, groups, linked = (snapshot.nodes, snapshot.strays, snapshot.groups,
                                     snapshot.linked)
    node = nodes.get(pod.node)
    if node is None:
        left = tuple(each for each in strays.get(pod.node, ()) if each != key)
        strays = strays.set(pod.node, left) if left else strays.drop(pod.node)
    else:
        nodes = nodes.set(pod.node, without_pod_on(node, pod))
    group_key = _group_key(pod)
    group = groups[group_key]
    count = group.nodes[pod.node] - 1
    counts = group.nodes.set(pod.node, count) if count else group.nodes.drop(pod.node)
    if counts:
        groups = groups.set(group_key, Group(group.needs, group.terminating, counts))
    else:
        groups, linked = groups.drop(group_key), linked.drop(group_key)
    return snapshot._replace(nodes=nodes, strays=strays, groups=groups, linked=linked,
                             pods=snapshot.pods.drop(key))


def release_volumes(snapshot: Snapshot, key: str) -> Snapshot:
    """The snapshot in which nothing is set aside for a pod."""
    mine = [name for name, owner in snapshot.volumes.items() if owner == key]
    volumes = snapshot.volumes
    for name in mine:
        volumes = volumes.drop(name)
    return snapshot._replace(volumes=volumes) if mine else snapshot


def set_node(snapshot: Snapshot, node: NodeInfo) -> Snapshot:
    """The snapshot with a node added or its own fields replaced; its totals are kept."""
    old = snapshot.nodes.get(node.name)
    if old is not None:
        node = tuple.__new__(NodeInfo, node[:_USED_AT] + old[_USED_AT:])
        if node == old:
            return snapshot
    strays = snapshot.strays
    for key in strays.get(node.name, ()):
        node = with_pod_on(node, snapshot.pods[key])
    soft = snapshot.soft
    soft = soft.set(node.name, True) if node.soft_taints else soft.drop(node.name)
    return snapshot._replace(nodes=snapshot.nodes.set(node.name, node), soft=soft,
                             strays=strays.drop(node.name),
                             images=_recount(snapshot.images, old, node))


def remove_node(snapshot: Snapshot, name: str) -> Snapshot:
    """The snapshot without a node; the pods on it stay known as strays."""
    old = snapshot.nodes.get(name)
    if old is None:
        return snapshot
    strays = snapshot.strays.set(name, old.pods) if old.pods else snapshot.strays
    return snapshot._replace(nodes=snapshot.nodes.drop(name), strays=strays,
                             soft=snapshot.soft.drop(name),
                             images=_recount(snapshot.images, old, None))


def _recount(images: FrozenMap[str, int], old: NodeInfo | None,
             new: NodeInfo | None) -> FrozenMap[str, int]:
    """On how many nodes each image is, after a node changed."""
    before = old.images if old is not None else FrozenMap[str, int]()
    after = new.images if new is not None else FrozenMap[str, int]()
    if before == after:
        return images
    for image in before:
        count = images[image] - 1
        images = images.set(image, count) if count else images.drop(image)
    for image in after:
        images = images.set(image, images.get(image, 0) + 1)
    return images
