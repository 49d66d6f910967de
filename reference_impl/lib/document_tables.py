"""Table columns of kinds that are stored as documents: workloads without a controller here,
ingresses, volumes, autoscalers and the like.

Source: Kubernetes 1.32, pkg/printers/internalversion, and recorded output of kubectl 1.32. Not
modelled: the columns of kinds that are not listed (they print name and age).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.api.metadata import LabelSelector
from model.api.objects import milliseconds
from model.api.records import read
from model.api.selectors import from_object, label_text
from reference_impl.lib.ages import duration

NONE, UNSET = "<none>", "<unset>"
Document = Mapping[str, Any]
Age = Callable[[str | None], str]
Row = tuple[tuple[str, ...], tuple[str, ...]]


def _part(document: Document, name: str) -> dict[str, Any]:
    """A sub-document, empty when it is absent."""
    found: dict[str, Any] = document.get(name) or {}
    return found


def _born(document: Document) -> str | None:
    return _part(document, "metadata").get("creationTimestamp")


def _template(spec: Document) -> tuple[str, str]:
    containers = _part(_part(spec, "template"), "spec").get("containers") or []
    return (",".join(each.get("name", "") for each in containers),
            ",".join(each.get("image", "") for each in containers))


def _selector(spec: Document, absent: str = NONE) -> str:
    document = spec.get("selector")
    if document is None:
        return absent
    return label_text(from_object(read(LabelSelector, document)) or ()) or NONE


def few(items: list[str], most: int, absent: str = NONE) -> str:
    """The first items, and how many more there are."""
    if not items:
        return absent
    shown = ",".join(items[:most])
    return f"{shown} + {len(items) - most} more..." if len(items) > most else shown


def stateful_set(document: Document, age: Age) -> Row:
    """A StatefulSet."""
    spec, status = _part(document, "spec"), _part(document, "status")
    wish = spec.get("replicas", 0)
    return (f"{status.get('readyReplicas', 0)}/{wish}", age(_born(document))), _template(spec)


def daemon_set(document: Document, age: Age) -> Row:
    """A DaemonSet."""
    spec, status = _part(document, "spec"), _part(document, "status")
    chosen = _part(_part(_part(spec, "template"), "spec"), "nodeSelector")
    counts = [str(status.get(name, 0)) for name in (
        "desiredNumberScheduled", "currentNumberScheduled", "numberReady",
        "updatedNumberScheduled", "numberAvailable")]
    where = ",".join(f"{key}={chosen[key]}" for key in sorted(chosen)) or NONE
    return (*counts, where, age(_born(document))), (*_template(spec), _selector(spec))


def job(document: Document, age: Age) -> Row:
    """A Job."""
    spec, status = _part(document, "spec"), _part(document, "status")
    done, wanted = status.get("succeeded", 0), spec.get("completions")
    parallel = spec.get("parallelism") or 0
    share = f"{done}/{wanted}" if wanted is not None else (
        f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1")
    began, ended = status.get("startTime"), status.get("completionTime")
    lasted = "" if not began else age(began)
    if began and ended:
        lasted = duration(milliseconds(ended) - milliseconds(began))
    return (_job_word(document), share, lasted, age(_born(document))), (
        *_template(spec), _selector(spec))


def _job_word(document: Document) -> str:
    conditions = _part(document, "status").get("conditions") or []
    true = {each.get("type") for each in conditions if each.get("status") == "True"}
    for type_, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if type_ in true:
            return word
    if _part(document, "metadata").get("deletionTimestamp"):
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget"):
        if type_ in true:
            return type_
    return "SuccessCriteriaMet" if "SuccessCriteriaMet" in true else "Running"


def cron_job(document: Document, age: Age) -> Row:
    """A CronJob."""
    spec, status = _part(document, "spec"), _part(document, "status")
    last = status.get("lastScheduleTime")
    suspended = spec.get("suspend")
    inner = _part(_part(spec, "jobTemplate"), "spec")
    return ((str(spec.get("schedule", "")), spec.get("timeZone") or NONE,
             UNSET if suspended is None else str(bool(suspended)),
             str(len(status.get("active") or ())), age(last) if last else NONE,
             age(_born(document))), (*_template(inner), _selector(inner)))


def ingress(document: Document, age: Age) -> Row:
    """An Ingress."""
    spec = _part(document, "spec")
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    ends = _part(_part(document, "status"), "loadBalancer").get("ingress") or []
    address = ",".join(each.get("ip") or each.get("hostname") or "" for each in ends)
    ports = "80, 443" if spec.get("tls") else "80"
    return (spec.get("ingressClassName") or NONE, few(hosts, 3, "*"), address, ports,
            age(_born(document))), ()


def autoscaler(document: Document, age: Age) -> Row:
    """A HorizontalPodAutoscaler."""
    spec, status = _part(document, "spec"), _part(document, "status")
    target = _part(spec, "scaleTargetRef")
    return ((f"{target.get('kind', '')}/{target.get('name', '')}", _targets(document),
             UNSET if spec.get("minReplicas") is None else str(spec["minReplicas"]),
             str(spec.get("maxReplicas", 0)), str(status.get("currentReplicas", 0)),
             age(_born(document))), ())


def _targets(document: Document) -> str:
    told = {_part(each, "resource").get("name"): _part(_part(each, "resource"), "current")
            for each in _part(document, "status").get("currentMetrics") or ()}
    found = []
    for metric in _part(document, "spec").get("metrics") or ():
        resource = _part(metric, "resource")
        name, target = resource.get("name", ""), _part(resource, "target")
        current = told.get(name) or {}
        if target.get("averageValue") is not None:
            found.append(f"{name}: {current.get('averageValue', '<unknown>')}/"
                         f"{target['averageValue']}")
        else:
            use = current.get("averageUtilization")
            found.append(f"{name}: {'<unknown>' if use is None else f'{use}%'}/"
                         f"{target.get('averageUtilization', '<auto>')}%")
    if not found:
        return NONE
    shown = ", ".join(found[:2])
    return f"{shown} + {len(found) - 2} more..." if len(found) > 2 else shown


def endpoint_slice(document: Document, age: Age) -> Row:
    """An EndpointSlice."""
    ports = [str(port["port"]) for port in document.get("ports") or () if port.get("port")]
    addresses = [address for each in document.get("endpoints") or ()
                 for address in each.get("addresses") or ()]
    return (document.get("addressType", ""), few(ports, 3, UNSET), few(addresses, 3, UNSET),
            age(_born(document))), ()


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX",
          "ReadWriteOncePod": "RWOP"}


def _modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def volume(document: Document, age: Age) -> Row:
    """A PersistentVolume."""
    spec, status = _part(document, "spec"), _part(document, "status")
    claim = _part(spec, "claimRef")
    phase = str(status.get("phase", ""))
    if _part(document, "metadata").get("deletionTimestamp"):
        phase = "Terminating"
    return ((str(_part(spec, "capacity").get("storage", "")), _modes(spec.get("accessModes")),
             spec.get("persistentVolumeReclaimPolicy", ""), phase,
             f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
             spec.get("storageClassName") or "", spec.get("volumeAttributesClassName") or UNSET,
             status.get("reason", ""), age(_born(document))), (spec.get("volumeMode") or UNSET,))


def claim(document: Document, age: Age) -> Row:
    """A PersistentVolumeClaim."""
    spec, status = _part(document, "spec"), _part(document, "status")
    phase, bound = str(status.get("phase", "")), spec.get("volumeName") or ""
    if _part(document, "metadata").get("deletionTimestamp"):
        phase = "Terminating"
    size = str(_part(status, "capacity").get("storage", "")) if bound else ""
    modes = _modes(status.get("accessModes")) if bound else ""
    return ((phase, bound, size, modes, spec.get("storageClassName") or "",
             spec.get("volumeAttributesClassName") or UNSET, age(_born(document))),
            (spec.get("volumeMode") or UNSET,))


def storage_class(document: Document, age: Age) -> Row:
    """A StorageClass; the default one says so beside its name."""
    return (document.get("provisioner", ""), document.get("reclaimPolicy") or "Delete",
            document.get("volumeBindingMode") or "Immediate",
            "true" if document.get("allowVolumeExpansion") else "false", age(_born(document))), ()


def network_policy(document: Document, age: Age) -> Row:
    """A NetworkPolicy."""
    chosen = _part(document, "spec").get("podSelector") or {}
    return (_selector({"selector": chosen}), age(_born(document))), ()


def api_service(document: Document, age: Age) -> Row:
    """An APIService: served here, or by a service."""
    service = _part(_part(document, "spec"), "service")
    conditions = _part(document, "status").get("conditions") or []
    word = next((str(each.get("status")) for each in conditions
                 if each.get("type") == "Available"), "Unknown")
    where = f"{service['namespace']}/{service['name']}" if service else "Local"
    return (where, word, age(_born(document))), ()


def controller_revision(document: Document, age: Age) -> Row:
    """A ControllerRevision."""
    owners = _part(document, "metadata").get("ownerReferences") or ()
    owner = next((each for each in owners if each.get("controller")), None)
    who = NONE
    if owner is not None:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        kind = str(owner.get("kind", "")).lower()
        who = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return (who, str(document.get("revision", 0)), age(_born(document))), ()


def webhooks(document: Document, age: Age) -> Row:
    """A configuration of admission webhooks."""
    return (str(len(document.get("webhooks") or ())), age(_born(document))), ()


def ingress_class(document: Document, age: Age) -> Row:
    """An IngressClass."""
    spec = _part(document, "spec")
    of = _part(spec, "parameters")
    kind = f"{of.get('kind', '')}.{of['apiGroup']}" if of.get("apiGroup") else of.get("kind", "")
    return (spec.get("controller", ""), f"{kind}/{of.get('name', '')}" if of else NONE,
            age(_born(document))), ()


def runtime_class(document: Document, age: Age) -> Row:
    """A RuntimeClass."""
    return (document.get("handler", ""), age(_born(document))), ()


def born_only(document: Document, age: Age) -> Row:
    """A kind that prints when it was created."""
    return (_born(document) or "",), ()


_OF_TEMPLATE = ("CONTAINERS", "IMAGES")
DOCUMENT_VIEWS: dict[str, tuple[tuple[str, ...], tuple[str, ...],
                                Callable[[Document, Age], Row]]] = {
    "StatefulSet": (("READY", "AGE"), _OF_TEMPLATE, stateful_set),
    "DaemonSet": (("DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE SELECTOR",
                   "AGE"), (*_OF_TEMPLATE, "SELECTOR"), daemon_set),
    "Job": (("STATUS", "COMPLETIONS", "DURATION", "AGE"), (*_OF_TEMPLATE, "SELECTOR"), job),
    "CronJob": (("SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST SCHEDULE", "AGE"),
                (*_OF_TEMPLATE, "SELECTOR"), cron_job),
    "Ingress": (("CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"), (), ingress),
    "HorizontalPodAutoscaler": (("REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"),
                                (), autoscaler),
    "EndpointSlice": (("ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"), (), endpoint_slice),
    "PersistentVolume": (("CAPACITY", "ACCESS MODES", "RECLAIM POLICY", "STATUS", "CLAIM",
                          "STORAGECLASS", "VOLUMEATTRIBUTESCLASS", "REASON", "AGE"),
                         ("VOLUMEMODE",), volume),
    "PersistentVolumeClaim": (("STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS",
                               "VOLUMEATTRIBUTESCLASS", "AGE"), ("VOLUMEMODE",), claim),
    "StorageClass": (("PROVISIONER", "RECLAIMPOLICY", "VOLUMEBINDINGMODE", "ALLOWVOLUMEEXPANSION",
                      "AGE"), (), storage_class),
    "NetworkPolicy": (("POD-SELECTOR", "AGE"), (), network_policy),
    "APIService": (("SERVICE", "AVAILABLE", "AGE"), (), api_service),
    "ControllerRevision": (("CONTROLLER", "REVISION", "AGE"), (), controller_revision),
    "ValidatingWebhookConfiguration": (("WEBHOOKS", "AGE"), (), webhooks),
    "MutatingWebhookConfiguration": (("WEBHOOKS", "AGE"), (), webhooks),
    "IngressClass": (("CONTROLLER", "PARAMETERS", "AGE"), (), ingress_class),
    "RuntimeClass": (("HANDLER", "AGE"), (), runtime_class),
    "CustomResourceDefinition": (("CREATED AT",), (), born_only),
}
"""Kind -> headers after the name, headers that only wide output has, and the cells of both."""
