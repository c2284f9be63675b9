"""A local copy of one resource, kept current by list and watch (client-go's reflector and indexer in one).

Controllers and agents read from it and are told of changes; the console streams from it. Objects are shared: never
change one that an informer gave you.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from isthmus.client.api import Client, Object, Resource, WatchEvent
from isthmus.lib import logs
from isthmus.lib.tasks import Backoff, cancel_and_wait
from isthmus.machinery.errors import StatusError

log = logging.getLogger(__name__)

Key = tuple[str, str]
Handler = Callable[[Object | None, Object | None], None]
Indexer = Callable[[Object], Iterable[str]]
Objects = list[Object]  # `list` is a method below

WATCH_SECONDS = 300


def key_of(obj: Object) -> Key:
    """(namespace, name)."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def revision_of(obj: Object) -> int:
    """The resourceVersion as a number (comparable since Kubernetes 1.35, KEP-5504), 0 if it is none."""
    text = obj["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


class Informer:
    """List once, then watch: resumes after a broken stream, lists anew when the server has forgotten its place."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        transform: Callable[[Object], Object] | None = None,
    ) -> None:
        self.client = client
        self.resource = resource
        self.namespace = namespace
        self.labels = labels
        self.fields = fields
        self._transform = transform  # what to keep of an object, to save memory
        self._objects: dict[Key, Object] = {}
        self._indexers: dict[str, Indexer] = dict(indexers or {})
        self._indices: dict[str, dict[str, set[Key]]] = {name: {} for name in self._indexers}
        self._handlers: list[Handler] = []
        self._revision = ""  # where to resume the watch; empty: list first
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # Reading

    def get(self, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> Objects:
        """All objects, or those of one namespace."""
        return [obj for (ns, _), obj in self._objects.items() if not namespace or ns == namespace]

    def index(self, name: str, value: str) -> Objects:
        """The objects for which the indexer `name` gives `value`."""
        return [self._objects[key] for key in sorted(self._indices[name].get(value, ()))]

    @property
    def synced(self) -> bool:
        """Whether the first list is in."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait for the first list; its objects have been handled by then."""
        await self._synced.wait()

    # Setting up

    def on_change(self, handler: Handler) -> None:
        """Call `handler(old, new)` for every change: old is None for a new object, new is None for a deleted one.

        Handlers are called in order from the event loop and must not block. Present objects are announced at once.
        """
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            _call(handler, None, obj)

    def add_indexer(self, name: str, indexer: Indexer) -> None:
        """Index by what `indexer` gives of each object; an indexer of that name is kept."""
        if name in self._indexers:
            return
        self._indexers[name] = indexer
        self._indices[name] = {}
        for key, obj in self._objects.items():
            self._reindex_one(name, key, None, obj)

    def start(self) -> None:
        """Begin, in a task of its own. Starting twice is no error."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"informer {self.resource.plural}")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            await cancel_and_wait([self._task])
            self._task = None

    # Following

    def observe(self, obj: Object) -> None:
        """Take in the answer to a write of our own before its watch event comes, so that we read what we wrote.

        Ignored unless newer than all that the watch has shown, so that it cannot bring back what was deleted since.
        """
        seen = int(self._revision) if self._revision.isdigit() else 0
        if self.synced and revision_of(obj) > seen:
            self._store(obj)

    async def _run(self) -> None:
        backoff = Backoff(base=0.2, cap=10)
        while True:
            try:
                if not self._revision:
                    await self._relist()
                if await self._follow():
                    backoff.reset()
                    continue
                delay = backoff.next()  # a server that ends empty streams at once is not asked in a tight loop
            except StatusError as error:
                if error.code == 410:  # the server has compacted our place
                    self._revision = ""
                delay = backoff.next()
                level = logging.DEBUG if error.code in {410, 503} else logging.WARNING
                log.log(level, "%s", error.message, extra=logs.fields(resource=self.resource.plural, retry=delay))
            except Exception:
                log.exception("informer stumbled", extra=logs.fields(resource=self.resource.plural))
                self._revision = ""
                delay = backoff.next()
            await asyncio.sleep(delay)

    async def _follow(self) -> bool:
        """Watch until the stream ends; whether it was a live one: it told something or lasted."""
        started = asyncio.get_running_loop().time()
        told = False
        stream = self.client.watch(
            self.resource,
            self.namespace,
            resource_version=self._revision,
            labels=self.labels,
            fields=self.fields,
            timeout=WATCH_SECONDS,
        )
        async for event in stream:
            self._apply(event)
            told = True
        return told or asyncio.get_running_loop().time() - started > 1

    async def _relist(self) -> None:
        answer = await self.client.list(self.resource, self.namespace, labels=self.labels, fields=self.fields)
        group = {"apiVersion": self.resource.api_version, "kind": answer.get("kind", "").removesuffix("List")}
        present = set()
        for item in answer["items"]:
            present.add(key_of(item))
            self._store(group | item)  # items of a typed list carry no kind
        for key in self._objects.keys() - present:
            self._remove(key)
        self._revision = answer["metadata"].get("resourceVersion", "")
        self._synced.set()

    def _apply(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._remove(key_of(event.object), event.object)
        elif event.type != "BOOKMARK":
            self._store(event.object)
        self._revision = event.object["metadata"].get("resourceVersion", self._revision)

    def _store(self, obj: Object) -> None:
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None and revision_of(obj) and revision_of(old) >= revision_of(obj):
            return  # observed already
        if self._transform is not None:
            obj = self._transform(obj)
        self._objects[key] = obj
        self._changed(key, old, obj)

    def _remove(self, key: Key, last: Object | None = None) -> None:
        old = self._objects.get(key)
        if old is None:
            return
        if last is not None and revision_of(old) > revision_of(last) > 0:
            return  # a successor of that name, which we have observed
        del self._objects[key]
        self._changed(key, last or old, None)

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        for name in self._indexers:
            self._reindex_one(name, key, old, new)
        for handler in self._handlers:
            _call(handler, old, new)

    def _reindex_one(self, name: str, key: Key, old: Object | None, new: Object | None) -> None:
        indexer, index = self._indexers[name], self._indices[name]
        for value in indexer(old) if old else ():
            keys = index.get(value, set())
            keys.discard(key)
            if not keys:
                index.pop(value, None)
        for value in indexer(new) if new else ():
            index.setdefault(value, set()).add(key)


def _call(handler: Handler, old: Object | None, new: Object | None) -> None:
    """A handler's failure is its own: the copy stays current and the other handlers are told."""
    try:
        handler(old, new)
    except Exception:
        log.exception("a change handler failed")
