"""PodSecurity: pods keep to the standard that the labels of their namespace demand.

Source: Kubernetes documentation, "Pod Security Standards" and "Pod Security Admission". The label
`enforce` refuses, `warn` warns; `audit` adds to the audit log, which is written at the front door
and does not show it. Templates of workloads are warned about, never refused.

Not modelled: exemptions, standards of older releases (every version is taken as the latest),
AppArmor profiles, and the list of pods that break a level which a namespace has just been given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from model.api.objects import PodSpec, write
from model.api.requests import Status, forbidden
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes

PREFIX = "pod-security.kubernetes.io/"
PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
TEMPLATES = frozenset(("ReplicationController", "ReplicaSet", "Deployment"))
MIRROR = "kubernetes.io/config.mirror"
DEFAULT_CAPABILITIES = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"))
SAFE_SYSCTLS = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_syncookies"))
SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t",
                           "container_engine_t"))
HARMLESS_VOLUMES = frozenset(("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral",
                              "persistentVolumeClaim", "projected", "secret"))
Document = dict[str, Any]
Rule = Callable[[Document, list[Document]], str]


def validate(attributes: Attributes, obj: Any) -> Status | None:
    """Why the namespace's level refuses a pod, None when it does not."""
    if obj.kind != "Pod" or obj.spec is None or not _looks(attributes, obj):
        return None
    level, version = _level(attributes, "enforce")
    found = violations(obj.spec, level)
    if not found:
        return None
    return forbidden("pods", obj.metadata.name or "",
                     f'violates PodSecurity "{level}:{version}": {found}')


def warnings(attributes: Attributes, obj: Any) -> tuple[str, ...]:
    """What the namespace's level warns of, in a pod or in the template of a workload."""
    spec = obj.spec if obj.kind == "Pod" else getattr(
        getattr(getattr(obj, "spec", None), "template", None), "spec", None)
    if spec is None or obj.kind not in (*TEMPLATES, "Pod") or not _looks(attributes, obj):
        return ()
    level, version = _level(attributes, "warn")
    found = violations(spec, level)
    return (f'would violate PodSecurity "{level}:{version}": {found}',) if found else ()


def _looks(attributes: Attributes, obj: Any) -> bool:
    if attributes.request.subresource or any(
            name == MIRROR for name, _ in obj.metadata.annotations or ()):
        return False
    return attributes.operation == CREATE or (
        attributes.old is not None and attributes.old.spec != obj.spec)


def _level(attributes: Attributes, mode: str) -> tuple[str, str]:
    namespace = attributes.known("namespaces", attributes.namespace)
    labels = dict((namespace.metadata.labels if namespace is not None else None) or ())
    level = labels.get(f"{PREFIX}{mode}", PRIVILEGED)
    return level, labels.get(f"{PREFIX}{mode}-version", "latest")


@lru_cache(maxsize=1024)
def violations(spec: PodSpec, level: str) -> str:
    """Everything in a pod that a level forbids, as one text; "" for nothing."""
    if level not in (BASELINE, RESTRICTED):
        return ""
    document = write(spec)
    containers = [*(document.get("initContainers") or ()), *(document.get("containers") or ()),
                  *(document.get("ephemeralContainers") or ())]
    rules = BASELINE_RULES if level == BASELINE else RESTRICTED_RULES
    return ", ".join(text for text in (rule(document, containers) for rule in rules) if text)


# -- words --------------------------------------------------------------------------------------


def _named(containers: Iterable[Document]) -> str:
    names = [f'"{each.get("name", "")}"' for each in containers]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _context(holder: Document) -> Document:
    return holder.get("securityContext") or {}


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in sorted(set(values)))


# -- baseline -----------------------------------------------------------------------------------


def _capabilities_baseline(spec: Document, containers: list[Document]) -> str:
    bad = [each for each in containers if _added(each) - DEFAULT_CAPABILITIES]
    if not bad:
        return ""
    extra = _quoted(name for each in bad for name in _added(each) - DEFAULT_CAPABILITIES)
    return (f"non-default capabilities ({_named(bad)} must not include {extra} in "
            "securityContext.capabilities.add)")


