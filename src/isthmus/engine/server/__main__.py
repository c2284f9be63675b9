"""The API server's process: `python -m isthmus.engine.server --home D --port P`. Started and kept by the supervisor."""

import argparse
import asyncio
import logging
import os
import signal
import ssl
from pathlib import Path

import uvloop

from isthmus.engine.auth import certificaterequests, escalation, hostpaths, keyfiles, noderestriction
from isthmus.engine.auth.authorization import Authorizer
from isthmus.engine.auth.tokens import Tokens
from isthmus.engine.registry import plugins, strategies
from isthmus.engine.registry.admission import Admission
from isthmus.engine.registry.customresources import CustomResources
from isthmus.engine.registry.registry import Registry
from isthmus.engine.registry.storage import Storage
from isthmus.engine.server import bootstrap, memory
from isthmus.engine.server.app import App
from isthmus.engine.server.context import Server
from isthmus.engine.server.deadline import sweep
from isthmus.engine.server.protocol import Connection
from isthmus.engine.store.store import Store
from isthmus.kinds import catalogue
from isthmus.lib import logs
from isthmus.lib.home import Home

log = logging.getLogger(__name__)
BACKLOG = 1024
FINISH_SECONDS = 2


def build(home: Home, address: str) -> Server:
    """Put the parts together. Reads the store; writes nothing but missing keys."""
    assert strategies  # importing it registers them
    for directory in (home.root, home.pki):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(home.store)
    registry = Registry(catalogue.builtin_kinds())
    authorizer = Authorizer(store)
    ours = (certificaterequests.plugin(authorizer), escalation.plugin(authorizer), hostpaths.plugin(authorizer))
    rules = (*plugins.PLUGINS, *ours, noderestriction.plugin(authorizer.nodes.graph))
    storage = Storage(store, Admission(store, rules))
    tokens = Tokens(lambda: keyfiles.signing_key(home.pki), store)
    return Server(home, store, registry, storage, tokens, authorizer, address)


def tls_context(home: Home, address: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, a client certificate asked for but not demanded (tokens need none)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority, certificate, key = keyfiles.server(home.pki, address)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


async def serve(home: Home, address: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what has begun."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stopping.set)
    server = build(home, f"{address}:{port}")
    CustomResources(server.store, server.registry, server.storage).start()
    await bootstrap.write(server)
    connections: set[Connection] = set()
    app = App(server)
    listener = await loop.create_server(
        lambda: Connection(app, connections), address, port, ssl=tls_context(home, address), backlog=BACKLOG
    )
    server.store.start()
    chores = [asyncio.create_task(work) for work in (sweep(connections), memory.trim_forever())]
    memory.settle()
    server.ready = True
    log.info("serving on https://%s:%d, revision %d", address, port, server.store.revision)
    await stopping.wait()
    server.ready = False
    for chore in chores:
        chore.cancel()
    listener.close()
    await _finish(connections)
    await server.store.close()


async def _finish(connections: set[Connection]) -> None:
    """End idle connections, give requests that have begun a moment, then end the rest (watches never end)."""
    for _ in range(FINISH_SECONDS * 20):
        for connection in tuple(connections):
            if connection.idle:
                connection.transport.close()
        if all(c.answered for c in connections):
            break
        await asyncio.sleep(0.05)
    for connection in tuple(connections):
        connection.transport.abort()


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="isthmus-apiserver")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6443)
    arguments = parser.parse_args()
    os.umask(0o077)
    logs.setup("apiserver")
    uvloop.run(serve(Home(arguments.home), arguments.address, arguments.port))


if __name__ == "__main__":
    main()
