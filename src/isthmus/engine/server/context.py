"""The parts that a handler works with: one object, passed along."""

from dataclasses import dataclass, field

from isthmus.engine.auth.authentication import Authenticator
from isthmus.engine.auth.authorization import Authorizer
from isthmus.engine.auth.user import User
from isthmus.engine.registry.registry import Registry, Served
from isthmus.engine.registry.storage import Storage
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server.message import Request
from isthmus.engine.server.requestinfo import RequestInfo
from isthmus.engine.store.row import Key
from isthmus.engine.store.store import Store
from isthmus.lib.home import Home


@dataclass(slots=True)
class Server:
    """One running API server."""

    home: Home
    store: Store
    registry: Registry
    storage: Storage
    authenticator: Authenticator
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

    def write_context(self) -> WriteContext:
        """Who writes, and how, by this request's parameters."""
        query = self.request.query
        agent = self.request.headers.get("user-agent", "")
        return WriteContext(
            user=self.user.name,
            groups=self.user.groups,
            version=self.info.version,
            subresource=self.info.subresource,
            manager=query.get("fieldManager") or agent.partition("/")[0][:128] or "unknown",
            dry_run="dryRun" in query,
            field_validation=query.get("fieldValidation") or "Warn",
        )
