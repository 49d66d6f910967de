"""Tables of objects: the columns that clients and servers print for each kind.

Source: the recorded output of kubectl 1.32, and for release 1.3 the transcript of the worked
example. In newer releases the API server makes these cells, in 1.3 the client did; both call this.

Kinds that are stored as documents have theirs in `document_tables`. Not modelled: columns of other
kinds (they print name and age).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from model.api import objects as api
from model.api.conditions import is_true
from model.api.metadata import annotation
from model.api.selectors import from_object, label_text
from reference_impl.lib.ages import age, old_age
from reference_impl.lib.document_tables import DOCUMENT_VIEWS

NONE = "<none>"
Cells = tuple[str, ...]
GAP = 3
WIDTH_MIN = 6


class View(NamedTuple):
    """How a kind is printed: headers, headers that only wide output has, and the cells of both."""

    headers: Cells
    wide: Cells
    cells: Callable[[Any, int], tuple[Cells, Cells]]


def layout(rows: Iterable[Cells], indent: str = "", gap: int = GAP, least: int = 0) -> str:
    """Rows as text: each column as wide as its longest cell, the last one not padded."""
    lines = [tuple(row) for row in rows]
    if not lines:
        return ""
    widths = [max(max(len(line[at]) for line in lines if at < len(line)) + gap, least)
              for at in range(max(map(len, lines)))]
    text = []
    for line in lines:
        padded = [cell.ljust(widths[at]) for at, cell in enumerate(line[:-1])]
        text.append(indent + "".join(padded) + line[-1])
    return "\n".join(text) + "\n"


def table(rows: Iterable[Cells]) -> str:
    """Rows as `kubectl get` lays them out."""
    return layout(rows, least=WIDTH_MIN)


# ---- pods --------------------------------------------------------------------------------------


class PodCells(NamedTuple):
    """What a table says about a pod."""

    ready: int
    total: int
    status: str
    restarts: int
    last_restart: str


def pod_cells(pod: api.Pod) -> PodCells:
    """Ready count, status word and restarts of a pod, by the rules of kubectl's printer."""
    spec, status = pod.spec or api.PodSpec(), pod.status or api.PodStatus()
    containers = spec.containers or ()
    word = status.reason or status.phase or "Unknown"
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            word = "SchedulingGated"
    started, init_word, init_restarts, init_last = _init_word(spec, status)
    if not started:
        word, restarts, last, ready = init_word, init_restarts, init_last, 0
    else:
        word, restarts, last, ready = _container_words(status, word)
    if pod.metadata.deletion_timestamp is not None:
        word = "Unknown" if status.reason == "NodeLost" else "Terminating"
    return PodCells(ready, len(containers), word, restarts, last)


def _init_word(spec: api.PodSpec, status: api.PodStatus) -> tuple[bool, str, int, str]:
    """Whether init containers are done; if not, the status word, restarts and last restart."""
    restarts, last = 0, ""
    wanted = spec.init_containers or ()
    sidecars = {each.name for each in wanted if each.restart_policy == "Always"}
    for at, container in enumerate(status.init_container_statuses or ()):
        restarts += container.restart_count or 0
        last = max(last, _finished_at(container))
        state = container.state or api.ContainerState()
        if state.terminated is not None and state.terminated.exit_code == 0:
            continue
        if container.name in sidecars and container.started:
            continue
        if state.terminated is not None:
            return False, "Init:" + _ended(state.terminated), restarts, last
        if state.waiting is not None and state.waiting.reason not in (None, "PodInitializing"):
            return False, f"Init:{state.waiting.reason}", restarts, last
        return False, f"Init:{at}/{len(wanted)}", restarts, last
    return True, "", restarts, last


def _container_words(status: api.PodStatus, word: str) -> tuple[str, int, str, int]:
    restarts, last, ready, running = 0, "", 0, False
    for container in reversed(status.container_statuses or ()):
        restarts += container.restart_count or 0
        last = max(last, _finished_at(container))
        state = container.state or api.ContainerState()
        if state.waiting is not None and state.waiting.reason:
            word = state.waiting.reason
        elif state.terminated is not None:
            word = _ended(state.terminated)
        elif container.ready and state.running is not None:
            running = True
            ready += 1
    if word == "Completed" and running:
        word = "Running" if is_true(status.conditions, "Ready") else "NotReady"
    return word, restarts, last, ready


