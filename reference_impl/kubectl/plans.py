"""Commands as plans: which requests a command makes, and what each answer adds.

Source: kubectl 1.32 as recorded, release 1.3 for deletes of controllers (the client of that time
scaled a controller to zero and waited before it deleted it; later the garbage collector of the
server does that work).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api import manifests, requests
from model.api.objects import (
    Container,
    NodeSpec,
    Pod,
    PodSpec,
    PodTemplateSpec,
    pairs,
    resource_of,
    to_json,
    with_labels,
    with_metadata,
    with_spec,
)
from model.api.requests import (
    NO_OPTIONS,
    ObjectList,
    Options,
    Patch,
    Reply,
    Request,
    Status,
    lookup,
)
from model.kernel.errors import InputError, InputErrors
from reference_impl.kubectl import text
from reference_impl.kubectl.commands import Command, Target, key

GC_RELEASE = (1, 12)
"""Since this release the client leaves a controller's pods to the server's garbage collector."""
PROPAGATION = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}
FORCED = ("Warning: Immediate deletion does not wait for confirmation that the running resource "
          "has been terminated. The resource may continue to run on the cluster indefinitely.\n")


class Op(NamedTuple):
    """One request and what to do with its answer; `note` is a file name, an image or a uid.

    `retry` tells that a conflict starts the operation over: the plan then goes back to its read.
    """

    request: Request
    then: str
    note: str = ""
    retry: bool = False


class Session(NamedTuple):
    """A command in progress. `found` are the objects to show, in order; `related` the lists that
    a description needs. `stale`: an answer to a broken-off command must come first."""

    line: str
    command: Command
    release: tuple[int, int]
    plan: tuple[Op, ...] = ()
    found: tuple[Any, ...] = ()
    related: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    out: str = ""
    err: str = ""
    code: int = 0
    tries: int = 0
    waited_ms: int = 0
    read: Op | None = None
    stale: bool = False

    def after(self, *more: Op) -> Session:
        """The session with its first operation done, and `more` to do next."""
        return self._replace(plan=(*more, *self.plan[1:]), tries=0, waited_ms=0)

    def later(self, *more: Op) -> Session:
        """The session with its first operation done, and `more` to do at the end."""
        return self._replace(plan=(*self.plan[1:], *more), tries=0, waited_ms=0)

    def then(self, write: Op) -> Session:
        """The session with its first operation, a read, done, and the write that it led to."""
        return self._replace(plan=(write, *self.plan[1:]))

    def again(self) -> Session:
        """The session back at the read that its first operation was computed from."""
        assert self.read is not None
        return self._replace(plan=(self.read, *self.plan[1:]), tries=self.tries + 1)

    def failed(self, complaint: str) -> Session:
        """The session with a complaint printed; its exit code will be 1."""
        return self._replace(err=self.err + complaint, code=1)

    def said(self, more: str) -> Session:
        """The session with more printed."""
        return self._replace(out=self.out + more)


def complaint(error: InputError) -> str:
    """An error of the command itself, as the client prints it."""
    if isinstance(error, InputErrors):
        return "".join(f"error: {each}\n" for each in error.errors)
    return f"error: {error.what}\n"


def redirected(line: str, stdin: str, files: dict[str, str]) -> tuple[str, str]:
    """The line without `< FILE`, and the text that reaches the command on standard input."""
    head, mark, name = line.partition(" < ")
    if not mark:
        return line, stdin
    if name.strip() not in files:
        raise InputError(f'{name.strip()}: no such file or directory')
    return head, files[name.strip()]


def begin(line: str, command: Command, files: dict[str, str],
          release: tuple[int, int]) -> Session:
    """The session of a command. InputError when a file is missing or cannot be used."""
    session = Session(line, command, release)
    if command.raw:
        ops: tuple[Op, ...] = (Op(_raw(command, files), "raw", ""),)
    elif command.files:
        found = _from_files(command, files)
        ops = tuple(op for file, obj in found for op in _file_ops(command, file, obj, release))
    elif command.verb in ("get", "describe", "top"):
        ops = tuple(Op(_read(command, target), "got", target.resource)
                    for target in command.targets)
    elif command.verb == "delete":
        ops = tuple(op for target in command.targets
                    for op in _delete_ops(command, target, release))
    elif command.verb == "rollout":
        ops = tuple(Op(_read(command, target), "rolled", target.resource)
                    for target in command.targets)
    elif command.verb == "patch":
        ops = tuple(_patch(command, target) for target in command.targets)
    else:
        ops = tuple(Op(_read(command, target), f"{command.verb} it", target.resource)
                    for target in command.targets)
    if command.verb == "delete" and command.force and release >= GC_RELEASE:
        session = session._replace(err=FORCED)
    return session._replace(plan=ops)


def _raw(command: Command, files: dict[str, str]) -> requests.Request:
    """The creation that `create --raw` means: `/api/v1/namespaces/default/pods/web/eviction`, or a
    collection. InputError for any other path."""
    _, _, *parts = command.raw.strip("/").split("/")
    parts = parts[1:] if command.raw.startswith("/apis/") else parts
    namespace = parts[1] if parts[:1] == ["namespaces"] and len(parts) > 2 else ""
    place = parts[2:] if namespace else parts
    if not 1 <= len(place) <= 3:
        raise InputError(f"{command.raw!r} is no path that something can be posted to",
                         fix="/api/v1/namespaces/default/pods/web/eviction")
    [(name, content)] = _contents(command, files)
    body = manifests.parse(content, name)[0].object
    collection, name, subresource = (*place, "", "")[:3]
    return requests.Request("create", collection, namespace, name, subresource, body)


def _contents(command: Command, files: dict[str, str]) -> list[tuple[str, str]]:
    """The names and texts of a command's files."""
    chosen: list[tuple[str, str]] = []
    for path in command.files:
        if path == "-":
            chosen.append(("STDIN", command.stdin))
            continue
        folder = "" if path in (".", "./") else path.rstrip("/") + "/"
        inside = sorted(name for name in files if name.startswith(folder)
                        and "/" not in name[len(folder):] and name.endswith(manifests.SUFFIXES))
        if path in files:
            chosen.append((path, files[path]))
        elif inside:
            chosen.extend((name, files[name]) for name in inside)
        else:
            raise InputError(f'the path "{path}" does not exist')
    return chosen


