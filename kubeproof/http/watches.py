"""Watches of clients from outside: each is a cursor into the server's watch cache.

The server decides whether a watch may be opened and from where; from there on the changes that its
cache remembers are read here, once for all clients that asked for the same, and leave in batches. A
client that does not read is dropped: its connection breaks, and it lists and watches anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from kubeproof.http import render
from kubeproof.http.custom import Custom
from kubeproof.http.engine import Engine
from kubeproof.http.render import Wish
from model.api.requests import Options, Status, WatchEvent, too_old
from model.kernel.values import EMPTY
from model.kernel.world import World
from reference_impl.apiserver import rest, storage
from reference_impl.apiserver.registry import custom
from reference_impl.apiserver.state import Change, State, Watcher

QUEUE_BYTES_MAX = 8 * 1024 * 1024
BOOKMARK_EVERY_MS = 60_000
SHARE = 3  # of the time, waking watchers takes at most one part in 1 + SHARE
PAUSE_MAX_S = 0.1


class Cursor:
    """One open watch: the bytes that its client has not been sent yet."""

    def __init__(self, feed: Feed, wish: Wish, drop: Callable[[], None]) -> None:
        self.feed = feed
        self.wish = wish
        self.drop = drop
        self.since = 0
        self.ended = False
        self.slow = False
        self.first = True
        self.next_bookmark_ms = 0
        self.pending: list[bytes] = []
        self.size = 0
        self.audience: Audience | None = None
        self.wake: asyncio.Future[None] | None = None

    def put(self, line: bytes) -> None:
        """Queue one event; a client that is too far behind is dropped."""
        if self.ended:
            return
        self.pending.append(line)
        self.size += len(line)
        if self.size > QUEUE_BYTES_MAX:
            self.slow = True
            self.end()
            self.drop()
            return
        self.feed.dirty(self)

    def show(self, event: WatchEvent) -> None:
        """Queue an event that is for this client alone."""
        self.put(self.feed.line_of(event, self.wish, self.first))
        self.first = False

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self.feed.dirty(self)

    async def lines(self) -> bytes:
        """What has come since the last call, once there is something; b"" at the end."""
        while not self.pending and not self.ended:
            self.wake = asyncio.get_running_loop().create_future()
            await self.wake
        found = b"" if self.slow else b"".join(self.pending)
        self.pending.clear()
        self.size = 0
        return found


class Audience:
    """All cursors that see the same events in the same form."""

    def __init__(self, view: Watcher, wish: Wish) -> None:
        self.view = view
        self.wish = wish
        self.members: dict[Cursor, None] = {}


class _View(NamedTuple):
    """What tells audiences apart."""

    resource: str
    namespace: str
    labels: str
    fields: str
    wish: Wish


class Feed:
    """Brings what the watch cache remembers to the cursors, after every burst of work.
    `outward` puts into an object what only the front door knows, before it leaves."""

    def __init__(self, engine: Engine, outward: Callable[[Any], Any] = lambda body: body) -> None:
        self.engine = engine
        self.outward = outward
        self.texts = render.Texts()
        self.custom = Custom()
        self.cursors = 0
        self.dropped = 0
        self._audiences: dict[_View, Audience] = {}
        self._by_resource: dict[str, list[Audience]] = {}
        self._next: dict[str, int] = {}
        self._windows: Any = None
        self._life: tuple[int, int] = (0, 0)
        self._dirty: dict[Cursor, None] = {}
        self._planned = False
        self._not_before = 0.0
        engine.after.append(self.collect)

    # -- who follows ------------------------------------------------------------------------------

    def attach(self, cursor: Cursor, watcher: Watcher, options: Options) -> None:
        """Let a cursor follow from where the server opened its watch, or from the present state,
        which it is shown first."""
        world = self.engine.world
        self.collect(world)
        local: State = world["apiserver"]
        resource = watcher.resource
        window = local.windows.get(resource)
        cursor.since = watcher.since
        if watcher.bookmarks:
            cursor.next_bookmark_ms = world.now + BOOKMARK_EVERY_MS
        if rest.wants_initial_events(options):
            cursor.since = local.revision
            for obj in local.cache.get(resource, EMPTY).values():
                if storage.selected(watcher, obj):
                    cursor.show(WatchEvent("ADDED", obj))
            kind = custom.resource_in(local.cache, resource)
            if options.send_initial_events and options.allow_bookmarks and kind is not None:
                cursor.show(storage.bookmark(kind, local.revision, True))
        elif window is not None:
            for at in range(window.first, window.next):
                change = window.changes[at]
                if change.revision > watcher.since:
                    event = storage.event_for(watcher, change)
                    if event is not None:
                        cursor.show(event)
        view = _View(resource, watcher.namespace, watcher.labels, watcher.fields, cursor.wish)
        audience = self._audiences.get(view)
        if audience is None:
            audience = self._audiences[view] = Audience(watcher, cursor.wish)
            self._by_resource.setdefault(resource, []).append(audience)
            self._next[resource] = 0 if window is None else window.next
        audience.members[cursor] = None
        cursor.audience = audience
        self.cursors += 1

    def detach(self, cursor: Cursor) -> None:
        """The client of a cursor has gone, or its watch has ended."""
        self._dirty.pop(cursor, None)
        audience, cursor.audience = cursor.audience, None
        if audience is None:
            return
        self.cursors -= 1
        self.dropped += cursor.slow
        del audience.members[cursor]
        if not audience.members:
            view = audience.view
            del self._audiences[_View(view.resource, view.namespace, view.labels, view.fields,
                                      audience.wish)]
            self._by_resource[view.resource].remove(audience)

    # -- what comes -------------------------------------------------------------------------------

    def collect(self, world: World) -> None:
        """Queue what changed since the last call."""
        local: State = world["apiserver"]
        life = (local.incarnation, local.listed_at)
        if life != self._life:
            # The server forgot what its watches had seen: they cannot be continued.
            self._life = life
            self._next.clear()
            self._end(list(self._audiences.values()))
        windows = local.windows
        if windows is self._windows:
            return
        self._windows = windows
        for resource, audiences in self._by_resource.items():
            window = windows.get(resource)
            if window is None or not audiences:
                continue
            start = self._next.get(resource, 0)
            self._next[resource] = window.next
            if start < window.first:
                self._too_late(audiences, local, window.oldest)
                continue
            for at in range(start, window.next):
                self._publish(audiences, window.changes[at])

    def _publish(self, audiences: list[Audience], change: Change) -> None:
        lines: dict[tuple[str, Wish], bytes] = {}
        plain = storage.plain_event(change)
        for audience in audiences:
            view = audience.view
            narrow = view.namespace or view.labels or view.fields
            event = storage.event_for(view, change) if narrow else plain
            if event is None:
                continue
            shared = event.object is plain.object
            line = lines.get((event.type, audience.wish)) if shared else None
            if line is None:
                line = self.line_of(event, audience.wish, False)
                if shared:
                    lines[event.type, audience.wish] = line
            for cursor in list(audience.members):
                if change.revision > cursor.since:
                    if cursor.first and audience.wish.form == render.TABLE:
                        cursor.show(event)
                    else:
                        cursor.put(line)

    def _too_late(self, audiences: list[Audience], local: State, oldest: int) -> None:
        """More has happened at once than the cache remembers."""
        error = WatchEvent("ERROR", too_old(local.revision, oldest))
        for audience in audiences:
            for cursor in list(audience.members):
                cursor.show(error)
        self._end(audiences)

    def _end(self, audiences: list[Audience]) -> None:
        for audience in audiences:
            for cursor in list(audience.members):
                cursor.end()

    def bookmarks(self) -> None:
        """Tell clients that asked for it how far they are, from time to time."""
        world = self.engine.world
        local: State = world["apiserver"]
        for audience in self._audiences.values():
            resource = custom.resource_in(local.cache, audience.view.resource)
            for cursor in list(audience.members):
                if resource is not None and 0 < cursor.next_bookmark_ms <= world.now:
                    cursor.next_bookmark_ms = world.now + BOOKMARK_EVERY_MS
                    cursor.show(storage.bookmark(resource, local.revision))

    # -- waking -----------------------------------------------------------------------------------

    def dirty(self, cursor: Cursor) -> None:
        """A cursor has something to send. Many cursors are woken at once, and not too often, so
        that a storm of events leaves time for requests."""
        self._dirty[cursor] = None
        if not self._planned:
            self._planned = True
            loop = asyncio.get_running_loop()
            wait = self._not_before - loop.time()
            if wait > 0:
                loop.call_later(wait, self._wake)
            else:
                loop.call_soon(self._wake)

    def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        began = 0.0

        def waking() -> None:
            nonlocal began
            began = loop.time()
        loop.call_soon(waking)
        self._planned = False
        for cursor in self._dirty:
            if cursor.wake is not None and not cursor.wake.done():
                cursor.wake.set_result(None)
        self._dirty.clear()

        def woken() -> None:
            ended = loop.time()
            self._not_before = ended + min(PAUSE_MAX_S, SHARE * (ended - began))
        loop.call_soon(woken)

    def line_of(self, event: WatchEvent, wish: Wish, first: bool) -> bytes:
        """An event as one line of JSON."""
        if event.object.kind == "Secret":
            event = event._replace(object=self.outward(event.object))
        if wish.form == render.PLAIN and not isinstance(event.object, Status):
            return self.texts.event(event.type, event.object)
        shown = self.custom.event(event, wish.form, self.engine.world, first)
        if shown is None:
            shown = render.event(event, wish, self.engine.world.now, first)
        return render.compact(shown) + b"\n"