def _ended(terminated: api.ContainerStateTerminated) -> str:
    if terminated.reason:
        return terminated.reason
    if terminated.signal:
        return f"Signal:{terminated.signal}"
    return f"ExitCode:{terminated.exit_code or 0}"


def _finished_at(container: api.ContainerStatus) -> str:
    ended = container.last_state.terminated if container.last_state else None
    return (ended.finished_at or "") if ended else ""


def _pod(pod: api.Pod, now: int) -> tuple[Cells, Cells]:
    cells = pod_cells(pod)
    restarts = str(cells.restarts)
    if cells.restarts and cells.last_restart:
        restarts += f" ({age(cells.last_restart, now)} ago)"
    status, spec = pod.status or api.PodStatus(), pod.spec or api.PodSpec()
    gates = api.rest_fields(spec).get("readinessGates") or []
    met = sum(is_true(status.conditions, gate.get("conditionType", "")) for gate in gates)
    return ((pod.metadata.name or "", f"{cells.ready}/{cells.total}", cells.status, restarts,
             age(pod.metadata.creation_timestamp, now)),
            (status.pod_ip or NONE, spec.node_name or NONE,
             status.nominated_node_name or NONE, f"{met}/{len(gates)}" if gates else NONE))


# ---- workloads ---------------------------------------------------------------------------------


def _template_cells(template: api.PodTemplateSpec | None, selector: str) -> Cells:
    containers = (template.spec.containers or ()) if template and template.spec else ()
    return (",".join(each.name or "" for each in containers),
            ",".join(each.image or "" for each in containers), selector or NONE)


def pairs_text(pairs: api.Pairs | None) -> str:
    """A map of strings as `a=1,b=2`, `<none>` when it is empty."""
    return ",".join(f"{key}={value}" for key, value in pairs or ()) or NONE


def _controller(rc: api.ReplicationController, now: int) -> tuple[Cells, Cells]:
    spec = rc.spec or api.ReplicationControllerSpec()
    status = rc.status or api.ReplicaStatus()
    return ((rc.metadata.name or "", str(spec.replicas or 0), str(status.replicas or 0),
             str(status.ready_replicas or 0), age(rc.metadata.creation_timestamp, now)),
            _template_cells(spec.template, pairs_text(spec.selector)))


def selector_text(selector: api.LabelSelector | None) -> str:
    """A LabelSelector as text, `<none>` when it is absent or empty."""
    return label_text(from_object(selector) or ()) or NONE


def _replica_set(rs: api.ReplicaSet, now: int) -> tuple[Cells, Cells]:
    spec, status = rs.spec or api.ReplicaSetSpec(), rs.status or api.ReplicaStatus()
    return ((rs.metadata.name or "", str(spec.replicas or 0), str(status.replicas or 0),
             str(status.ready_replicas or 0), age(rs.metadata.creation_timestamp, now)),
            _template_cells(spec.template, selector_text(spec.selector)))


def _deployment(deployment: api.Deployment, now: int) -> tuple[Cells, Cells]:
    spec = deployment.spec or api.DeploymentSpec()
    status = deployment.status or api.DeploymentStatus()
    return ((deployment.metadata.name or "",
             f"{status.ready_replicas or 0}/{spec.replicas or 0}",
             str(status.updated_replicas or 0), str(status.available_replicas or 0),
             age(deployment.metadata.creation_timestamp, now)),
            _template_cells(spec.template, selector_text(spec.selector)))


def _budget(budget: api.PodDisruptionBudget, now: int) -> tuple[Cells, Cells]:
    spec = budget.spec or api.PodDisruptionBudgetSpec()
    status = budget.status or api.PodDisruptionBudgetStatus()
    least = "N/A" if spec.min_available is None else str(spec.min_available)
    most = "N/A" if spec.max_unavailable is None else str(spec.max_unavailable)
    return ((budget.metadata.name or "", least, most, str(status.disruptions_allowed or 0),
             age(budget.metadata.creation_timestamp, now)), ())


# ---- services ----------------------------------------------------------------------------------