def _from_files(command: Command, files: dict[str, str]) -> list[tuple[str, Any]]:
    """The objects of a command's files, with the name of the file that each came from."""
    found: list[tuple[str, Any]] = []
    errors: list[InputError] = []
    for name, content in _contents(command, files):
        try:
            found.extend((name, _placed(each.object, command))
                         for each in manifests.parse(content, name))
        except InputErrors as error:
            errors.extend(error.errors)
    if errors:
        raise InputErrors(tuple(errors))
    return found


def _placed(obj: Any, command: Command) -> Any:
    """The object in the namespace that the command works in."""
    if not resource_of(obj).namespaced:
        return obj
    metadata = obj.metadata
    if metadata.namespace and command.namespace and metadata.namespace != command.namespace:
        raise InputError(f'the namespace from the provided object "{metadata.namespace}" does not '
                         f'match the namespace "{command.namespace}". You must pass '
                         f"'--namespace={metadata.namespace}' to perform this operation.")
    namespace = metadata.namespace or command.namespace or "default"
    return with_metadata(obj, metadata._replace(namespace=namespace))


def _file_ops(command: Command, file: str, obj: Any, release: tuple[int, int]) -> tuple[Op, ...]:
    metadata = obj.metadata
    target = Target(key(resource_of(obj)), metadata.name or "")
    if command.verb == "create":
        return (Op(requests.create(obj), "created", file),)
    if command.verb == "replace":
        return (Op(requests.update(obj), "replaced", file),)
    placed = command._replace(namespace=metadata.namespace or "")
    if command.verb == "apply":
        return (Op(requests.patch(target.resource, space_of(placed, target.resource), target.name,
                                  Patch("apply", to_json(obj)),
                                  options=Options(field_manager=command.manager,
                                                  force=command.force)),
                   "serverside-applied", target.resource),)
    if command.verb == "delete":
        return _delete_ops(placed, target, release, file)
    then = "got" if command.verb in ("get", "describe") else f"{command.verb} it"
    return (Op(_read(placed, target), then, target.resource),)


def space_of(command: Command, resource: str) -> str:
    """The namespace that a command means for a resource; "" for all, and for the cluster."""
    if not lookup(resource).namespaced or command.all_namespaces:
        return ""
    return command.namespace or "default"


def _read(command: Command, target: Target) -> Request:
    namespace = space_of(command, target.resource)
    if target.name:
        return requests.get(target.resource, namespace, target.name)
    options = NO_OPTIONS
    if command.selector or command.field_selector:
        options = Options(label_selector=command.selector, field_selector=command.field_selector)
    return requests.list_(target.resource, namespace, options)


