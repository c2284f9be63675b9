"""Controllers, scheduler and importer in one process: `python -m isthmus.operations.control_loops --home D`.

Started by the supervisor beside the API server, whose time they must not take. They share one set of informers and one
identity (`controllers`). Metrics and liveness are served on the socket `run/controllers.sock` of the home.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import prometheus_client
import uvloop
from aiohttp import web

from isthmus.client import connect
from isthmus.client.cached import CachedClient
from isthmus.engine.controllers import assembly
from isthmus.engine.scheduler.scheduler import Scheduler
from isthmus.importer import controller as importing
from isthmus.lib import logs
from isthmus.lib.home import Home
from isthmus.lib.tasks import cancel_and_wait

log = logging.getLogger(__name__)

COMPONENT = "controllers"


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=prometheus_client.generate_latest(), headers={"Content-Type": "text/plain; version=0.0.4"})


@contextlib.asynccontextmanager
async def _monitoring(home: Home, cluster: CachedClient) -> AsyncIterator[None]:
    """Serve /metrics and /readyz on the socket."""

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ok") if cluster.synced else web.Response(status=503, text="informers are not synced")

    home.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home.run / "controllers.sock"
    path.unlink(missing_ok=True)
    app = web.Application()
    app.add_routes([web.get("/metrics", _metrics), web.get("/readyz", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        path.chmod(0o600)
        yield
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)


async def run(home: Home) -> None:
    """Run until cancelled."""
    kubeconfig = home.component_kubeconfig(COMPONENT)
    access = connect.find_access(kubeconfig)
    client = connect.open_client(kubeconfig, "isthmus-controllers")
    cluster = CachedClient(client, "isthmus-controllers")
    parts = assembly.build(cluster, home, access.server, access.ca or b"")
    scheduler = Scheduler(cluster).controller()
    imports = importing.build(cluster)
    try:
        async with _monitoring(home, cluster), asyncio.TaskGroup() as group:
            cluster.start()
            group.create_task(parts.run())
            await cluster.wait_synced()
            group.create_task(scheduler.run())
            group.create_task(imports.run())
            log.info("running", extra=logs.fields(server=access.server))
    finally:
        await cluster.stop()
        await client.close()


async def _until_signalled(home: Home) -> None:
    work = asyncio.create_task(run(home))
    stopping = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stopping.set)
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    await cancel_and_wait([work, waiting])


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="isthmus-control-loops")
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    logs.setup(COMPONENT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_signalled(Home(arguments.home)))


if __name__ == "__main__":
    main()