def external_ip(service: api.Service, wide: bool = False) -> str:
    """The cell EXTERNAL-IP of a service."""
    spec = service.spec or api.ServiceSpec()
    if spec.type == "ExternalName":
        return spec.external_name or NONE
    given = list(spec.external_ips or ())
    if spec.type == "LoadBalancer":
        balancer = service.status.load_balancer if service.status else None
        found = [each.ip or each.hostname or "" for each in
                 (balancer.ingress or () if balancer else ())]
        text = ",".join(dict.fromkeys(found))
        if len(text) > 16 and not wide:
            text = text[:13] + "..."
        return ",".join([text, *given]) if text else ",".join(given) or "<pending>"
    return ",".join(given) or NONE


def ports_text(ports: tuple[api.ServicePort, ...] | None) -> str:
    """The cell PORT(S): `8080:30001/TCP` with a node port, else `3306/TCP`."""
    return ",".join(
        f"{port.port}:{port.node_port}/{port.protocol or 'TCP'}" if port.node_port
        else f"{port.port}/{port.protocol or 'TCP'}" for port in ports or ()) or NONE


def _service(service: api.Service, now: int) -> tuple[Cells, Cells]:
    spec = service.spec or api.ServiceSpec()
    return ((service.metadata.name or "", spec.type or "ClusterIP", spec.cluster_ip or NONE,
             external_ip(service), ports_text(spec.ports),
             age(service.metadata.creation_timestamp, now)), (pairs_text(spec.selector),))


def endpoints_text(subsets: tuple[api.EndpointSubset, ...] | None, most: int = 3) -> str:
    """Ready addresses with their ports; the first three, then how many more."""
    found = [f"{address.ip}:{port.port}" if port else f"{address.ip}"
             for subset in subsets or () for port in subset.ports or (None,)
             for address in subset.addresses or ()]
    if not found:
        return NONE
    shown = ",".join(found[:most])
    return f"{shown} + {len(found) - most} more..." if len(found) > most else shown


def _endpoints(endpoints: api.Endpoints, now: int) -> tuple[Cells, Cells]:
    return ((endpoints.metadata.name or "", endpoints_text(endpoints.subsets),
             age(endpoints.metadata.creation_timestamp, now)), ())


# ---- nodes -------------------------------------------------------------------------------------


def node_roles(node: api.Node) -> str:
    """The roles that a node's labels name."""
    roles = []
    for key, value in node.metadata.labels or ():
        if key.startswith("node-role.kubernetes.io/"):
            roles.append(key.removeprefix("node-role.kubernetes.io/"))
        elif key == "kubernetes.io/role" and value:
            roles.append(value)
    return ",".join(sorted(set(filter(None, roles)))) or NONE


def node_status(node: api.Node) -> str:
    """Ready, NotReady or Unknown, and whether scheduling is disabled."""
    word = "Unknown"
    for condition in (node.status.conditions or ()) if node.status else ():
        if condition.type == "Ready":
            word = "Ready" if condition.status == "True" else "NotReady"
    if node.spec and node.spec.unschedulable:
        word += ",SchedulingDisabled"
    return word


def _node(node: api.Node, now: int) -> tuple[Cells, Cells]:
    status = node.status or api.NodeStatus()
    info = status.node_info or api.NodeSystemInfo()
    addresses = {each.type: each.address for each in reversed(status.addresses or ())}
    return ((node.metadata.name or "", node_status(node), node_roles(node),
             age(node.metadata.creation_timestamp, now), info.kubelet_version or ""),
            (addresses.get("InternalIP") or NONE, addresses.get("ExternalIP") or NONE,
             info.os_image or "<unknown>", info.kernel_version or "<unknown>",
             info.container_runtime_version or "<unknown>"))


# ---- the rest ----------------------------------------------------------------------------------


def _plain(obj: Any, now: int) -> tuple[Cells, Cells]:
    return (obj.metadata.name or "", age(obj.metadata.creation_timestamp, now)), ()


def _created(obj: Any, now: int) -> tuple[Cells, Cells]:
    return (obj.metadata.name or "", obj.metadata.creation_timestamp or ""), ()


def _namespace(namespace: api.Namespace, now: int) -> tuple[Cells, Cells]:
    phase = (namespace.status.phase if namespace.status else None) or ""
    return ((namespace.metadata.name or "", phase,
             age(namespace.metadata.creation_timestamp, now)), ())