def _delete_ops(command: Command, target: Target, release: tuple[int, int],
                file: str = "") -> tuple[Op, ...]:
    if not target.name:
        return (Op(_read(command, target), "delete listed", target.resource),)
    reaps = target.resource in ("replicationcontrollers", "replicasets") \
        and release < GC_RELEASE and command.cascade != "orphan"
    namespace = space_of(command, target.resource)
    if reaps:
        read = requests.get(target.resource, namespace, target.name)
        return (Op(read, "empty it", file), _delete_op(command, target, file))
    return (_delete_op(command, target, file),)


def _delete_op(command: Command, target: Target, file: str) -> Op:
    return Op(requests.delete(target.resource, space_of(command, target.resource), target.name,
                              grace_period_seconds=command.grace_period,
                              propagation_policy=PROPAGATION[command.cascade]), "deleted", file)


def _patch(command: Command, target: Target) -> Op:
    kind: Any = command.patch_type
    document = _json_of(command.patch)
    return Op(requests.patch(target.resource, space_of(command, target.resource), target.name,
                             Patch(kind, document)), "patched", target.resource)


def _json_of(typed: str) -> bytes:
    """The JSON bytes of a patch, which may be typed as YAML."""
    from model.api.records import canonical_json
    from model.api.yaml_reader import UnreadableError, documents

    try:
        return canonical_json(documents(typed)[0].value)
    except (UnreadableError, IndexError):
        raise InputError(f'unable to parse "{typed}": not JSON and not YAML') from None


# ---- answers -----------------------------------------------------------------------------------


def answered(session: Session, op: Op, reply: Reply) -> Session:
    """The session after the answer to its first operation."""
    if requests.failed(reply):
        return _refused(session, op, reply.body)
    body = reply.body
    if op.then == "got":
        return _got(session, op, body)
    if op.then == "related":
        items = body.items if isinstance(body, ObjectList) else (body,)
        return session._replace(related=(*session.related, (op.note, items))).after()
    if op.then == "delete listed":
        ops = tuple(each for item in body.items for each in _delete_ops(
            session.command._replace(namespace=item.metadata.namespace or "", all_namespaces=False),
            Target(op.note, item.metadata.name or ""), session.release))
        if not ops and not any(each.then == "delete listed" for each in session.plan[1:]) \
                and not session.out:
            session = session.said("No resources found\n")
        return session.after(*ops)
    if op.then == "deleted":
        return _deleted(session, op, body)
    if op.then.endswith(" it"):
        return _changed(session, op, body)
    if op.then == "rolled":
        return _rolled(session, body)
    if op.then in ("emptied", "drained"):
        return session.after(*_look(op)) if op.then == "emptied" else session.after()
    return session.after().said(_done(session, op, body))


def _done(session: Session, op: Op, body: Any) -> str:
    """The line about a write that succeeded."""
    if op.then == "raw":
        return text.answered(body)
    named = op.request.resource, op.request.name or body.metadata.name or ""
    word = {"created": "created", "replaced": "replaced", "patched": "patched",
            "scaled": "scaled", "set": "image updated"}.get(op.then, op.then)
    if session.command.output:
        return text.written(body, session.command.output)
    said = text.line(*named, word, session.release)
    return text.port_warning(body, session.release) + said if op.then == "created" else said


def _got(session: Session, op: Op, body: Any) -> Session:
    items = body.items if isinstance(body, ObjectList) else (body,)
    session = session._replace(found=(*session.found, *((op.note, item) for item in items)))
    if session.command.verb != "describe":
        return session.after()
    wanted = dict.fromkeys(_related_to(session.command, items))
    known = {name for name, _ in session.related}
    known.update(each.note for each in session.plan if each.then == "related")
    return session.later(*(
        Op(requests.list_(resource, namespace), "related", f"{resource} {namespace}".strip())
        for resource, namespace in wanted if f"{resource} {namespace}".strip() not in known))


RELATED = {
    "Pod": ("events",), "ReplicationController": ("events", "pods"),
    "ReplicaSet": ("events", "pods"), "Deployment": ("events", "replicasets"),
    "Service": ("events", "endpoints"), "Endpoints": ("events",),
    "ServiceAccount": ("events", "secrets"), "ConfigMap": ("events",),
    "Node": ("events", "pods", "leases"), "Namespace": ("resourcequotas", "limitranges"),
    "PodDisruptionBudget": ("events",), "Lease": ("events",),
}


