"""Descriptions of objects: `kubectl describe`, in the layout of release 1.32.

Not modelled: probes, volumes other than secrets, claims and projected tokens, and kinds that no
component of ours reads; these print their fields as a plain outline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from model.api import objects as api
from model.api.objects import EPOCH, milliseconds
from model.api.quantities import canonical, from_milli, from_units, milli, units
from reference_impl.lib import tables
from reference_impl.lib.ages import age, duration

Related = dict[str, tuple[Any, ...]]
Rows = list[tuple[str, ...]]
NONE = "<none>"


def description(obj: Any, related: Related, now: int) -> str:
    """The description of one object; `related` holds the lists that were read for it."""
    writer = _WRITERS.get(obj.kind, _outline)
    return writer(obj, related, now)


def moment(stamp: str | None) -> str:
    """A timestamp as descriptions print it: Mon, 23 Nov 2026 17:45:16 +0000."""
    if not stamp:
        return "<unset>"
    at = EPOCH + timedelta(milliseconds=milliseconds(stamp))
    return at.strftime("%a, %d %b %Y %H:%M:%S +0000")


def columns(rows: Iterable[tuple[str, ...]], indent: str = "") -> str:
    """Rows with two blanks between columns. A row of one cell breaks the columns."""
    text, block = [], []
    for row in [*rows, ("",)]:
        if len(row) > 1:
            block.append(row)
            continue
        text.append(tables.layout(block, indent, 2))
        block = []
        if row[0]:
            text.append(f"{indent}{row[0]}\n")
    return "".join(text)


def _pairs_rows(title: str, pairs: api.Pairs | None, mark: str) -> Rows:
    found = [f"{key}{mark}{value}" for key, value in pairs or ()] or [NONE]
    return [(title, found[0]), *(("", each) for each in found[1:])]


def _head(obj: Any, *, namespaced: bool = True) -> Rows:
    rows: Rows = [("Name:", obj.metadata.name or "")]
    if namespaced:
        rows.append(("Namespace:", obj.metadata.namespace or ""))
    return rows


def _labels(obj: Any) -> Rows:
    shown = tuple(pair for pair in obj.metadata.annotations or ()
                  if pair[0] != "kubectl.kubernetes.io/last-applied-configuration")
    return [*_pairs_rows("Labels:", obj.metadata.labels, "="),
            *_pairs_rows("Annotations:", shown, ": ")]


def events_of(obj: Any, related: Related, now: int, width: int = 0) -> str:
    """The events about an object, oldest first; `width` aligns the word <none> with the rest."""
    namespace = obj.metadata.namespace or "default"
    found = [event for event in related.get(f"events {namespace}", ())
             if event.involved_object and event.involved_object.uid in (obj.metadata.uid,
                                                                        obj.metadata.name)]
    if not found:
        return "Events:".ljust(width) + f"{'' if width else '  '}{NONE}\n"
    rows: Rows = [("Type", "Reason", "Age", "From", "Message"),
                  ("----", "------", "----", "----", "-------")]
    for event in found:
        source = event.source.component if event.source else None
        source = source or api.rest_fields(event).get("reportingComponent") or ""
        rows.append((event.type or "", event.reason or "", _event_age(event, now), source,
                     (event.message or "").strip()))
    return "Events:\n" + tables.layout(rows, "  ", 2)


def _event_age(event: api.Event, now: int) -> str:
    first = event.first_timestamp or api.rest_fields(event).get("eventTime")
    last = event.last_timestamp or first
    if (event.count_ or 1) > 1:
        return f"{age(last, now)} (x{event.count_} over {age(first, now)})"
    return age(first, now)


# ---- pods --------------------------------------------------------------------------------------


def _pod(pod: api.Pod, related: Related, now: int) -> str:
    spec, status = pod.spec or api.PodSpec(), pod.status or api.PodStatus()
    owner = api.controller_of(pod.metadata)
    rows = [*_head(pod), ("Priority:", str(spec.priority or 0)),
            ("Service Account:", spec.service_account_name or "default"),
            ("Node:", f"{spec.node_name}/{status.host_ip or ''}" if spec.node_name else NONE)]
    if status.start_time:
        rows.append(("Start Time:", moment(status.start_time)))
    rows += [*_labels(pod), ("Status:", _phase(pod, status, now))]
    rows += [(title, value) for title, value in (("Reason:", status.reason),
                                                 ("Message:", status.message)) if value]
    rows.append(("IP:", status.pod_ip or ""))
    if not status.pod_ips:
        rows.append(("IPs:", NONE))
    controlled: Rows = [("Controlled By:", f"{owner.kind}/{owner.name}")] if owner else []
    text = columns([*rows, *([] if status.pod_ips else controlled)])
    if status.pod_ips:
        text += "IPs:\n" + columns([*(("  IP:", each.ip or "") for each in status.pod_ips),
                                    *controlled])
    if spec.init_containers:
        text += _containers("Init Containers:", spec.init_containers,
                            status.init_container_statuses, "  ")
    text += _containers("Containers:", spec.containers or (), status.container_statuses, "  ")
    return text + _conditions(status.conditions) + _pod_tail(spec, status) + \
        events_of(pod, related, now, 29 if not _has_events(pod, related) else 0)


def _has_events(obj: Any, related: Related) -> bool:
    return any(event.involved_object and event.involved_object.uid == obj.metadata.uid
               for event in related.get(f"events {obj.metadata.namespace}", ()))


def _phase(pod: api.Pod, status: api.PodStatus, now: int) -> str:
    if pod.metadata.deletion_timestamp is None:
        return status.phase or ""
    left = milliseconds(pod.metadata.deletion_timestamp)
    return f"Terminating (lasts {duration(max(0, now - left))})"


def _conditions(conditions: tuple[api.Condition, ...] | None) -> str:
    if not conditions:
        return ""
    rows: Rows = [("Type ", "Status"), *((f"{each.type} ", f"{each.status} ")
                                        for each in conditions)]
    return "Conditions:\n" + tables.layout(rows, "  ", 2)


def _pod_tail(spec: api.PodSpec, status: api.PodStatus) -> str:
    text = _volumes(spec.volumes, "", 29) if spec.volumes else ""
    rows: Rows = [("QoS Class:", status.qos_class or "")] if status.qos_class else []
    rows += _pairs_rows("Node-Selectors:", spec.node_selector, "=")
    tolerations = [_toleration(each) for each in spec.tolerations or ()] or [NONE]
    rows += [("Tolerations:", tolerations[0]), *(("", each) for each in tolerations[1:])]
    return text + "".join(f"{title:<29}{value}\n" for title, value in rows)


def _toleration(each: api.Toleration) -> str:
    text = each.key or ""
    if each.value:
        text += f"={each.value}"
    if each.effect:
        text += f":{each.effect}"
    if each.operator == "Exists" and not each.value:
        text += " op=Exists" if text else "op=Exists"
    if each.toleration_seconds is not None:
        text += f" for {each.toleration_seconds}s"
    return text


def _volumes(volumes: tuple[api.Volume, ...] | None, indent: str, width: int) -> str:
    text = f"{indent}Volumes:\n"
    for volume in volumes or ():
        text += f"{indent}  {volume.name}:\n"
        rest = api.rest_fields(volume)
        if volume.secret:
            rows = [("Type:", "Secret (a volume populated by a Secret)"),
                    ("SecretName:", volume.secret.secret_name or "")]
        elif "projected" in rest:
            rows = [("Type:", "Projected (a volume that contains injected data from multiple "
                     "sources)"), *_projected(rest["projected"])]
        elif volume.persistent_volume_claim:
            rows = [("Type:", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in "
                     "the same namespace)"),
                    ("ClaimName:", volume.persistent_volume_claim.claim_name or "")]
        else:
            rows = [("Type:", next(iter(sorted(rest)), "emptyDir"))]
        text += "".join(f"{indent}    {title:<25}{value}\n" for title, value in rows)
    return text


def _projected(source: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for each in source.get("sources") or []:
        if "serviceAccountToken" in each:
            seconds = each["serviceAccountToken"].get("expirationSeconds", 3600)
            rows.append(("TokenExpirationSeconds:", str(seconds)))
        if "configMap" in each:
            rows.append(("ConfigMapName:", each["configMap"].get("name", "")))
            rows.append(("ConfigMapOptional:", "<nil>"))
        if "downwardAPI" in each:
            rows.append(("DownwardAPI:", "true"))
    return rows


def _containers(title: str, containers: tuple[api.Container, ...],
                statuses: tuple[api.ContainerStatus, ...] | None, indent: str) -> str:
    by_name = {each.name: each for each in statuses or ()}
    text = f"{indent[2:]}{title}\n"
    for container in containers:
        text += f"{indent}{container.name}:\n"
        text += _container(container, by_name.get(container.name), indent + "  ")
    return text


def _container(container: api.Container, status: api.ContainerStatus | None,
               indent: str) -> str:
    rows: Rows = []
    if status is not None:
        rows.append(("Container ID:", status.container_id or ""))
    rows.append(("Image:", container.image or ""))
    if status is not None:
        rows.append(("Image ID:", status.image_id or ""))
    ports = container.ports or ()
    plural = "s" if len(ports) > 1 else ""
    rows.append((f"Port{plural}:", ", ".join(
        f"{port.container_port}/{port.protocol or 'TCP'}" for port in ports) or NONE))
    rows.append((f"Host Port{plural}:", ", ".join(
        f"{port.host_port or 0}/{port.protocol or 'TCP'}" for port in ports) or NONE))
    if status is not None:
        rows += _state("State:", status.state)
        if status.last_state and any(status.last_state[:3]):
            rows += _state("Last State:", status.last_state)
        rows += [("Ready:", str(bool(status.ready))),
                 ("Restart Count:", str(status.restart_count or 0))]
    rows += _amounts(container.resources)
    mounts = [f"  {each.mount_path} from {each.name} ({'ro' if each.read_only else 'rw'})"
              for each in container.volume_mounts or ()]
    env = [(f"  {each.name}:", _env_value(each)) for each in container.env or ()]
    rows += [("Environment:",), *env] if env else [("Environment:", NONE)]
    rows += [("Mounts:",)] if mounts else [("Mounts:", NONE)]
    return columns(rows, indent) + "".join(f"{indent}{mount}\n" for mount in mounts)


def _env_value(each: api.EnvVar) -> str:
    source = api.rest_fields(each).get("valueFrom") or {}
    for field, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if field in source:
            found = source[field]
            return (f"<set to the key '{found.get('key')}' in {kind} '{found.get('name')}'>  "
                    f"Optional: {str(bool(found.get('optional'))).lower()}")
    if "fieldRef" in source:
        found = source["fieldRef"]
        return f" ({found.get('apiVersion', 'v1')}:{found.get('fieldPath')})"
    return each.value or ""


def _state(title: str, state: api.ContainerState | None) -> Rows:
    state = state or api.ContainerState()
    if state.running:
        return [(title, "Running"), ("  Started:", moment(state.running.started_at))]
    if state.terminated:
        ended = state.terminated
        rows: Rows = [(title, "Terminated")]
        if ended.reason:
            rows.append(("  Reason:", ended.reason))
        if ended.message:
            rows.append(("  Message:", ended.message))
        rows.append(("  Exit Code:", str(ended.exit_code or 0)))
        return [*rows, ("  Started:", moment(ended.started_at)),
                ("  Finished:", moment(ended.finished_at))]
    reason = state.waiting.reason if state.waiting else None
    return [(title, "Waiting"), *([("  Reason:", reason)] if reason else [])]


def _amounts(resources: api.ResourceRequirements | None) -> Rows:
    rows: Rows = []
    for title, amounts in (("Limits:", resources.limits), ("Requests:", resources.requests)) \
            if resources else ():
        if amounts:
            rows.append((title,))
            rows += [(f"  {name}:", amount) for name, amount in amounts]
    return rows


# ---- controllers -------------------------------------------------------------------------------


def _template(template: api.PodTemplateSpec | None, width: int = 0) -> str:
    template = template or api.PodTemplateSpec()
    metadata, spec = template.metadata or api.EMPTY_METADATA, template.spec or api.PodSpec()
    text = "Pod Template:\n" + columns(_pairs_rows("Labels:", metadata.labels, "="), "  ")
    if spec.service_account_name:
        text += f"  Service Account:  {spec.service_account_name}\n"
    body = _containers("Containers:", spec.containers or (), None, "   ")
    text += body.replace(" Containers:", "  Containers:", 1)
    rows: Rows = []
    if spec.volumes:
        text += _volumes(spec.volumes, " ", 0)
    else:
        rows.append(("Volumes:", NONE))
    rows += _pairs_rows("Node-Selectors:", spec.node_selector, "=")
    tolerations = [_toleration(each) for each in spec.tolerations or ()] or [NONE]
    rows += [("Tolerations:", tolerations[0]), *(("", each) for each in tolerations[1:])]
    width = max(_value_column(body), *(len(row[0]) + 4 for row in rows))
    return text + "".join(f"  {row[0]:<{width - 2}}{row[1]}\n" for row in rows)


def _value_column(text: str) -> int:
    """The column in which the values of the last block of containers stand."""
    line = next((line for line in reversed(text.splitlines()) if ":  " in line), "")
    return len(line) - len(line[line.index(":  ") + 1:].lstrip()) if line else 0


def _replicas(rc: Any, selector: str, pods: tuple[Any, ...], related: Related, now: int) -> str:
    status = rc.status or api.ReplicaStatus()
    owned = [pod for pod in pods if _owned(pod, rc)]
    phases = [pod.status.phase if pod.status else None for pod in owned]
    rows = [*_head(rc), ("Selector:", selector), *_labels(rc)]
    owner = api.controller_of(rc.metadata)
    if owner:
        rows.append(("Controlled By:", f"{owner.kind}/{owner.name}"))
    counts = (f"{phases.count('Running')} Running / {phases.count('Pending')} Waiting / "
              f"{phases.count('Succeeded')} Succeeded / {phases.count('Failed')} Failed")
    wish = rc.spec.replicas if rc.spec and rc.spec.replicas is not None else 0
    rows += [("Replicas:", f"{status.replicas or 0} current / {wish} desired"),
             ("Pods Status:", counts)]
    return columns(rows) + _template(rc.spec.template if rc.spec else None) + \
        events_of(rc, related, now)


def _owned(pod: Any, owner: Any) -> bool:
    found = api.controller_of(pod.metadata)
    return found is not None and found.uid == owner.metadata.uid


def _controller(rc: api.ReplicationController, related: Related, now: int) -> str:
    selector = tables.pairs_text(rc.spec.selector if rc.spec else None)
    return _replicas(rc, selector, related.get(f"pods {rc.metadata.namespace}", ()), related, now)


def _replica_set(rs: api.ReplicaSet, related: Related, now: int) -> str:
    selector = tables.selector_text(rs.spec.selector if rs.spec else None)
    return _replicas(rs, selector, related.get(f"pods {rs.metadata.namespace}", ()), related, now)


# ---- services ----------------------------------------------------------------------------------


def _service(service: api.Service, related: Related, now: int) -> str:
    spec = service.spec or api.ServiceSpec()
    rest = service.metadata.namespace or ""
    rows = [*_head(service), *_labels(service), *_pairs_rows("Selector:", (), "="),
            ("Type:", spec.type or "ClusterIP")]
    rows[rows.index(("Selector:", NONE))] = ("Selector:", tables.pairs_text(spec.selector))
    rows += [(title, value) for title, value in (
        ("IP Family Policy:", spec.ip_family_policy), ("IP Families:", ",".join(
            spec.ip_families or ()))) if value]
    rows += [("IP:", spec.cluster_ip or ""), ("IPs:", ",".join(spec.cluster_ips or ()) or NONE)]
    balancer = service.status.load_balancer if service.status else None
    found = [each.ip or each.hostname or "" for each in (balancer.ingress or ()
                                                         if balancer else ())]
    if spec.external_ips:
        rows.append(("External IPs:", ",".join(spec.external_ips)))
    if spec.external_name:
        rows.append(("External Name:", spec.external_name))
    if found:
        rows.append(("LoadBalancer Ingress:", ", ".join(found)))
    subsets = next((each.subsets for each in related.get(f"endpoints {rest}", ())
                    if each.metadata.name == service.metadata.name), None)
    for port in spec.ports or ():
        rows += _port_rows(port, subsets)
    rows.append(("Session Affinity:", spec.session_affinity or "None"))
    rows += [(title, value) for title, value in (
        ("External Traffic Policy:", spec.external_traffic_policy),
        ("Internal Traffic Policy:", spec.internal_traffic_policy)) if value]
    events = events_of(service, related, now, -1)
    if events.endswith(f"{NONE}\n"):
        return columns([*rows, ("Events:", NONE)])
    return columns(rows) + events


def _port_rows(port: api.ServicePort, subsets: tuple[api.EndpointSubset, ...] | None) -> Rows:
    name, protocol = port.name or "<unset>", port.protocol or "TCP"
    target = port.target_port if port.target_port is not None else port.port
    rows: Rows = [("Port:", f"{name}  {port.port}/{protocol}"),
                  ("TargetPort:", f"{target}/{protocol}")]
    if port.node_port:
        rows.append(("NodePort:", f"{name}  {port.node_port}/{protocol}"))
    ends = [f"{address.ip}:{each.port}" for subset in subsets or ()
            for each in subset.ports or () if (each.name or "") == (port.name or "")
            for address in subset.addresses or ()]
    shown = ",".join(ends[:3]) + (f" + {len(ends) - 3} more..." if len(ends) > 3 else "")
    return [*rows, ("Endpoints:", shown)]


def _endpoints(endpoints: api.Endpoints, related: Related, now: int) -> str:
    text = columns([*_head(endpoints), *_labels(endpoints)]) + "Subsets:\n"
    for subset in endpoints.subsets or ():
        ready = ",".join(each.ip or "" for each in subset.addresses or ()) or NONE
        waiting = ",".join(each.ip or "" for each in subset.not_ready_addresses or ()) or NONE
        text += columns([("Addresses:", ready), ("NotReadyAddresses:", waiting)], "  ")
        if subset.ports:
            rows: Rows = [("Name", "Port", "Protocol"), ("----", "----", "--------")]
            rows += [(each.name or "<unset>", str(each.port), each.protocol or "TCP")
                     for each in subset.ports]
            text += "  Ports:\n" + tables.layout(rows, "    ", 2)
        text += "\n"
    return text + events_of(endpoints, related, now)


# ---- nodes, namespaces -------------------------------------------------------------------------


def _node(node: api.Node, related: Related, now: int) -> str:
    spec, status = node.spec or api.NodeSpec(), node.status or api.NodeStatus()
    rows = [*_head(node, namespaced=False), ("Roles:", tables.node_roles(node)), *_labels(node),
            ("CreationTimestamp:", moment(node.metadata.creation_timestamp))]
    taints = [f"{taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}"
              for taint in spec.taints or ()] or [NONE]
    rows += [("Taints:", taints[0]), *(("", taint) for taint in taints[1:]),
             ("Unschedulable:", str(bool(spec.unschedulable)).lower())]
    text = columns(rows)
    lease = next((each for each in related.get("leases kube-node-lease", ())
                  if each.metadata.name == node.metadata.name), None)
    if lease is not None and lease.spec is not None:
        text += "Lease:\n" + columns([("HolderIdentity:", lease.spec.holder_identity or "<unset>"),
                                      ("AcquireTime:", moment(lease.spec.acquire_time)),
                                      ("RenewTime:", moment(lease.spec.renew_time))], "  ")
    heads: Rows = [("Type ", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason",
                    "Message"), ("----", "------", "-----------------", "------------------",
                                 "------", "-------")]
    heads += [(f"{each.type} ", each.status or "", f"{moment(each.last_heartbeat_time)} ",
               f"{moment(each.last_transition_time)} ", f"{each.reason or ''} ",
               each.message or "") for each in status.conditions or ()]
    text += "Conditions:\n" + tables.layout(heads, "  ", 2)
    text += "Addresses:\n" + columns([(f"{each.type}:", each.address or "")
                                      for each in status.addresses or ()], "  ")
    for title, amounts in (("Capacity:", status.capacity), ("Allocatable:", status.allocatable)):
        text += f"{title}\n" + columns([(f"{name}:", amount) for name, amount in amounts or ()],
                                       "  ")
    return text + _node_tail(node, status, related, now)


def _node_tail(node: api.Node, status: api.NodeStatus, related: Related, now: int) -> str:
    info = status.node_info or api.NodeSystemInfo()
    titles = ("Machine ID:", "System UUID:", "Boot ID:", "Kernel Version:", "OS Image:",
              "Operating System:", "Architecture:", "Container Runtime Version:",
              "Kubelet Version:", "Kube-Proxy Version:")
    values = (info.machine_id, info.system_uuid, info.boot_id, info.kernel_version, info.os_image,
              info.operating_system, info.architecture, info.container_runtime_version,
              info.kubelet_version, info.kube_proxy_version)
    pods = [pod for pod in related.get("pods", ())
            if pod.spec and pod.spec.node_name == node.metadata.name
            and (pod.status.phase if pod.status else "") not in ("Succeeded", "Failed")]
    rows: Rows = [(f"  {title}", value or "")
                  for title, value in zip(titles, values, strict=True)]
    text = "System Info:\n" + columns([*rows, ("Non-terminated Pods:",
                                               f"({len(pods)} in total)")])
    room = dict(status.allocatable or ())
    lines: Rows = [("Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests",
                    "Memory Limits", "Age"),
                   ("---------", "----", "------------", "----------", "---------------",
                    "-------------", "---")]
    for pod in pods:
        use = _pod_use(pod)
        lines.append((pod.metadata.namespace or "", pod.metadata.name or "",
                      *(_share(name, use[which].get(name, 0), room)
                        for name in ("cpu", "memory") for which in ("requests", "limits")),
                      age(pod.metadata.creation_timestamp, now)))
    lines = [(row[0].ljust(26), *row[1:]) for row in lines]
    text += tables.layout(lines, "  ", 2) + "Allocated resources:\n"
    text += "  (Total limits may be over 100 percent, i.e., overcommitted.)\n"
    total: Rows = [("Resource", "Requests", "Limits"), ("--------", "--------", "------")]
    for name in ("cpu", "memory", "ephemeral-storage"):
        total.append((name, *(_share(name, sum(_pod_use(pod)[which].get(name, 0)
                                               for pod in pods), room)
                              for which in ("requests", "limits"))))
    text += tables.layout(total, "  ", 2)
    return text + events_of(node, related, now, 21)


def _pod_use(pod: api.Pod) -> dict[str, dict[str, int]]:
    """Requests and limits of a pod: milli-cores for cpu, units for the rest."""
    use: dict[str, dict[str, int]] = {"requests": {}, "limits": {}}
    for container in (pod.spec.containers or ()) if pod.spec else ():
        for which, amounts in use.items():
            for name, text in getattr(container.resources, which, None) or ():
                size = milli(text) if name == "cpu" else units(text)
                amounts[name] = amounts.get(name, 0) + size
    return use


def _share(name: str, amount: int, room: dict[str, str]) -> str:
    """An amount and its share of what a node can give."""
    size = milli(room.get(name, "0")) if name == "cpu" else units(room.get(name, "0"))
    text = from_milli(amount) if name == "cpu" else from_units(amount, room.get(name, "0"))
    return f"{canonical(text)} ({amount * 100 // size if size else 0}%)"


def _namespace(namespace: api.Namespace, related: Related, now: int) -> str:
    rows = [*_head(namespace, namespaced=False), *_labels(namespace),
            ("Status:", (namespace.status.phase if namespace.status else None) or "")]
    text = columns(rows)
    quotas = related.get(f"resourcequotas {namespace.metadata.name}", ())
    if not quotas:
        text += "\nNo resource quota.\n"
    else:
        text += "\nResource Quotas\n"
        for quota in quotas:
            text += _quota_lines(quota)
    if not related.get(f"limitranges {namespace.metadata.name}", ()):
        text += "\nNo LimitRange resource.\n"
    return text


def _quota_lines(quota: api.ResourceQuota) -> str:
    used = dict(quota.status.used or ()) if quota.status else {}
    hard = (quota.status.hard or ()) if quota.status else ()
    rows: Rows = [("Name:", quota.metadata.name or "", ""), ("Resource", "Used", "Hard"),
                  ("--------", "---", "---")]
    rows += [(name, used.get(name, "0"), amount) for name, amount in hard]
    return tables.layout(rows, "  ", 2)


def _quota(quota: api.ResourceQuota, related: Related, now: int) -> str:
    used = dict(quota.status.used or ()) if quota.status else {}
    hard = (quota.status.hard or ()) if quota.status else ()
    rows: Rows = [("Name:", quota.metadata.name or ""),
                  ("Namespace:", quota.metadata.namespace or ""), ("Resource", "Used", "Hard"),
                  ("--------", "----", "----")]
    rows += [(name, used.get(name, "0"), amount) for name, amount in hard]
    return tables.layout(rows, "", 2)


# ---- the rest ----------------------------------------------------------------------------------


def _secret(secret: api.Secret, related: Related, now: int) -> str:
    import base64

    text = columns([*_head(secret), *_labels(secret)])
    text += f"\nType:  {secret.type or 'Opaque'}\n\nData\n====\n"
    return text + columns([(f"{key}:", f"{len(base64.b64decode(value))} bytes")
                           for key, value in secret.data or ()])


def _config_map(config: api.ConfigMap, related: Related, now: int) -> str:
    text = columns([*_head(config), *_labels(config)]) + "\nData\n====\n"
    for key, value in config.data or ():
        text += f"{key}:\n----\n{value}\n\n"
    text += "\nBinaryData\n====\n"
    return text + "\n" + events_of(config, related, now)


def _account(account: api.ServiceAccount, related: Related, now: int) -> str:
    pulls = [each.name or "" for each in account.image_pull_secrets or ()] or [NONE]
    mounts = [each.name or "" for each in account.secrets or ()] or [NONE]
    tokens = [secret.metadata.name for secret in
              related.get(f"secrets {account.metadata.namespace}", ())
              if secret.type == "kubernetes.io/service-account-token" and
              api.annotation(secret.metadata, "kubernetes.io/service-account.uid")
              == account.metadata.uid] or [NONE]
    rows = [*_head(account), *_labels(account)]
    for title, values in (("Image pull secrets:", pulls), ("Mountable secrets:", mounts),
                          ("Tokens:", tokens)):
        rows += [(title, values[0] or ""), *(("", value or "") for value in values[1:])]
    events = events_of(account, related, now, -1)
    if events.endswith(f"{NONE}\n"):
        return columns([*rows, ("Events:", NONE)])
    return columns(rows) + events


def _outline(obj: Any, related: Related, now: int) -> str:
    """Any other object: its fields as an outline, names in words."""
    document = api.thaw(obj)
    namespaced = obj.metadata.namespace is not None
    text = columns([*_head(obj, namespaced=namespaced), *_labels(obj),
                    ("API Version:", document["apiVersion"]), ("Kind:", document["kind"])])
    body = {key: value for key, value in document.items()
            if key not in ("apiVersion", "kind", "metadata")}
    kept = ("creationTimestamp", "resourceVersion", "uid", "generation")
    metadata = {key: document["metadata"][key] for key in kept if key in document["metadata"]}
    text += _outline_of({"metadata": metadata, **body}, "")
    return text + events_of(obj, related, now)


def _outline_of(value: dict[str, Any], indent: str) -> str:
    text = ""
    plain: Rows = []
    for key in sorted(value):
        entry = value[key]
        if isinstance(entry, (dict, list)) and entry:
            text += columns(plain, indent)
            plain = []
            text += f"{indent}{_in_words(key)}:\n" + _outline_entry(entry, indent + "  ")
        else:
            plain.append((f"{_in_words(key)}:", str(entry)))
    return text + columns(plain, indent)


def _outline_entry(entry: Any, indent: str) -> str:
    if isinstance(entry, dict):
        return _outline_of(entry, indent)
    return "".join(_outline_of(each, indent) if isinstance(each, dict) else f"{indent}{each}\n"
                   for each in entry)


def _in_words(key: str) -> str:
    """`leaseDurationSeconds` as `Lease Duration Seconds`, `uid` as `UID`."""
    if key in ("uid", "ip"):
        return key.upper()
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in key)
    return words[:1].upper() + words[1:]


_WRITERS: dict[str, Callable[[Any, Related, int], str]] = {
    "Pod": _pod, "ReplicationController": _controller, "ReplicaSet": _replica_set,
    "Service": _service, "Endpoints": _endpoints, "Node": _node, "Namespace": _namespace,
    "Secret": _secret, "ConfigMap": _config_map, "ServiceAccount": _account,
    "ResourceQuota": _quota,
}
