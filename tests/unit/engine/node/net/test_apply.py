"""Failures of the tools, told with the line that they are about."""

import pytest

from isthmus.engine.node.net import apply
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.net.plan import Step


async def test_a_failed_line_is_named():
    step = Step("ip", ("link show lo", "link show nosuchlink0", "link show lo"))
    with pytest.raises(NetworkError, match=r"ip: .*does not exist.* \(link show nosuchlink0\)") as error:
        await apply.apply([step])
    assert error.value.reason == "NetworkFailed"


async def test_removing_what_is_gone_is_no_error_but_nonsense_is():
    await apply.remove(Step("ip", ("link del nosuchlink0", "netns del nosuchnetns0")))
    with pytest.raises(NetworkError, match="nonsense"):
        await apply.remove(Step("ip", ("link del nosuchlink0", "nonsense")))


async def test_an_empty_step_runs_nothing():
    await apply.apply([Step("no-such-tool", ())])


async def test_of_steps_side_by_side_the_failed_one_is_named():
    steps = [Step("ip", ("link show lo",)), Step("ip", ("link show nosuchlink0",))]
    with pytest.raises(NetworkError, match="nosuchlink0"):
        await apply.apply_at_once(steps)
