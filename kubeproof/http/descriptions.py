"""What the documents of the API say of kinds and fields: short sentences of our own.

The sentence of a field is that of its name wherever it stands, else the name written out as words.
"""

from __future__ import annotations

import re
from functools import cache

KINDS: dict[str, str] = {
    "Pod": "One or more containers that run together on one node.",
    "Service": "A stable address in front of the pods that a selector names.",
    "Endpoints": "The addresses behind a Service.",
    "EndpointSlice": "A part of the addresses behind a Service.",
    "ReplicationController": "Keeps a number of equal pods running.",
    "ReplicaSet": "Keeps a number of equal pods running; usually made by a Deployment.",
    "Deployment": "Rolls out versions of a set of equal pods, and rolls them back.",
    "StatefulSet": "Keeps pods with stable names and storage running.",
    "DaemonSet": "Keeps one pod running on every node that matches.",
    "Job": "Runs pods until enough of them have succeeded.",
    "CronJob": "Starts a Job at set times.",
    "Node": "A machine that runs pods.",
    "Namespace": "A space of names for objects.",
    "ServiceAccount": "The identity that a pod acts under.",
    "Secret": "Confidential data for pods.",
    "ConfigMap": "Configuration data for pods.",
    "ResourceQuota": "A limit on what a namespace uses in all.",
    "LimitRange": "Bounds and defaults for single objects of a namespace.",
    "Event": "A report that something happened to an object.",
    "Lease": "A claim that is kept by renewing it.",
    "Binding": "Puts a pod on a node.",
    "PriorityClass": "A named importance of pods.",
    "PodDisruptionBudget": "How many pods of a set may be taken away at a time.",
    "Role": "Rights within a namespace.",
    "ClusterRole": "Rights in the whole cluster, or a set of rights to bind in namespaces.",
    "RoleBinding": "Grants a role to users, groups and accounts, in a namespace.",
    "ClusterRoleBinding": "Grants a cluster role to users, groups and accounts, everywhere.",
    "CustomResourceDefinition": "Adds a kind of object to the API.",
    "HorizontalPodAutoscaler": "Sets the number of pods by measured load.",
    "Ingress": "Routes requests from outside to Services by host and path.",
    "NetworkPolicy": "Which pods may talk to which.",
    "StorageClass": "A kind of storage that claims may ask for.",
    "PersistentVolume": "A piece of storage of the cluster.",
    "PersistentVolumeClaim": "A request for storage.",
    "Scale": "The wished and the present number of replicas.",
}
FIELDS: dict[str, str] = {
    "apiVersion": "The group and version of the kind.",
    "kind": "The kind of the object.",
    "metadata": "Name, labels and other data that every object carries.",
    "spec": "What is wished for.",
    "status": "What was last observed; written by the system.",
    "name": "The name, unique within its scope.",
    "namespace": "The namespace that holds the object.",
    "labels": "Keys and values by which objects are selected.",
    "annotations": "Keys and values that tools keep with the object.",
    "uid": "The identity of the object, never used again.",
    "finalizers": "What must be done before the object may go.",
    "ownerReferences": "The objects that this one belongs to.",
    "generateName": "The beginning of a name that the server completes.",
    "creationTimestamp": "When the object was created.",
    "deletionTimestamp": "When the object is to be gone; set by a deletion.",
    "resourceVersion": "The version of the object, for detecting changes.",
    "managedFields": "Who set which fields.",
    "replicas": "How many pods there should be.",
    "selector": "Which objects are meant, by their labels.",
    "template": "The pod to make.",
    "containers": "The containers of the pod.",
    "initContainers": "Containers that run to their end, one by one, before the others start.",
    "ephemeralContainers": "Containers added to a running pod for debugging.",
    "volumes": "The volumes that containers may mount.",
    "volumeMounts": "Where volumes appear in the container.",
    "image": "The image to run.",
    "imagePullPolicy": "When to pull the image: Always, IfNotPresent or Never.",
    "imagePullSecrets": "Secrets with credentials for pulling images.",
    "command": "What to run instead of the image's entry point.",
    "args": "The arguments of the command.",
    "env": "Variables of the environment.",
    "envFrom": "Sources of many variables of the environment.",
    "ports": "The ports.",
    "resources": "What is requested, and the limits.",
    "requests": "What is set aside, by resource.",
    "limits": "The most that may be used, by resource.",
    "livenessProbe": "When to restart the container.",
    "readinessProbe": "Whether the container may receive traffic.",
    "startupProbe": "Whether the container has started; the other probes wait for it.",
    "lifecycle": "What to do after a start and before a stop.",
    "restartPolicy": "When ended containers start again: Always, OnFailure or Never.",
    "nodeName": "The node that the pod is bound to.",
    "nodeSelector": "Labels that a node must have.",
    "affinity": "Where the pod should go, and near which other pods.",
    "tolerations": "Taints of nodes that the pod tolerates.",
    "taints": "What keeps pods away from the node.",
    "unschedulable": "Whether new pods are kept away.",
    "serviceAccountName": "The account that the pod runs as.",
    "schedulerName": "The scheduler that places the pod.",
    "priorityClassName": "The priority class of the pod.",
    "terminationGracePeriodSeconds": "How long the pod may take to stop.",
    "conditions": "Observations by type.",
    "phase": "A one-word summary of where the object is in its life.",
    "clusterIP": "The address inside the cluster; None for none.",
    "nodePort": "The port on every node.",
    "targetPort": "The port of the pods, by number or name.",
    "type": "Which of the possible kinds it is.",
    "data": "The content, by key.",
    "stringData": "The content as plain text, for writing only.",
    "minReadySeconds": "How long a new pod must be ready before it counts as available.",
    "revisionHistoryLimit": "How many old versions to keep.",
    "strategy": "How old pods are replaced by new ones.",
    "maxSurge": "How many pods there may be above the wish during a change.",
    "maxUnavailable": "How many pods may be missing.",
    "minAvailable": "How many pods must stay.",
    "paused": "Whether changes wait.",
    "rules": "The rules.",
    "subjects": "Who is meant.",
    "roleRef": "The role that is granted.",
    "verbs": "What may be done.",
    "hard": "The limit, by resource.",
    "used": "What is used, by resource.",
}


@cache
def words(name: str) -> str:
    """A field's name written out: `hostPort` -> "Host port."."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    text = " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def kind_text(kind: str) -> str:
    """The sentence of a kind."""
    return KINDS.get(kind) or words(kind)


def type_text(name: str) -> str:
    """The sentence of a type of the tables."""
    return kind_text(re.sub(r"^[A-Za-z]*?V\d+(alpha\d|beta\d)?", "", name))


def field_text(field: str) -> str:
    """The sentence of a field."""
    return FIELDS.get(field) or words(field)