def _account(account: api.ServiceAccount, now: int) -> tuple[Cells, Cells]:
    return ((account.metadata.name or "", str(len(account.secrets or ())),
             age(account.metadata.creation_timestamp, now)), ())


def _secret(secret: api.Secret, now: int) -> tuple[Cells, Cells]:
    return ((secret.metadata.name or "", secret.type or "Opaque", str(len(secret.data or ())),
             age(secret.metadata.creation_timestamp, now)), ())


def _config_map(config: api.ConfigMap, now: int) -> tuple[Cells, Cells]:
    entries = len(config.data or ()) + len(config.binary_data or ())
    return ((config.metadata.name or "", str(entries),
             age(config.metadata.creation_timestamp, now)), ())


def _quota(quota: api.ResourceQuota, now: int) -> tuple[Cells, Cells]:
    status = quota.status or api.ResourceQuotaStatus()
    used = dict(status.used or ())
    listed: dict[bool, list[str]] = {True: [], False: []}
    for name, hard in status.hard or ():
        listed[name.startswith("limits")].append(f"{name}: {used.get(name, '0')}/{hard}")
    return ((quota.metadata.name or "", age(quota.metadata.creation_timestamp, now),
             ", ".join(listed[False]), ", ".join(listed[True])), ())


def _event(event: api.Event, now: int) -> tuple[Cells, Cells]:
    about = event.involved_object or api.ObjectReference()
    rest = api.rest_fields(event)
    first = event.first_timestamp or rest.get("eventTime")
    last = event.last_timestamp or first
    source = event.source or api.EventSource()
    component = source.component or rest.get("reportingComponent") or ""
    host = source.host or rest.get("reportingInstance") or ""
    return ((age(last, now), event.type or "", event.reason or "",
             f"{(about.kind or '').lower()}/{about.name}", (event.message or "").strip()),
            (about.field_path or "", f"{component}, {host}" if host else component,
             age(first, now), str(event.count_ or 1), event.metadata.name or ""))


def _lease(lease: api.Lease, now: int) -> tuple[Cells, Cells]:
    holder = (lease.spec.holder_identity if lease.spec else None) or ""
    return ((lease.metadata.name or "", holder, age(lease.metadata.creation_timestamp, now)), ())


def _priority_class(priority: api.PriorityClass, now: int) -> tuple[Cells, Cells]:
    return ((priority.metadata.name or "", str(priority.value or 0),
             "true" if priority.global_default else "false",
             age(priority.metadata.creation_timestamp, now),
             priority.preemption_policy or "PreemptLowerPriority"), ())


def _role_binding(binding: Any, now: int) -> tuple[Cells, Cells]:
    role = binding.role_ref or api.RoleRef()
    users, groups, accounts = [], [], []
    for subject in binding.subjects or ():
        if subject.kind == "User":
            users.append(subject.name or "")
        elif subject.kind == "Group":
            groups.append(subject.name or "")
        else:
            accounts.append(f"{subject.namespace or ''}/{subject.name}")
    return ((binding.metadata.name or "", f"{role.kind}/{role.name}",
             age(binding.metadata.creation_timestamp, now)),
            (", ".join(users), ", ".join(groups), ", ".join(accounts)))


