"""When a guest counts as ready, and when as dead."""

import asyncio

import pytest
from aiohttp import web

from isthmus.engine.node import probes
from isthmus.engine.node.guest.agent import GuestAgentError
from isthmus.engine.node.probes import Settings, Target, Verdict


class Agent:
    """The guest's agent as a probe sees it."""

    def __init__(self, code=0, error=""):
        self.code, self.error, self.seen = code, error, []

    async def execute(self, path, arguments, timeout):
        self.seen.append((path, list(arguments), timeout))
        return self.code

    async def ping(self, timeout):
        self.seen.append(timeout)
        if self.error:
            raise GuestAgentError(self.error)


class Running:
    """A machine that runs until it is told otherwise."""

    def __init__(self, agent=None, port=0):
        self.agent, self.uid, self.state, self.ended = agent or Agent(), "u", "running", False
        self.forwards = {("tcp", port): ("127.0.0.1", port)}
        self.gone = asyncio.Event()

    async def wait_ended(self):
        await self.gone.wait()


def target(running, **ports):
    return Target(running, {"nics": [{"name": "default"}]}, ports)


def verdicts(probe, results, *, good):
    verdict, settings = Verdict(good), Settings.of(probe)
    out = []
    for result in results:
        verdict.take(settings, "" if result else "refused")
        out.append(verdict.good)
    return out


def test_a_guest_is_ready_after_enough_successes_and_unready_after_enough_failures():
    probe = {"successThreshold": 2, "failureThreshold": 3}
    results = [True, True, False, False, True, False, False, False, True, True]
    expected = [False, True, True, True, True, True, True, False, False, True]
    assert verdicts(probe, results, good=False) == expected


async def test_a_port_that_cannot_be_is_a_failure_and_not_the_end_of_the_probe():
    assert "no port named 70000" in await probes.ask(target(None), {"tcpSocket": {"port": 70000}})


def test_numbers_that_are_not_given_are_kubernetes_own():
    assert Settings.of({}) == Settings(0, 10, 1, 1, 3)


@pytest.mark.parametrize(
    ("status", "wrong"), [(200, ""), (302, ""), (404, "statuscode: 404"), (500, "statuscode: 500")]
)
async def test_an_http_probe_wants_an_answer_from_200_to_399(status, wrong):
    async def answer(request):
        assert (request.path, request.headers["X-Probe"]) == ("/healthz", "yes")
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/healthz", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    probe = {"httpGet": {"path": "/healthz", "port": "web", "httpHeaders": [{"name": "X-Probe", "value": "yes"}]}}
    said = await probes.ask(target(Running(port=port), web=port), probe)
    assert wrong in said
    assert bool(said) == bool(wrong)
    await runner.cleanup()


async def test_a_tcp_probe_wants_a_connection():
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await probes.ask(target(Running(port=port)), {"tcpSocket": {"port": port}}) == ""
    server.close()
    await server.wait_closed()
    assert "dial tcp" in await probes.ask(target(Running(port=port)), {"tcpSocket": {"port": port}})
    assert "no port named 'web'" in await probes.ask(target(Running()), {"tcpSocket": {"port": "web"}})


async def test_a_command_in_the_guest_succeeds_with_0_alone():
    probe = {"exec": {"command": ["cat", "/ready"]}, "timeoutSeconds": 4}
    agent = Agent()
    assert await probes.ask(target(Running(agent)), probe) == ""
    assert agent.seen == [("cat", ["/ready"], 4.0)]
    assert await probes.ask(target(Running(Agent(code=2))), probe) == "cat exited with 2"


async def test_a_ping_asks_the_guests_agent():
    assert await probes.ask(target(Running()), {"guestAgentPing": {}}) == ""
    assert await probes.ask(target(Running(Agent(error="no channel"))), {"guestAgentPing": {}}) == "no channel"


async def test_a_guest_is_asked_while_it_runs_and_not_while_it_is_paused():
    running, changed = Running(Agent(error="gone")), asyncio.Event()
    running.state = "paused"
    probe = {"guestAgentPing": {}, "periodSeconds": 0.01, "failureThreshold": 2}
    vmi = {"spec": {"domain": {}, "livenessProbe": probe, "readinessProbe": probe}}
    prober = probes.Prober()
    prober.ensure(vmi, running, {}, changed.set, ready=True)
    await asyncio.sleep(0.05)
    assert prober.verdict("u", probes.LIVENESS).good
    running.state = "running"
    while prober.verdict("u", probes.LIVENESS).good:
        await asyncio.wait_for(changed.wait(), 5)
        changed.clear()
    assert prober.verdict("u", probes.LIVENESS).message == "gone"
    await prober.close()
    assert not prober.knows("u")