def _added(container: Document) -> set[str]:
    return set((_context(container).get("capabilities") or {}).get("add") or ())


def _host_namespaces(spec: Document, containers: list[Document]) -> str:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(found)})" if found else ""


def _host_paths(spec: Document, containers: list[Document]) -> str:
    found = [f'"{each["name"]}"' for each in spec.get("volumes") or () if "hostPath" in each]
    return (f"hostPath volumes (volume{'s' if len(found) > 1 else ''} {', '.join(found)})"
            if found else "")


def _host_ports(spec: Document, containers: list[Document]) -> str:
    bad = [each for each in containers
           if any(port.get("hostPort") for port in each.get("ports") or ())]
    ports = sorted({str(port["hostPort"]) for each in bad for port in each["ports"]
                    if port.get("hostPort")})
    if not bad:
        return ""
    return (f"hostPort ({_named(bad)} use{'' if len(bad) > 1 else 's'} "
            f"hostPort{'s' if len(ports) > 1 else ''} {', '.join(ports)})")


def _privileged(spec: Document, containers: list[Document]) -> str:
    bad = [each for each in containers if _context(each).get("privileged")]
    return (f"privileged ({_named(bad)} must not set securityContext.privileged=true)"
            if bad else "")


def _proc_mount(spec: Document, containers: list[Document]) -> str:
    bad = [each for each in containers
           if _context(each).get("procMount") not in (None, "Default")]
    values = _quoted(_context(each)["procMount"] for each in bad)
    return (f"procMount ({_named(bad)} must not set securityContext.procMount to {values})"
            if bad else "")


def _selinux(spec: Document, containers: list[Document]) -> str:
    setters, faults = [], []
    for holder, title in ((spec, "pod"), *((each, "") for each in containers)):
        options = _context(holder).get("seLinuxOptions") or {}
        wrong = []
        if (options.get("type") or "") not in SELINUX_TYPES:
            wrong.append(f'type "{options["type"]}"')
        wrong.extend(f"{name} may not be set" for name in ("user", "role") if options.get(name))
        if wrong:
            setters.append(title or _named([holder]))
            faults.extend(wrong)
    if not setters:
        return ""
    listed = "; ".join(dict.fromkeys(faults))
    return (f"seLinuxOptions ({' and '.join(setters)} set forbidden securityContext.seLinuxOptions"
            f": {listed})")


def _seccomp_type(holder: Document) -> Any:
    return (_context(holder).get("seccompProfile") or {}).get("type")


def _seccomp_baseline(spec: Document, containers: list[Document]) -> str:
    found = ["pod"] if _seccomp_type(spec) == "Unconfined" else []
    bad = [each for each in containers if _seccomp_type(each) == "Unconfined"]
    if bad:
        found.append(_named(bad))
    return (f"seccompProfile ({' and '.join(found)} must not set securityContext."
            'seccompProfile.type to "Unconfined")' if found else "")


def _sysctls(spec: Document, containers: list[Document]) -> str:
    found = [each.get("name", "") for each in _context(spec).get("sysctls") or ()
             if each.get("name") not in SAFE_SYSCTLS]
    return f"forbidden sysctls ({', '.join(found)})" if found else ""


def _host_process(spec: Document, containers: list[Document]) -> str:
    def wants(holder: Document) -> bool:
        return bool((_context(holder).get("windowsOptions") or {}).get("hostProcess"))
    found = ["pod"] if wants(spec) else []
    bad = [each for each in containers if wants(each)]
    if bad:
        found.append(_named(bad))
    return (f"hostProcess ({' and '.join(found)} must not set securityContext.windowsOptions."
            "hostProcess=true)" if found else "")


# -- restricted ---------------------------------------------------------------------------------


def _escalation(spec: Document, containers: list[Document]) -> str:
    bad = [each for each in containers
           if _context(each).get("allowPrivilegeEscalation") is not False]
    return (f"allowPrivilegeEscalation != false ({_named(bad)} must set "
            "securityContext.allowPrivilegeEscalation=false)" if bad else "")