def _related_to(command: Command, items: tuple[Any, ...]) -> list[tuple[str, str]]:
    found = []
    for item in items:
        for resource in RELATED.get(item.kind, ()):
            namespace = item.metadata.namespace or ""
            if item.kind == "Namespace":
                namespace = item.metadata.name or ""
            elif item.kind == "Node":
                namespace = {"events": "default", "leases": "kube-node-lease"}.get(resource, "")
            found.append((resource, namespace))
    return found


def _refused(session: Session, op: Op, status: Status) -> Session:
    if op.then == "related":
        return session._replace(related=(*session.related, (op.note, ()))).after()
    if status.code == 404 and session.command.ignore_not_found:
        return session.after()
    if op.then == "empty it" and status.code == 404:
        return session.after()
    every = session.command.many and op.then in ("got", "delete listed")
    if every and status.code == 404 and not op.request.name:
        return session.after()
    return given_up(session.failed(error_text(session, op, status)), op)


def given_up(session: Session, op: Op) -> Session:
    """The session after a refusal. A controller that could not be emptied is not deleted either:
    its pods would stay, with nobody to count them."""
    left = session.plan[1:]
    if left and left[0].then == "deleted" and op.then != "deleted" and (
            left[0].request.resource, left[0].request.name) == (op.request.resource,
                                                                op.request.name):
        return session.after().after()
    return session.after()


def error_text(session: Session, op: Op, status: Status) -> str:
    """What the client prints about a refusal."""
    if status.reason == "Unauthorized":
        return "error: You must be logged in to the server (Unauthorized)\n"
    if op.request.resource.endswith("metrics.k8s.io") and not status.name:
        return "error: Metrics API not available\n"
    if status.reason == "Invalid":
        head = f'The {status.details_kind} "{status.name}" is invalid: '
        faults = [f"{cause.field}: {cause.message}" for cause in status.causes]
        if len(faults) == 1:
            return head + faults[0] + "\n"
        return head + "\n" + "".join(f"* {fault}\n" for fault in faults)
    if op.then == "scale it" and status.code == 404:
        return f"error: no objects passed to scale {status.message}\n"
    about = {"created": "creating", "replaced": "replacing", "deleted": "deleting"}.get(op.then)
    where = f'error when {about} "{op.note}": ' if about and op.note else ""
    return f"Error from server ({status.reason}): {where}{status.message}\n"


def _changed(session: Session, op: Op, body: Any) -> Session:
    """The write that follows a read: the object with another number or image."""
    command = session.command
    request = op.request
    session = session._replace(read=op)
    if op.then == "scale it":
        have = body.spec.replicas if body.kind in SCALED and body.spec else None
        if command.current_replicas >= 0 and have != command.current_replicas:
            return session.failed(f"error: Expected replicas to be {command.current_replicas}, "
                                  f"was {have or 0}\n").after()
        version = body.metadata.resource_version if command.current_replicas >= 0 else None
        return session.after(Op(requests.scale(
            request.resource, request.namespace, request.name, command.replicas, version),
            "scaled", op.note))
    if op.then == "empty it":
        if body.kind not in SCALED or not body.spec or not body.spec.replicas:
            return session.after(*_look(op))
        spec = body.spec._replace(replicas=0)
        return session.then(Op(requests.update(with_spec(body, spec)), "emptied", op.note, True))
    try:
        changed, word = _edited(command, body)
    except InputError as error:
        return session.failed(complaint(error)).after()
    if changed == body:
        same = {"labeled": "not labeled"}.get(word, f"already {word}")
        return session.after().said(text.line(request.resource, request.name, same,
                                              session.release))
    return session.then(Op(requests.update(changed), word, op.note, True))


def _edited(command: Command, obj: Any) -> tuple[Any, str]:
    """The object as the command wants it, and the word for what was done to it."""
    if command.verb == "set":
        return with_images(obj, command.images), "set"
    if command.verb == "label":
        return relabelled(obj, command.labels, command.overwrite), "labeled"
    wish = True if command.verb == "cordon" else None
    spec = obj.spec or NodeSpec()
    if bool(spec.unschedulable) == bool(wish):
        return obj, f"{command.verb}ed"
    return with_spec(obj, spec._replace(unschedulable=wish)), f"{command.verb}ed"


def relabelled(obj: Any, changes: tuple[tuple[str, str | None], ...], overwrite: bool) -> Any:
    """The object with labels set or taken away. InputError when one has another value already."""
    labels = dict(obj.metadata.labels or ())
    for name, value in changes:
        have = labels.get(name)
        if value is None:
            labels.pop(name, None)
        elif have is not None and have != value and not overwrite:
            raise InputError(f"'{name}' already has a value ({have}), and --overwrite is false")
        else:
            labels[name] = value
    return with_labels(obj, pairs(labels) or None)


