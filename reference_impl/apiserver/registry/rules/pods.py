"""Rules of pods and of the pod templates of controllers.

Not modelled: the rules of security contexts, of ephemeral containers and of most volume sources.
Source: Kubernetes 1.32 API reference, core/v1 PodSpec.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from model.api.objects import PodSpec, write
from model.api.quantities import canonical, compare
from model.api.requests import (
    Cause,
    field_duplicate,
    field_forbidden,
    field_invalid,
    field_required,
)
from reference_impl.apiserver.registry.rules import common
from reference_impl.apiserver.registry.rules.common import Causes, Document, Shown, items, one_of

_VOLUME_SOURCES = ("hostPath", "emptyDir", "secret", "configMap", "downwardAPI", "projected",
                   "persistentVolumeClaim", "nfs", "iscsi", "csi", "ephemeral", "gitRepo", "rbd",
                   "cephfs", "fc", "awsElasticBlockStore", "gcePersistentDisk", "image")
_STANDARD = ("cpu", "memory", "ephemeral-storage", "storage", "pods", "services", "secrets",
             "configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
             "services.nodeports", "services.loadbalancers")
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_FIELD_PATHS = re.compile(r"metadata\.(name|namespace|uid|labels|annotations)(\['[^']+'\])?|"
                          r"spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs)")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


@lru_cache(maxsize=8192)
def spec_faults(spec: PodSpec, path: str, in_template: bool) -> tuple[Cause, ...]:
    """Every fault of a pod's spec; computed once for the spec that a controller's pods share."""
    return tuple(document_faults(write(spec), path, in_template))


def document_faults(spec: Document, path: str, in_template: bool) -> Causes:
    """Every fault of a pod's spec."""
    causes, volumes = _volumes(spec, path)
    causes += _containers(spec, path, volumes)
    causes += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy",
                     ("Always", "OnFailure", "Never"))
    causes += one_of(spec.get("dnsPolicy"), f"{path}.dnsPolicy",
                     ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"))
    causes += common.labels_faults(spec.get("nodeSelector"), f"{path}.nodeSelector")
    if spec.get("dnsPolicy") == "None" and not spec.get("dnsConfig"):
        causes.append(field_required(f"{path}.dnsConfig", "must provide `dnsConfig` when "
                                     "`dnsPolicy` is None"))
    causes += _affinity(spec.get("affinity") or {}, f"{path}.affinity")
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            causes += common.subdomain_faults(spec[field], f"{path}.{field}")
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            causes += common.label_faults(spec[field], f"{path}.{field}")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        causes.append(field_invalid(f"{path}.activeDeadlineSeconds", deadline,
                                    "must be between 1 and 2147483647, inclusive"))
    causes += _tolerations(spec, path) + _spread(spec, path)
    for at, alias in enumerate(items(spec.get("hostAliases"))):
        causes += common.ip_faults(alias.get("ip") or "", f"{path}.hostAliases[{at}].ip")
    system = (spec.get("os") or {}).get("name")
    if spec.get("os") is not None:
        causes += one_of(system, f"{path}.os", ("linux", "windows"))
    return causes


# -- volumes -------------------------------------------------------------------------------------

def _volumes(spec: Document, path: str) -> tuple[Causes, frozenset[str]]:
    causes: Causes = []
    names: list[str] = []
    for at, volume in enumerate(items(spec.get("volumes"))):
        where = f"{path}.volumes[{at}]"
        name = volume.get("name") or ""
        sources = [key for key in _VOLUME_SOURCES if volume.get(key) is not None]
        causes += [field_forbidden(f"{where}.{extra}", "may not specify more than 1 volume type")
                   for extra in _second(sources)]
        causes += _source(volume, where)
        if not name:
            causes.append(field_required(f"{where}.name"))
        else:
            causes += common.label_faults(name, f"{where}.name")
        if name in names:
            causes.append(field_duplicate(f"{where}.name", name))
        names.append(name)
    return causes, frozenset(names)


def _second(sources: list[str]) -> list[str]:
    """The sources beyond the first, in the order in which they are looked at."""
    order: list[str] = [each for each in ("emptyDir", "hostPath") if each in sources]
    order += [each for each in sources if each not in order]
    return order[1:]


def _source(volume: Document, where: str) -> Causes:
    causes: Causes = []
    if isinstance(volume.get("hostPath"), dict) and not volume["hostPath"].get("path"):
        causes.append(field_required(f"{where}.hostPath.path"))
    if isinstance(volume.get("configMap"), dict) and not volume["configMap"].get("name"):
        causes.append(field_required(f"{where}.configMap.name"))
    if isinstance(volume.get("secret"), dict) and not volume["secret"].get("secretName"):
        causes.append(field_required(f"{where}.secret.secretName"))
    claim = volume.get("persistentVolumeClaim")
    if isinstance(claim, dict) and not claim.get("claimName"):
        causes.append(field_required(f"{where}.persistentVolumeClaim.claimName"))
    return causes


# -- containers ----------------------------------------------------------------------------------

def _containers(spec: Document, path: str, volumes: frozenset[str]) -> Causes:
    causes: Causes = []
    names: list[str] = []
    containers = items(spec.get("containers"))
    if not containers:
        causes.append(field_required(f"{path}.containers"))
    for group in ("containers", "initContainers"):
        for at, container in enumerate(items(spec.get(group))):
            where = f"{path}.{group}[{at}]"
            causes += _container(container, where, volumes, bool(spec.get("hostNetwork")))
            name = container.get("name") or ""
            if name and name in names:
                causes.append(field_duplicate(f"{where}.name", name))
            names.append(name)
            if group == "initContainers":
                causes += _init_container(container, where)
    return causes


def _init_container(container: Document, where: str) -> Causes:
    policy = container.get("restartPolicy")
    if policy is not None:
        return one_of(policy, f"{where}.restartPolicy", ("Always",))
    return [field_forbidden(f"{where}.{probe}", "may not be set for init containers without "
                            "restartPolicy=Always")
            for probe in ("livenessProbe", "readinessProbe", "startupProbe")
            if container.get(probe) is not None]


def _container(container: Document, where: str, volumes: frozenset[str],
               host_network: bool) -> Causes:
    causes: Causes = []
    name, image = container.get("name") or "", container.get("image") or ""
    if name:
        causes += common.label_faults(name, f"{where}.name")
    else:
        causes.append(field_required(f"{where}.name"))
    if not image:
        causes.append(field_required(f"{where}.image"))
    elif image != image.strip():
        causes.append(field_invalid(f"{where}.image", image,
                                    "must not have leading or trailing whitespace"))
    for hook, handler in sorted((container.get("lifecycle") or {}).items()):
        if handler is not None:
            causes += _handler(handler, f"{where}.lifecycle.{hook}")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            causes += _probe(container[probe], f"{where}.{probe}", probe)
    causes += one_of(container.get("terminationMessagePolicy"),
                     f"{where}.terminationMessagePolicy", ("File", "FallbackToLogsOnError"))
    causes += _ports(container, where, host_network) + _environment(container, where)
    for at, mount in enumerate(items(container.get("volumeMounts"))):
        causes += _mount(mount, f"{where}.volumeMounts[{at}]", volumes)
    if image:
        causes += one_of(container.get("imagePullPolicy"), f"{where}.imagePullPolicy",
                         ("Always", "IfNotPresent", "Never"))
    causes += _resources(container.get("resources") or {}, f"{where}.resources")
    return causes + _security(container.get("securityContext") or {}, f"{where}.securityContext")


def _security(context: Document, where: str) -> Causes:
    causes: Causes = []
    for field in ("runAsUser", "runAsGroup"):
        number = context.get(field)
        if number is not None and not 0 <= number <= 2147483647:
            causes.append(field_invalid(f"{where}.{field}", number,
                                        "must be between 0 and 2147483647, inclusive"))
    if context.get("allowPrivilegeEscalation") is False:
        added = (context.get("capabilities") or {}).get("add") or []
        if context.get("privileged"):
            causes.append(field_invalid(where, _go_security(context), "cannot set "
                                        "`allowPrivilegeEscalation` to false and `privileged` to "
                                        "true"))
        if "CAP_SYS_ADMIN" in added:
            causes.append(field_invalid(where, _go_security(context), "cannot set "
                                        "`allowPrivilegeEscalation` to false and "
                                        "`capabilities.Add` CAP_SYS_ADMIN"))
    return causes


_SECURITY = (("capabilities", "core.Capabilities"), ("privileged", "bool"),
             ("seLinuxOptions", "core.SELinuxOptions"),
             ("windowsOptions", "core.WindowsSecurityContextOptions"), ("runAsUser", "int64"),
             ("runAsGroup", "int64"), ("runAsNonRoot", "bool"), ("readOnlyRootFilesystem", "bool"),
             ("allowPrivilegeEscalation", "bool"), ("procMount", "core.ProcMountType"),
             ("seccompProfile", "core.SeccompProfile"), ("appArmorProfile", "core.AppArmorProfile"))
"""Fields of a container's security context in the order of Go's structure, with their types."""


def _go_security(context: Document) -> Shown:
    shown = [f"{name[0].upper()}{name[1:]}:(*{kind})("
             f"{common.POINTER if context.get(name) is not None else 'nil'})"
             for name, kind in _SECURITY]
    return Shown("core.SecurityContext{" + ", ".join(shown).replace("SeLinux", "SELinux") + "}")


def _mount(mount: Document, where: str, volumes: frozenset[str]) -> Causes:
    causes: Causes = []
    name = mount.get("name") or ""
    if not name:
        causes.append(field_required(f"{where}.name"))
    elif name not in volumes:
        causes.append(Cause("FieldValueNotFound", f'Not found: "{name}"', f"{where}.name"))
    if not mount.get("mountPath"):
        causes.append(field_required(f"{where}.mountPath"))
    return causes


def _ports(container: Document, where: str, host_network: bool) -> Causes:
    causes: Causes = []
    names: list[str] = []
    for at, port in enumerate(items(container.get("ports"))):
        place = f"{where}.ports[{at}]"
        name = port.get("name")
        if name:
            texts = common.port_name_texts(name)
            causes += [field_invalid(f"{place}.name", name, text) for text in texts]
            if not texts and name in names:
                causes.append(field_duplicate(f"{place}.name", name))
            names.append(name)
        number = port.get("containerPort")
        if not number:
            causes.append(field_required(f"{place}.containerPort"))
        else:
            causes += common.port_faults(number, f"{place}.containerPort")
        host = port.get("hostPort")
        if host:
            causes += common.port_faults(host, f"{place}.hostPort")
            if host_network and host != number:
                causes.append(field_invalid(f"{place}.hostPort", host, "must match "
                                            "`containerPort` when `hostNetwork` is true"))
        causes += one_of(port.get("protocol"), f"{place}.protocol", ("SCTP", "TCP", "UDP"))
    return causes


def _environment(container: Document, where: str) -> Causes:
    causes: Causes = []
    for at, variable in enumerate(items(container.get("env"))):
        place = f"{where}.env[{at}]"
        name = variable.get("name") or ""
        if not name:
            causes.append(field_required(f"{place}.name"))
        elif not re.fullmatch(r"[ -<>-~]+", name):
            causes.append(field_invalid(f"{place}.name", name, "a valid environment variable name "
                                        "must consist only of printable ASCII characters other "
                                        "than '='"))
        source = variable.get("valueFrom")
        if isinstance(source, dict):
            causes += _variable_source(source, f"{place}.valueFrom", variable.get("value"))
    return causes


def _variable_source(source: Document, place: str, value: Any) -> Causes:
    causes: Causes = []
    path = (source.get("fieldRef") or {}).get("fieldPath")
    if path and not _FIELD_PATHS.fullmatch(path):
        causes.append(field_invalid(f"{place}.fieldRef.fieldPath", path, "error converting "
                                    f"fieldPath: field label not supported: {path}"))
    for reference in ("configMapKeyRef", "secretKeyRef"):
        if isinstance(source.get(reference), dict) and not source[reference].get("key"):
            causes.append(field_required(f"{place}.{reference}.key"))
    if value:
        causes.append(field_invalid(place, "", "may not be specified when `value` is not empty"))
    return causes


def _handler(handler: Document, where: str) -> Causes:
    chosen = [each for each in _HANDLERS if handler.get(each) is not None]
    if not chosen:
        return [field_required(where, "must specify a handler type")]
    causes: Causes = [field_forbidden(f"{where}.{extra}", "may not specify more than 1 handler "
                                      "type") for extra in chosen[1:]]
    action = handler.get("httpGet")
    if isinstance(action, dict) and isinstance(action.get("port"), int) and chosen[0] == "httpGet":
        causes += common.port_faults(action["port"], f"{where}.httpGet.port")
    return causes


def _probe(probe: Document, where: str, name: str) -> Causes:
    causes = _handler(probe, where)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
                  "failureThreshold"):
        causes += common.at_least_zero(probe.get(field), f"{where}.{field}")
    if name != "readinessProbe" and probe.get("successThreshold") not in (None, 1):
        causes.append(field_invalid(f"{where}.successThreshold", probe["successThreshold"],
                                    "must be 1"))
    return causes


