"""The parts that a handler works with: one object, passed along."""

from dataclasses import dataclass, field
from typing import Any

from isthmus.engine.auth.authorization import Authorizer
from isthmus.engine.auth.tokens import Tokens
from isthmus.engine.auth.user import User
from isthmus.engine.registry.registry import Registry, Served
from isthmus.engine.registry.storage import Storage
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server import options, representation
from isthmus.engine.server.message import Request
from isthmus.engine.server.representation import Representation
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.engine.store.row import Key, Row
from isthmus.engine.store.store import Store
from isthmus.kinds import conversion
from isthmus.lib.home import Home
from isthmus.machinery import errors

Object = dict[str, Any]


@dataclass(slots=True)
class Server:
    """One running API server."""

    home: Home
    store: Store
    registry: Registry
    storage: Storage
    tokens: Tokens
    authorizer: Authorizer
    address: str
    ready: bool = False
    derived: dict[str, tuple[int, bytes]] = field(default_factory=dict)  # documents made from the kinds, by path


@dataclass(slots=True)
class Call:
    """One request on its way through the handlers."""

    server: Server
    request: Request
    info: RequestInfo
    user: User
    served: Served

    @property
    def key(self) -> Key:
        """The object in the store."""
        info = self.info
        namespace = info.namespace if self.served.kind.namespaced else ""
        return (self.served.stored_as, namespace, info.name)

    @property
    def stored(self) -> Served:
        """The kind in whose form the object lies in the store: another one for events.k8s.io."""
        kind = self.served.kind
        return (self.server.registry.by_resource(kind.stored_as) if kind.stored_as else None) or self.served

    def row(self) -> Row:
        """The committed object. Raises StatusError 404."""
        found = self.server.store.get(self.key)
        if found is None:
            raise errors.not_found(self.served.kind.group, self.served.kind.plural, self.info.name)
        return found

    def form(self) -> tuple[Representation, str]:
        """The form in which the client wants objects, and its content type. Raises StatusError 406."""
        include = self.request.query.get("includeObject", "")
        accepted = self.request.headers.get("accept", "")
        return representation.choose(self.served, self.info.version, accepted, include)

    def to_stored(self, obj: Object) -> Object:
        """An object in the version of this request as it lies in the store; the argument is not changed."""
        kind = self.served.kind
        return conversion.to_stored(kind, obj, self.info.version) if kind.conversion else obj

    def from_stored(self, obj: Object) -> Object:
        """A stored object in the version of this request; the argument is not changed."""
        kind = self.served.kind
        if not kind.conversion and obj["apiVersion"] == kind.api_version(self.info.version):
            return obj
        return conversion.from_stored(kind, obj, self.info.version)

    def write_context(self) -> WriteContext:
        """Who writes, and how, by this request's parameters. Raises StatusError 422."""
        query = self.request.query
        agent = self.request.headers.get("user-agent", "")
        context = WriteContext(
            user=self.user.name,
            groups=self.user.groups,
            version=self.info.version,
            subresource=self.info.subresource,
            manager=query.get("fieldManager") or agent.partition("/")[0][:128] or "unknown",
        )
        if query:
            options.check_write(query, self.info.verb)
            context.dry_run = options.is_dry_run(query.get("dryRun"), options.KINDS.get(self.info.verb, options.DELETE))
            context.field_validation = query.get("fieldValidation") or "Warn"
        if self.served.kind.conversion:
            context.version = self.stored.kind.storage_version
        return context