_TEMPLATE = ("CONTAINERS", "IMAGES", "SELECTOR")
VIEWS: dict[str, View] = {
    "Pod": View(("NAME", "READY", "STATUS", "RESTARTS", "AGE"),
                ("IP", "NODE", "NOMINATED NODE", "READINESS GATES"), _pod),
    "ReplicationController": View(("NAME", "DESIRED", "CURRENT", "READY", "AGE"), _TEMPLATE,
                                  _controller),
    "ReplicaSet": View(("NAME", "DESIRED", "CURRENT", "READY", "AGE"), _TEMPLATE, _replica_set),
    "Deployment": View(("NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"), _TEMPLATE,
                       _deployment),
    "PodDisruptionBudget": View(("NAME", "MIN AVAILABLE", "MAX UNAVAILABLE",
                                 "ALLOWED DISRUPTIONS", "AGE"), (), _budget),
    "Service": View(("NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"),
                    ("SELECTOR",), _service),
    "Endpoints": View(("NAME", "ENDPOINTS", "AGE"), (), _endpoints),
    "Node": View(("NAME", "STATUS", "ROLES", "AGE", "VERSION"),
                 ("INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION",
                  "CONTAINER-RUNTIME"), _node),
    "Namespace": View(("NAME", "STATUS", "AGE"), (), _namespace),
    "ServiceAccount": View(("NAME", "SECRETS", "AGE"), (), _account),
    "Secret": View(("NAME", "TYPE", "DATA", "AGE"), (), _secret),
    "ConfigMap": View(("NAME", "DATA", "AGE"), (), _config_map),
    "ResourceQuota": View(("NAME", "AGE", "REQUEST", "LIMIT"), (), _quota),
    "LimitRange": View(("NAME", "CREATED AT"), (), _created),
    "Role": View(("NAME", "CREATED AT"), (), _created),
    "ClusterRole": View(("NAME", "CREATED AT"), (), _created),
    "RoleBinding": View(("NAME", "ROLE", "AGE"), ("USERS", "GROUPS", "SERVICEACCOUNTS"),
                        _role_binding),
    "ClusterRoleBinding": View(("NAME", "ROLE", "AGE"), ("USERS", "GROUPS", "SERVICEACCOUNTS"),
                               _role_binding),
    "Lease": View(("NAME", "HOLDER", "AGE"), (), _lease),
    "PriorityClass": View(("NAME", "VALUE", "GLOBAL-DEFAULT", "AGE", "PREEMPTIONPOLICY"), (),
                          _priority_class),
    "Event": View(("LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"),
                  ("SUBOBJECT", "SOURCE", "FIRST SEEN", "COUNT", "NAME"), _event),
}
PLAIN = View(("NAME", "AGE"), (), _plain)


def _of_document(cells: Callable[[Any, Any], tuple[Cells, Cells]]) -> Callable[[Any, int],
                                                                            tuple[Cells, Cells]]:
    """The cells of an object whose columns are worked out from its document."""
    def both(obj: Any, now: int) -> tuple[Cells, Cells]:
        plain, more = cells(api.thaw(obj), lambda stamp: age(stamp, now))
        name = obj.metadata.name or ""
        if obj.kind == "StorageClass" and annotation(obj.metadata, DEFAULT_CLASS) == "true":
            name += " (default)"
        return (name, *plain), more
    return both


DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
VIEWS.update({kind: View(("NAME", *plain), wide, _of_document(cells))
              for kind, (plain, wide, cells) in DOCUMENT_VIEWS.items()})
NUMBERS = frozenset(("DESIRED", "CURRENT", "UP-TO-DATE", "AVAILABLE", "ALLOWED DISRUPTIONS", "DATA",
                     "SECRETS", "ACTIVE", "COUNT", "REPLICAS", "MINPODS", "MAXPODS", "WEBHOOKS",
                     "REVISION"))
"""Columns whose cells are numbers, where they are whole numbers."""
_TEXTUAL = frozenset(("DATA", "SECRETS", "COUNT", "MINPODS", "MAXPODS", "REPLICAS"))
_SPELLED = {"PORT(S)": "Port(s)", "UP-TO-DATE": "Up-to-date", "NODE SELECTOR": "Node Selector",
            "IP": "IP", "CLUSTER-IP": "Cluster-IP", "EXTERNAL-IP": "External-IP",
            "INTERNAL-IP": "Internal-IP", "OS-IMAGE": "OS-Image", "MINPODS": "MinPods",
            "MAXPODS": "MaxPods", "ADDRESSTYPE": "AddressType", "CREATED AT": "Created At",
            "STORAGECLASS": "StorageClass", "VOLUMEATTRIBUTESCLASS": "VolumeAttributesClass",
            "VOLUMEMODE": "VolumeMode", "RECLAIMPOLICY": "ReclaimPolicy",
            "VOLUMEBINDINGMODE": "VolumeBindingMode", "POD-SELECTOR": "Pod-Selector",
            "ALLOWVOLUMEEXPANSION": "AllowVolumeExpansion", "TIMEZONE": "Timezone",
            "PREEMPTIONPOLICY": "PreemptionPolicy", "SERVICEACCOUNTS": "ServiceAccounts",
            "GLOBAL-DEFAULT": "Global-Default", "KERNEL-VERSION": "Kernel-Version",
            "CONTAINER-RUNTIME": "Container-Runtime"}