# -- resources -----------------------------------------------------------------------------------

def _resources(resources: Document, where: str) -> Causes:
    causes: Causes = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name in sorted(limits):
        causes += _amount(name, limits[name], f"{where}.limits")
    for name in sorted(requests):
        causes += _amount(name, requests[name], f"{where}.requests")
        if name in limits and compare(str(requests[name]), str(limits[name])) > 0:
            causes.append(field_invalid(f"{where}.requests", canonical(str(requests[name])),
                                        f"must be less than or equal to {name} limit of "
                                        f"{canonical(str(limits[name]))}"))
        elif name not in limits and "/" in name:
            causes.append(field_required(f"{where}.limits", "Limit must be set for non "
                                         "overcommitable resources"))
    pages = any(name.startswith("hugepages-") for name in (*limits, *requests))
    if pages and not any(name in ("cpu", "memory") for name in (*limits, *requests)):
        causes.append(field_forbidden(where, "HugePages require cpu or memory"))
    return causes


def _amount(name: str, amount: Any, where: str) -> Causes:
    place = f"{where}[{name}]"
    causes: Causes = []
    if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        causes.append(field_invalid(place, Shown(name), "must be a standard resource type or fully "
                                    "qualified"))
    if "/" not in name and name not in _COMPUTE and not name.startswith("hugepages-"):
        causes.append(field_invalid(place, Shown(name), "must be a standard resource for "
                                    "containers"))
    if common.negative(amount):
        causes.append(field_invalid(place, canonical(str(amount)), common.NEGATIVE_TEXT))
    if "/" in name and not common.whole(amount):
        causes.append(field_invalid(place, common.go_quantity(str(amount)), "must be an integer"))
    return causes