SCALED = ("ReplicationController", "ReplicaSet", "Deployment")


def _look(op: Op) -> tuple[Op, ...]:
    """The read that tells whether a controller that was scaled to zero has no pod left."""
    request = op.request
    return (Op(requests.get(request.resource, request.namespace, request.name), "drained",
               op.note),)


def drained(body: Any) -> bool:
    """Whether a controller that was scaled to zero has seen that and has no pod left."""
    status, generation = body.status, body.metadata.generation or 0
    return status is not None and not status.replicas and \
        (status.observed_generation or 0) >= generation


def _rolled(session: Session, body: Any) -> Session:
    """The end of the wait for a rollout: it is complete, or it has failed."""
    name = body.metadata.name
    if has_failed(body):
        told = f'error: deployment "{name}" exceeded its progress deadline\n'
        return session.after().failed(told)
    return session.after().said(f'deployment "{name}" successfully rolled out\n')


def has_failed(deployment: Any) -> bool:
    """Whether the controller has told that a rollout stands still."""
    return was_observed(deployment) and any(
        each.type == "Progressing" and each.reason == "ProgressDeadlineExceeded"
        for each in deployment.status.conditions or ())


def was_observed(deployment: Any) -> bool:
    """Whether the status tells of the present generation."""
    status = deployment.status
    return status is not None and (
        (status.observed_generation or 0) >= (deployment.metadata.generation or 0))


def rolls(deployment: Any) -> str:
    """What a rollout still waits for, in kubectl's words; "" when it is complete or has failed."""
    if not was_observed(deployment):
        return "Waiting for deployment spec update to be observed...\n"
    if has_failed(deployment):
        return ""
    status, wish = deployment.status, deployment.spec.replicas or 0
    updated, available = status.updated_replicas or 0, status.available_replicas or 0
    head = f'Waiting for deployment "{deployment.metadata.name}" rollout to finish: '
    if updated < wish:
        return f"{head}{updated} out of {wish} new replicas have been updated...\n"
    if (status.replicas or 0) > updated:
        old = (status.replicas or 0) - updated
        return f"{head}{old} old replicas are pending termination...\n"
    if available < updated:
        return f"{head}{available} of {updated} updated replicas are available...\n"
    return ""


def with_images(obj: Any, images: tuple[tuple[str, str], ...]) -> Any:
    """The object with other images; `*` names every container. InputError when one is missing."""
    spec = obj.spec if isinstance(obj, Pod) else getattr(obj.spec, "template", None)
    if spec is None:
        raise InputError(f"{obj.kind} has no containers")
    pod_spec: PodSpec = (spec.spec if isinstance(spec, PodTemplateSpec) else spec) or PodSpec()
    for name, image in images:
        names = {each.name for each in
                 (*(pod_spec.containers or ()), *(pod_spec.init_containers or ()))}
        if name != "*" and name not in names:
            raise InputError(f'unable to find container named "{name}"')
        pod_spec = pod_spec._replace(
            containers=_repainted(pod_spec.containers, name, image),
            init_containers=_repainted(pod_spec.init_containers, name, image))
    if isinstance(spec, PodTemplateSpec):
        return with_spec(obj, obj.spec._replace(template=spec._replace(spec=pod_spec)))
    return with_spec(obj, pod_spec)


def _repainted(containers: tuple[Container, ...] | None, name: str,
               image: str) -> tuple[Container, ...] | None:
    if containers is None:
        return None
    return tuple(each._replace(image=image) if name in ("*", each.name) else each
                 for each in containers)


def _deleted(session: Session, op: Op, body: Any) -> Session:
    command, request = session.command, op.request
    word = "force deleted" if command.force and session.release >= GC_RELEASE else "deleted"
    if command.output == "name":
        said = text.reference(request.resource, request.name, session.release) + "\n"
    else:
        said = text.deleted(request.resource, request.name, word, session.release)
    session = session.said(said)
    uid = body.uid if isinstance(body, Status) else body.metadata.uid or ""
    known = any(each.then == "gone" and each.note == uid for each in session.plan)
    if not command.wait or known or session.release < GC_RELEASE or command.grace_period == 0:
        return session.after()
    return session.later(Op(requests.get(request.resource, request.namespace, request.name),
                            "gone", uid))


def still_there(reply: Reply, op: Op) -> bool:
    """Whether the object whose end a delete waits for, known by its uid, is still there."""
    if isinstance(reply.body, Status):
        return reply.body.code != 404
    return (reply.body.metadata.uid or "") == op.note
