"""`kill -9` of any process of ours, and `down`: machines and their guests go on, what was begun is finished, once.

One guest lives through all of it: what its shell remembers proves that it is the same one.
"""

import os
import time

import pytest
from tests.e2e import manifests
from tests.e2e.platform import ApiError, alive, wait_for
from websockets.exceptions import WebSocketException

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
COMPONENTS = ("agent", "controllers", "apiserver")
SURVIVOR = "survivor"


@pytest.fixture(scope="module")
def survivor(running_platform):
    platform = running_platform
    with platform.space.entered():
        platform.create(manifests.vm(SURVIVOR, "Always"))
        platform.wait_condition("vm", SURVIVOR, "Ready", 60)
        yield platform.get("vmi", SURVIVOR)["metadata"]["uid"]
        platform.delete("vm", SURVIVOR)
        platform.wait_gone("vmi", SURVIVOR)


def ready(platform):
    """Every component runs and the node says that it is ready, since now."""
    wait_for(lambda: all(alive(platform.pid(name)) for name in COMPONENTS), 30)
    wait_for(platform.ready_node, 30)


def remember(virtctl):
    word = os.urandom(4).hex()
    shell = virtctl.console(SURVIVOR).login(90)
    shell.run(f"REMEMBERED={word}")
    return word, shell


def check_remembers(platform, virtctl, word, pid):
    shell = wait_for(lambda: open_console(virtctl), 30)
    shell.login()
    assert shell.run("echo $REMEMBERED") == word
    shell.close()
    assert platform.qemu(platform.get("vmi", SURVIVOR)["metadata"]["uid"]) == pid


def open_console(virtctl):
    try:
        return virtctl.console(SURVIVOR)
    except (OSError, ApiError, WebSocketException):
        return None


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_guest_and_its_console_outlive_a_killed(platform, virtctl, survivor, component):
    pid = platform.qemu(survivor)
    word, shell = remember(virtctl)
    killed = platform.kill(component)
    if component == "controllers":  # the open console is none of theirs
        assert shell.run("echo $REMEMBERED") == word
    else:
        assert shell.closed(10)
    wait_for(lambda: platform.pid(component) != killed, 30)
    ready(platform)
    check_remembers(platform, virtctl, word, pid)
    assert platform.get("vmi", SURVIVOR)["status"]["phase"] == "Running"


def test_a_guest_outlives_the_supervisor_that_is_killed_and_down_and_up(platform, virtctl, survivor):
    pid = platform.qemu(survivor)
    word, _ = remember(virtctl)
    platform.kill("supervisor")
    wait_for(lambda: not platform.processes("isthmus.engine.node"), 20)
    platform.up()
    ready(platform)
    check_remembers(platform, virtctl, word, pid)
    platform.down()
    assert alive(pid)
    assert platform.lasting() == [pid]
    platform.up()
    ready(platform)
    check_remembers(platform, virtctl, word, pid)
    phases = [e["phase"] for e in platform.get("vmi", SURVIVOR)["status"]["phaseTransitionTimestamps"]]
    assert phases == ["Pending", "Scheduling", "Scheduled", "Running"]


def test_what_happens_while_the_agent_is_dead_is_learnt_from_the_disk(platform, virtctl, survivor):
    """The guest powers off while nobody watches: Always brings a new one."""
    shell = virtctl.console(SURVIVOR).login()
    shell.run("{ sleep 1; poweroff -f; } &\n:")
    platform.kill("agent")
    wait_for(lambda: (v := platform.find("vmi", SURVIVOR)) and v["metadata"]["uid"] != survivor, 60)
    platform.wait_phase("vmi", SURVIVOR, "Running", 60)
    messages = [e["message"] for e in platform.list("event") if e["reason"] == "Stopped"]
    assert any("the guest shut down" in m for m in messages), messages


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_start_and_a_stop_are_finished_whoever_is_killed_in_between(platform, component):
    """Killed at other moments each time; no process, link or directory may be left over, nor a second QEMU."""
    before = platform.leftovers()
    for number, delay in enumerate((0.05, 0.25, 0.6)):
        name = f"k-{component}-{number}"
        platform.create(manifests.vmi(name, terminationGracePeriodSeconds=0))
        time.sleep(delay)
        platform.kill(component)
        wait_for(lambda name=name: phase(platform, name) == "Running", 60, why=lambda name=name: phase(platform, name))
        uid = platform.get("vmi", name)["metadata"]["uid"]
        assert platform.qemu(uid)
        wait_for(lambda name=name: asked(platform, name), 30)
        time.sleep(delay)
        platform.kill(component)
        wait_for(lambda name=name: gone(platform, name), 60)
        wait_for(lambda uid=uid: platform.qemu(uid) is None, 20)
    wait_for(lambda: platform.leftovers() == before, 30, why=lambda: (before, platform.leftovers()))
    ready(platform)


def phase(platform, name):
    try:
        return ((platform.find("vmi", name) or {}).get("status") or {}).get("phase")
    except OSError:
        return None  # the API server is the one that was killed


def asked(platform, name):
    try:
        platform.delete("vmi", name)
        return True
    except OSError:
        return False


def gone(platform, name):
    try:
        return platform.find("vmi", name) is None
    except OSError:
        return False
