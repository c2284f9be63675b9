"""One real QEMU with a guest of busybox: started, found again by another agent, and each way in which it can end.

The guest is the host's kernel with an initramfs made here; it obeys one line on its serial console.
"""

import asyncio
from pathlib import Path

import pytest

from isthmus.codec import cpio
from isthmus.engine.node import streams
from isthmus.engine.node.net.model import Attachment, Nic
from isthmus.engine.node.vm import host as hosts
from isthmus.engine.node.vm.machine import Image, KernelBoot
from isthmus.engine.node.vm.machines import Machines
from isthmus.engine.node.vm.process import Exit

pytestmark = pytest.mark.e2e

KERNELS = sorted(Path("/boot").glob("vmlinuz-*"))
BUSYBOX = Path("/bin/busybox")
UID = "11111111-2222-3333-4444-555555555555"
INIT = b"""#!/busybox sh
/busybox mkdir /proc /dev
/busybox mount -t proc p /proc
/busybox mount -t devtmpfs d /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
echo GUEST-READY
while read line; do
  case "$line" in
    off) /busybox poweroff -f;;
    panic) for m in pvpanic pvpanic-mmio; do /busybox insmod /$m.ko; done; echo c >/proc/sysrq-trigger;;
    heed) for m in button evdev; do /busybox insmod /$m.ko; done; echo HEEDING
      (for e in /dev/input/event*; do (/busybox head -c 1 $e >/dev/null && /busybox poweroff -f) & done);;
    *) echo "you said $line";;
  esac
done
"""
NIC = Nic("default", "", "02:00:00:00:00:01", 1500, netdev="user,restrict=on")


@pytest.fixture(scope="module")
def boot(tmp_path_factory):
    initrd = tmp_path_factory.mktemp("guest") / "initrd"
    entries = [cpio.file("init", INIT, executable=True), cpio.file("busybox", BUSYBOX.read_bytes(), executable=True)]
    modules = Path("/lib/modules") / KERNELS[-1].name.removeprefix("vmlinuz-")
    wanted = [path for name in ("pvpanic*", "button", "evdev") for path in modules.rglob(f"{name}.ko")]
    entries += [cpio.file(path.name, path.read_bytes()) for path in wanted]
    initrd.write_bytes(cpio.archive(entries))
    return KernelBoot(KERNELS[-1], initrd, "console=ttyS0 quiet panic=0")


@pytest.fixture
async def node(tmp_path, boot):
    """Machines of a node whose directory is too deep for a socket's path; whatever runs is ended."""
    home = tmp_path / ("deep" * 20)
    host = await hosts.find_host(tmp_path)
    made = []

    def agent():
        made.append(Machines(home / "vms", "e2e", host, lambda key: None))
        return made[-1]

    yield agent
    last = agent()
    last.adopt()
    await last.remove(UID)
    for machines in made:
        await machines.close()


def vmi_of(**devices):
    domain = {"memory": {"guest": "192Mi"}, "devices": {"disks": [{"name": "d", "disk": {"bus": "virtio"}}], **devices}}
    spec = {"domain": domain, "volumes": [{"name": "d", "emptyDisk": {"capacity": "1Mi"}}]}
    return {"metadata": {"namespace": "default", "name": "vm", "uid": UID}, "spec": spec}


async def start(machines, boot, tmp_path, **devices):
    disk = tmp_path / "d.img"
    disk.write_bytes(bytes(1 << 20))
    attachment = Attachment(None, (NIC,), ())
    return await machines.start(vmi_of(**devices), {"d": Image(disk)}, attachment, boot)


async def wait_for(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.1)


async def until_ready(machines):
    log = machines.sockets(UID).serial_log
    await wait_for(lambda: log.exists() and b"GUEST-READY" in log.read_bytes())


async def say(machines, text):
    _, writer = await streams.open_socket(machines.sockets(UID).serial)
    writer.write(text + b"\n")
    await writer.drain()
    await asyncio.sleep(0.5)
    writer.close()


async def ended(machines):
    await wait_for(lambda: machines.find(UID) is None)
    return machines.find_exit(UID)


async def test_a_guest_that_powers_off_has_shut_down(node, boot, tmp_path):
    machines = node()
    running = await start(machines, boot, tmp_path)
    await until_ready(machines)
    assert (await running.monitor.screenshot(tmp_path)).startswith(b"\x89PNG")
    await say(machines, b"hello")
    assert b"you said hello" in machines.sockets(UID).serial_log.read_bytes()
    await say(machines, b"off")
    assert await ended(machines) is Exit.SHUTDOWN


async def test_a_new_agent_takes_over_and_still_learns_how_it_ended(node, boot, tmp_path):
    first = node()
    running = await start(first, boot, tmp_path)
    await until_ready(first)
    await first.close()  # as a kill of the agent does: the connections are gone, the machine is not
    await say(first, b"off")
    second = node()
    assert second.adopt() == {UID}
    assert second.find(UID).process.pid == running.process.pid
    assert await ended(second) is Exit.SHUTDOWN
    assert node().find_exit(UID) is Exit.SHUTDOWN


async def test_a_machine_that_is_killed_from_outside_crashed(node, boot, tmp_path):
    machines = node()
    running = await start(machines, boot, tmp_path)
    running.process.kill()
    assert await ended(machines) is Exit.CRASHED


async def test_a_guest_that_does_not_heed_is_ended_after_its_grace_period(node, boot, tmp_path):
    machines = node()
    running = await start(machines, boot, tmp_path)
    await until_ready(machines)
    await running.shut_down(1)
    assert await ended(machines) is Exit.DESTROYED


async def test_a_guest_that_heeds_the_power_button_shuts_down_within_its_grace_period(node, boot, tmp_path):
    machines = node()
    running = await start(machines, boot, tmp_path)
    await until_ready(machines)
    await say(machines, b"heed")
    await wait_for(lambda: b"HEEDING" in machines.sockets(UID).serial_log.read_bytes())
    await running.shut_down(60)
    assert await ended(machines) is Exit.SHUTDOWN


async def test_pausing_shows_and_ends(node, boot, tmp_path):
    machines = node()
    running = await start(machines, boot, tmp_path)
    await running.monitor.pause()
    running.poll()
    await wait_for(lambda: running.state == "paused")
    await running.monitor.resume()
    running.poll()
    await wait_for(lambda: running.state == "running")


async def test_a_panic_is_told_apart_from_a_shutdown(node, boot, tmp_path):
    machines = node()
    await start(machines, boot, tmp_path, panicDevices=[{"model": "pvpanic"}])
    await until_ready(machines)
    await say(machines, b"panic")
    assert await ended(machines) is Exit.PANICKED
