"""What if: the same cluster with nodes added, drained, tainted or resized.

    add=3            three nodes like the last one
    add=2:n7         two nodes like n7
    drain=n1         n1 is emptied and takes no more pods
    taint=n1:key=value:NoSchedule
    resize=n1:cpu=16,memory=64Gi
"""

from __future__ import annotations

from collections.abc import Iterable

from kubeproof.inventory import Inventory, node_of_tied, pinned
from model.api import objects as api
from model.api.quantities import parse
from model.kernel.errors import InputError

HOSTNAME = "kubernetes.io/hostname"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
FORMS = "add=N[:NODE], drain=NODE, taint=NODE:KEY=VALUE:EFFECT or resize=NODE:RESOURCE=AMOUNT,..."


def changed(inventory: Inventory, changes: Iterable[str]) -> Inventory:
    """The inventory after the changes, in order. InputError for a change that makes no sense."""
    for change in changes:
        verb, _, rest = change.partition("=")
        does = {"add": _add, "drain": _drain, "taint": _taint, "resize": _resize}.get(verb)
        if does is None or not rest:
            raise InputError(f"{change!r} is no change", where="--what-if", fix=FORMS)
        inventory = does(inventory, rest)
    return inventory


def _node(inventory: Inventory, name: str) -> api.Node:
    node = inventory.nodes.get(name)
    if node is None:
        raise InputError(f"there is no node {name!r}", where="--what-if",
                         fix=f"one of {', '.join(sorted(inventory.nodes)[:5])}, ...")
    return node


def _with_node(inventory: Inventory, name: str, node: api.Node) -> Inventory:
    return inventory._replace(nodes={**inventory.nodes, name: node})


def _add(inventory: Inventory, rest: str) -> Inventory:
    text, _, like = rest.partition(":")
    if not text.isdigit() or not int(text):
        raise InputError(f"{text!r} is no number of nodes", where="--what-if add", fix="add=2")
    model = _node(inventory, like or list(inventory.nodes)[-1])
    nodes, pods, owners = dict(inventory.nodes), dict(inventory.pods), dict(inventory.owners)
    tied = set(inventory.tied)
    daemons = [key for key in sorted(tied) if node_of_tied(pods[key]) == model.metadata.name]
    fresh = (f"added-{number}" for number in range(1, len(nodes) + int(text) + 1))
    for name in [each for each in fresh if each not in nodes][:int(text)]:
        labels = tuple(sorted({**dict(model.metadata.labels or ()), HOSTNAME: name}.items()))
        nodes[name] = model._replace(metadata=model.metadata._replace(name=name, labels=labels))
        for key in daemons:
            spec = (pods[key].spec or api.PodSpec())._replace(node_name=None)
            metadata = pods[key].metadata._replace(name=f"{pods[key].metadata.name}-{name}")
            made = pinned(api.with_spec(api.with_metadata(pods[key], metadata), spec), name)
            pods[f"{key}-{name}"] = made
            tied.add(f"{key}-{name}")
            if key in owners:
                owners[f"{key}-{name}"] = owners[key]
    return inventory._replace(nodes=nodes, pods=pods, owners=owners, tied=frozenset(tied))


def _drain(inventory: Inventory, name: str) -> Inventory:
    """Cordon the node; its pods wait again, those that are tied to it stay."""
    node = _node(inventory, name)
    spec = (node.spec or api.NodeSpec())._replace(unschedulable=True)
    leaving = [key for key, at in inventory.bound.items()
               if at == name and key not in inventory.tied]
    return _with_node(_unbound(inventory, leaving), name, node._replace(spec=spec))


def _unbound(inventory: Inventory, keys: Iterable[str]) -> Inventory:
    """The inventory in which some pods wait for a node again."""
    pods = dict(inventory.pods)
    for key in keys:
        spec = pods[key].spec or api.PodSpec()
        pods[key] = api.with_spec(pods[key], spec._replace(node_name=None))
    return inventory._replace(pods=pods)


def _taint(inventory: Inventory, rest: str) -> Inventory:
    """Taint the node; NoExecute also sends the pods away that do not tolerate it."""
    name, _, text = rest.partition(":")
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if effect not in EFFECTS or not key:
        raise InputError(f"{text!r} is no taint", where="--what-if taint",
                         fix=f"taint=NODE:KEY=VALUE:EFFECT, EFFECT one of {', '.join(EFFECTS)}")
    node = _node(inventory, name)
    spec = node.spec or api.NodeSpec()
    taint = api.Taint(key=key, value=value or None, effect=effect)
    node = node._replace(spec=spec._replace(taints=(*(spec.taints or ()), taint)))
    inventory = _with_node(inventory, name, node)
    if effect != "NoExecute":
        return inventory
    from properties.scheduler import rules
    from properties.scheduler.facts import node_facts, pod_facts

    place = node_facts(node)
    return _unbound(inventory, [key for key, at in inventory.bound.items() if at == name
                                and rules.taints(pod_facts(inventory.pods[key]), place)])


def _resize(inventory: Inventory, rest: str) -> Inventory:
    name, _, text = rest.partition(":")
    node = _node(inventory, name)
    status = node.status or api.NodeStatus()
    room = dict(status.allocatable or ())
    for part in text.split(","):
        resource, _, amount = part.partition("=")
        try:
            parse(amount)
        except InputError:
            raise InputError(f"{part!r} is no amount of a resource", where="--what-if resize",
                             fix="resize=NODE:cpu=16,memory=64Gi") from None
        room[resource] = amount
    return _with_node(inventory, name,
                      node._replace(status=status._replace(allocatable=api.pairs(room))))
