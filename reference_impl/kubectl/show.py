"""What a command that reads prints in the end: tables, documents, names, use."""

from __future__ import annotations

from typing import Any

from model.api.quantities import milli, units
from model.api.requests import lookup
from reference_impl.kubectl import describe, output, text
from reference_impl.kubectl.plans import Session
from reference_impl.lib import tables

Found = tuple[tuple[str, Any], ...]


def rendered(session: Session, now: int, release: tuple[int, int]) -> Session:
    """The session with what it found printed."""
    verb = session.command.verb
    if verb == "get":
        return _get(session, now)
    if verb == "describe" and session.found:
        related = dict(session.related)
        parts = [describe.description(obj, related, now) for _, obj in session.found]
        return session.said("\n\n".join(parts))
    if verb == "describe" and not session.code:
        return session._replace(err=session.err + _nothing(session))
    if verb == "top" and not session.code:
        return session.said(_use(session))
    return session


def _nothing(session: Session) -> str:
    command = session.command
    namespaced = any(lookup(target.resource).namespaced for target in command.targets)
    if namespaced and not command.all_namespaces:
        return f"No resources found in {command.namespace or 'default'} namespace.\n"
    return "No resources found\n"


def _get(session: Session, now: int) -> Session:
    command, found = session.command, session.found
    if command.output in ("yaml", "json"):
        if session.code and not found:
            return session
        single = len(found) == 1 and len(command.targets) <= 1 and \
            (not command.targets or bool(command.targets[0].name))
        document = output.document(found[0][1]) if single else \
            output.listed(tuple(obj for _, obj in found))
        write = output.to_yaml if command.output == "yaml" else output.to_json
        return session.said(write(document))
    if command.output == "name":
        return session.said("".join(
            text.reference(resource, obj.metadata.name or "", session.release) + "\n"
            for resource, obj in found))
    if not found:
        return session if session.code else session._replace(err=session.err + _nothing(session))
    return session.said(table_text(session, now))


def table_text(session: Session, now: int) -> str:
    """The tables of a get: one for each resource, in the order in which they were asked for."""
    command = session.command
    by_resource: dict[str, list[Any]] = {}
    for resource, obj in session.found:
        by_resource.setdefault(resource, []).append(obj)
    several = command.many or len(by_resource) > 1
    printed = []
    for resource, objects in by_resource.items():
        rows = tables.rows if session.release >= text.SLASHED_SINCE else tables.old_rows
        lines = rows(objects[0].kind, objects, now, command.output == "wide")
        if several:
            lines = [lines[0], *(_prefixed(row, objects[0].kind, resource, session.release)
                                 for row in lines[1:])]
        lines = [_widened(session, row, obj) for row, obj in
                 zip(lines, (None, *objects), strict=True)]
        printed.append(tables.table(lines[1:] if command.no_headers else lines))
    return "\n".join(printed)


def _prefixed(row: tables.Cells, kind: str, resource: str,
              release: tuple[int, int]) -> tables.Cells:
    at = tables.VIEWS.get(kind, tables.PLAIN).headers.index("NAME") if kind != "Event" else -1
    if at < 0:
        return row
    return (*row[:at], text.reference(resource, row[at], release), *row[at + 1:])


def _widened(session: Session, row: tables.Cells, obj: Any) -> tables.Cells:
    """A row with the columns that flags add: namespace in front, labels at the end."""
    command = session.command
    if command.all_namespaces and lookup(session.found[0][0]).namespaced:
        row = ("NAMESPACE" if obj is None else obj.metadata.namespace or "", *row)
    labels = dict(obj.metadata.labels or ()) if obj is not None else {}
    for label in command.label_columns:
        row = (*row, label.rpartition("/")[2].upper() if obj is None else labels.get(label, ""))
    if command.show_labels:
        row = (*row, "LABELS" if obj is None else tables.pairs_text(obj.metadata.labels))
    return row


def _use(session: Session) -> str:
    """The tables of `top`: processor in milli-cores, memory in Mi."""
    found = [obj for _, obj in session.found]
    nodes = session.command.targets[0].resource.startswith("nodes")
    rows: list[tables.Cells] = [("NAME", "CPU(cores)", "MEMORY(bytes)")]
    if session.command.containers and not nodes:
        rows = [("POD", "NAME", "CPU(cores)", "MEMORY(bytes)")]
        rows += [(obj.metadata.name or "", each.name or "", *_amounts((each.usage,)))
                 for obj in found for each in obj.containers or ()]
    else:
        rows += [(obj.metadata.name or "", *_amounts(
            (obj.usage,) if nodes else tuple(each.usage for each in obj.containers or ())))
            for obj in found]
    if len(rows) == 1:
        return _nothing(session)
    return tables.table(rows)


def _amounts(usages: tuple[Any, ...]) -> tuple[str, str]:
    cores = sum(milli(dict(usage or ()).get("cpu", "0")) for usage in usages)
    memory = sum(units(dict(usage or ()).get("memory", "0")) for usage in usages)
    return f"{cores}m", f"{memory // 2**20}Mi"
