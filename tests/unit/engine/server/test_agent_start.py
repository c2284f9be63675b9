import asyncio

import pytest

from isthmus.engine.server import agent
from isthmus.lib.home import Home
from isthmus.machinery.errors import StatusError


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    home.run.mkdir()
    return home


async def test_an_agent_that_is_still_starting_is_waited_for(home):
    async def hello(reader, writer):
        writer.write(b"here")
        writer.close()

    opening = asyncio.create_task(agent.open_connection(home, "n1"))
    await asyncio.sleep(0.1)
    assert not opening.done()
    async with await asyncio.start_unix_server(hello, agent.socket_path(home, "n1")):
        reader, writer = await opening
        assert await reader.read() == b"here"
        writer.close()


async def test_an_agent_that_does_not_come_is_503_with_the_way_to_look(home, monkeypatch):
    monkeypatch.setattr(agent, "OPEN_SECONDS", 0.2)
    with pytest.raises(
        StatusError, match=r"node n1 does not answer \(No such file or directory\); see `isthmus status`"
    ):
        await agent.open_connection(home, "n1")


@pytest.mark.parametrize("node", ["../up", "", "a/b", "n" * 300])
async def test_a_name_that_is_none_of_a_node_leads_nowhere(home, node):
    with pytest.raises(StatusError, match="is no name of a node"):
        await agent.open_connection(home, node)