# -- scheduling ----------------------------------------------------------------------------------

def _tolerations(spec: Document, path: str) -> Causes:
    causes: Causes = []
    for at, each in enumerate(items(spec.get("tolerations"))):
        where = f"{path}.tolerations[{at}]"
        key, operator, effect = each.get("key"), each.get("operator"), each.get("effect")
        if key:
            causes += common.qualified_faults(key, f"{where}.key")
        elif operator != "Exists":
            causes.append(field_invalid(f"{where}.operator", operator or "", "operator must be "
                                        'Exists when `key` is empty, which means "match all '
                                        'values and all keys"'))
        if each.get("tolerationSeconds") is not None and effect != "NoExecute":
            causes.append(field_invalid(f"{where}.effect", effect or "", "effect must be "
                                        "'NoExecute' when `tolerationSeconds` is set"))
        if operator in ("", None, "Equal"):
            causes += common.labels_faults({"a": each.get("value") or ""}, f"{where}.operator")
        elif operator == "Exists":
            if each.get("value"):
                causes.append(field_invalid(f"{where}.operator", each["value"], "value must be "
                                            "empty when `operator` is 'Exists'"))
        else:
            causes += one_of(operator, f"{where}.operator", ("Equal", "Exists"))
        if effect:
            causes += one_of(effect, f"{where}.effect",
                             ("NoSchedule", "PreferNoSchedule", "NoExecute"))
    return causes