def _capabilities_restricted(spec: Document, containers: list[Document]) -> str:
    undropped = [each for each in containers if "ALL" not in (
        (_context(each).get("capabilities") or {}).get("drop") or ())]
    adding = [each for each in containers if _added(each) - {"NET_BIND_SERVICE"}]
    found = []
    if undropped:
        found.append(f'{_named(undropped)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        extra = _quoted(name for each in adding for name in _added(each) - {"NET_BIND_SERVICE"})
        found.append(f"{_named(adding)} must not include {extra} in "
                     "securityContext.capabilities.add")
    return f"unrestricted capabilities ({'; '.join(found)})" if found else ""


def _volume_types(spec: Document, containers: list[Document]) -> str:
    bad: dict[str, str] = {}
    for volume in spec.get("volumes") or ():
        types = [field for field in volume if field != "name"]
        if types and types[0] not in HARMLESS_VOLUMES:
            bad[volume["name"]] = types[0]
    if not bad:
        return ""
    many, kinds = len(bad) > 1, _quoted(bad.values())
    names = ", ".join(f'"{name}"' for name in bad)
    return (f"restricted volume types (volume{'s' if many else ''} {names} use"
            f"{'' if many else 's'} restricted volume type"
            f"{'s' if len(set(bad.values())) > 1 else ''} {kinds})")


def _non_root(spec: Document, containers: list[Document]) -> str:
    whole = _context(spec).get("runAsNonRoot")
    denying = [each for each in containers if _context(each).get("runAsNonRoot") is False]
    if denying:
        return (f"runAsNonRoot != true ({_named(denying)} must not set "
                "securityContext.runAsNonRoot=false)")
    silent = [each for each in containers if _context(each).get("runAsNonRoot") is None]
    if not silent or whole is True:
        return ""
    if whole is False:
        return "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"
    return (f"runAsNonRoot != true (pod or {_named(silent)} must set "
            "securityContext.runAsNonRoot=true)")


def _root_user(spec: Document, containers: list[Document]) -> str:
    found = ["pod"] if _context(spec).get("runAsUser") == 0 else []
    bad = [each for each in containers if _context(each).get("runAsUser") == 0]
    if bad:
        found.append(_named(bad))
    return f"runAsUser=0 ({' and '.join(found)} must not set runAsUser=0)" if found else ""


def _seccomp_restricted(spec: Document, containers: list[Document]) -> str:
    allowed = ("RuntimeDefault", "Localhost")
    wrong = [each for each in containers if _seccomp_type(each) not in (None, *allowed)]
    if wrong:
        values = _quoted(_seccomp_type(each) for each in wrong)
        return (f"seccompProfile ({_named(wrong)} must not set securityContext.seccompProfile.type "
                f"to {values})")
    silent = [each for each in containers if _seccomp_type(each) is None]
    whole = _seccomp_type(spec)
    if whole in allowed or not silent:
        return ""
    if whole is not None:
        return ("seccompProfile (pod must not set securityContext.seccompProfile.type to "
                f'"{whole}")')
    return (f"seccompProfile (pod or {_named(silent)} must set securityContext.seccompProfile.type "
            'to "RuntimeDefault" or "Localhost")')


_BOTH: tuple[Rule, ...] = (_host_namespaces,)
_LATER: tuple[Rule, ...] = (_host_ports, _privileged, _proc_mount, _selinux)
BASELINE_RULES: tuple[Rule, ...] = (
    _capabilities_baseline, *_BOTH, _host_paths, *_LATER, _seccomp_baseline, _sysctls,
    _host_process)
RESTRICTED_RULES: tuple[Rule, ...] = (
    *_BOTH, *_LATER, _sysctls, _host_process, _escalation, _capabilities_restricted,
    _volume_types, _non_root, _root_user, _seccomp_restricted)
"""What the restricted level words more strictly stands there in place of the baseline's rule."""