class Column(NamedTuple):
    """A column of a table as the server describes it; `wide`: only wide output shows it."""

    name: str
    type: str
    wide: bool


def columns(kind: str) -> tuple[Column, ...]:
    """The columns of a kind, in the order of `rows` with wide output."""
    view = VIEWS.get(kind, PLAIN)
    return tuple(Column(_SPELLED.get(header, header.title()), _type(header, kind),
                        header in view.wide)
                 for header in _joined(kind, view.headers, view.wide))


def _type(header: str, kind: str) -> str:
    counts = header in NUMBERS - _TEXTUAL or (header == "READY" and kind in _COUNTS_READY)
    return "integer" if counts else "string"


_COUNTS_READY = frozenset(("ReplicationController", "ReplicaSet", "DaemonSet"))


def typed_cells(kind: str, row: Cells) -> list[str | int]:
    """The cells of a wide row, numbers as numbers."""
    view = VIEWS.get(kind, PLAIN)
    counts = NUMBERS | {"READY"} if kind in _COUNTS_READY else NUMBERS
    return [int(cell) if header in counts and cell.isdigit() else cell
            for header, cell in zip(_joined(kind, view.headers, view.wide), row, strict=True)]


def rows(kind: str, objects: Iterable[Any], now: int, wide: bool) -> list[Cells]:
    """Header and one row for each object of a kind, in the style of 1.32."""
    view = VIEWS.get(kind, PLAIN)
    found = [_joined(kind, view.headers, view.wide if wide else ())]
    for obj in objects:
        plain, more = view.cells(obj, now)
        found.append(_joined(kind, plain, more if wide else ()))
    return found


def _joined(kind: str, plain: Cells, more: Cells) -> Cells:
    """The cells in order; an event's message stands in the middle of its wide columns."""
    if kind == "Event" and more:
        return (*plain[:-1], *more[:2], plain[-1], *more[2:])
    return (*plain, *more)


# ---- release 1.3 -------------------------------------------------------------------------------

OLD_HEADERS: dict[str, Cells] = {
    "Pod": ("NAME", "READY", "STATUS", "RESTARTS", "AGE"),
    "ReplicationController": ("NAME", "DESIRED", "CURRENT", "AGE"),
    "Service": ("NAME", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"),
    "Node": ("NAME", "STATUS", "AGE"),
}
OLD_WIDE: dict[str, Cells] = {"Pod": ("IP", "NODE"),
                              "ReplicationController": ("CONTAINER(S)", "IMAGE(S)", "SELECTOR"),
                              "Service": ("SELECTOR",)}


def old_rows(kind: str, objects: Iterable[Any], now: int, wide: bool) -> list[Cells]:
    """Header and rows in the style of release 1.3: no TYPE of services, no READY of controllers,
    ages in one unit."""
    view = VIEWS.get(kind, PLAIN)
    headers = OLD_HEADERS.get(kind, view.headers)
    more = OLD_WIDE.get(kind, view.wide) if wide else ()
    found: list[Cells] = [(*headers, *more)]
    for obj in objects:
        found.append(_old_row(kind, view, obj, now, headers, more))
    return found


def _old_row(kind: str, view: View, obj: Any, now: int, headers: Cells, more: Cells) -> Cells:
    plain, extra = view.cells(obj, now)
    cell = dict(zip((*view.headers, *view.wide), (*plain, *extra), strict=True))
    if kind != "Event":
        cell["AGE"] = old_age(obj.metadata.creation_timestamp, now)
    if kind == "Pod":
        cell["RESTARTS"] = str(pod_cells(obj).restarts)
    if kind == "Service":
        cell["PORT(S)"] = ",".join(f"{port.port}/{port.protocol or 'TCP'}" for port in
                                   (obj.spec.ports or () if obj.spec else ())) or NONE
        if (obj.spec and obj.spec.type) == "NodePort" and cell["EXTERNAL-IP"] == NONE:
            cell["EXTERNAL-IP"] = "<nodes>"
    cell["CONTAINER(S)"], cell["IMAGE(S)"] = cell.get("CONTAINERS", ""), cell.get("IMAGES", "")
    return tuple(cell[header] for header in (*headers, *more))