def _spread(spec: Document, path: str) -> Causes:
    causes: Causes = []
    for at, each in enumerate(items(spec.get("topologySpreadConstraints"))):
        where = f"{path}.topologySpreadConstraints[{at}]"
        if (each.get("maxSkew") or 0) <= 0:
            causes.append(field_invalid(f"{where}.maxSkew", each.get("maxSkew") or 0,
                                        "must be greater than zero"))
        if not each.get("topologyKey"):
            causes.append(field_required(f"{where}.topologyKey", "can not be empty"))
        causes += one_of(each.get("whenUnsatisfiable"), f"{where}.whenUnsatisfiable",
                         ("DoNotSchedule", "ScheduleAnyway"))
    return causes


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _affinity(affinity: Document, path: str) -> Causes:
    causes: Causes = []
    node = affinity.get("nodeAffinity") or {}
    required = node.get(_REQUIRED)
    if isinstance(required, dict):
        where = f"{path}.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
        terms = items(required.get("nodeSelectorTerms"))
        if not terms:
            causes.append(field_required(where, "must have at least one node selector term"))
        for at, term in enumerate(terms):
            causes += _node_term(term, f"{where}[{at}]")
    for at, each in enumerate(items(node.get(_PREFERRED))):
        causes += _weight(each, f"{path}.nodeAffinity.{_PREFERRED}[{at}]")
        causes += _node_term(each.get("preference") or {},
                             f"{path}.nodeAffinity.{_PREFERRED}[{at}].preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        wishes: Document = affinity.get(kind) or {}
        for at, term in enumerate(items(wishes.get(_REQUIRED))):
            causes += _pod_term(term, f"{path}.{kind}.{_REQUIRED}[{at}]")
        for at, each in enumerate(items(wishes.get(_PREFERRED))):
            where = f"{path}.{kind}.{_PREFERRED}[{at}]"
            causes += _weight(each, where)
            causes += _pod_term(each.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")
    return causes


def _weight(each: Document, where: str) -> Causes:
    weight = each.get("weight") or 0
    return [] if 1 <= weight <= 100 else [
        field_invalid(f"{where}.weight", weight, "must be in the range 1-100")]


def _node_term(term: Document, where: str) -> Causes:
    causes: Causes = []
    for at, each in enumerate(items(term.get("matchExpressions"))):
        place = f"{where}.matchExpressions[{at}]"
        operator, values = each.get("operator"), each.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                causes.append(field_required(f"{place}.values", "must be specified when "
                                             "`operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                causes.append(field_forbidden(f"{place}.values", "may not be specified when "
                                              "`operator` is 'Exists' or 'DoesNotExist'"))
        elif operator in ("Gt", "Lt"):
            if len(values) != 1:
                causes.append(field_required(f"{place}.values", "must be specified single value "
                                             "when `operator` is 'Lt' or 'Gt'"))
        else:
            causes.append(field_invalid(f"{place}.operator", operator or "",
                                        "not a valid selector operator"))
        causes += common.qualified_faults(each.get("key") or "", f"{place}.key")
    return causes


def _pod_term(term: Document, where: str) -> Causes:
    causes = common.selector_faults(term.get("labelSelector"), f"{where}.labelSelector")
    key = term.get("topologyKey") or ""
    if not key:
        causes.append(field_required(f"{where}.topologyKey", "can not be empty"))
    return causes + common.qualified_faults(key, f"{where}.topologyKey")
