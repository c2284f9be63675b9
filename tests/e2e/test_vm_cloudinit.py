"""A real cloud-init reads what we give it: NoCloud with keys and network data, and a ConfigDrive. Long: Debian boots.

The disk comes by a DataVolume over HTTP and is cloned for each of the two, as golden images are.
"""

import asyncio

import pytest
from tests.e2e import manifests, webserver
from tests.guests import cloud

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA person@desk"
USER_DATA = """#cloud-config
chpasswd: {{expire: false, users: [{{name: root, password: secret, type: text}}]}}
ssh_pwauth: false
write_files: [{{path: /etc/written, content: by-{kind}}}]
bootcmd: [echo CLOUD-INIT-BEGINS]
runcmd: [[sh, -c, "echo CLOUD-INIT-DONE > /dev/ttyS0"]]
"""
NETWORK_DATA = """version: 2
ethernets:
  any:
    match: {macaddress: "02:00:00:00:77:01"}
    set-name: eth0
    dhcp4: true
    nameservers: {addresses: [192.0.2.53], search: [lab.test]}
"""


@pytest.fixture(scope="module")
def golden(running_platform):
    image = asyncio.run(cloud.build())
    platform = running_platform
    with platform.space.entered(), webserver.serve(image.parent) as url:
        platform.create(manifests.data_volume("golden", {"http": {"url": f"{url}/{image.name}"}}, "1200Mi"))
        platform.wait_phase("dv", "golden", "Succeeded", 300)
        yield "golden"
        platform.delete("dv", "golden")
        platform.wait_gone("pvc", "golden")


def machine(name, seed, **changes):
    volumes = [{"name": "root", "dataVolume": {"name": name}}, {"name": "seed", **seed}]
    vm = manifests.vm(name, "Always", **changes)
    spec = vm["spec"]["template"]["spec"]
    spec["volumes"] = volumes
    spec["domain"]["devices"]["disks"] = [{"name": v["name"], "disk": {"bus": "virtio"}} for v in volumes]
    spec["domain"]["memory"] = {"guest": "512Mi"}
    clone = manifests.data_volume(name, {"pvc": {"namespace": "default", "name": "golden"}}, "1200Mi")
    vm["spec"]["dataVolumeTemplates"] = [{"metadata": clone["metadata"], "spec": clone["spec"]}]
    return vm


def log_in(shell):
    shell.expect("CLOUD-INIT-DONE", 500)
    shell.send("\n")
    shell.expect("login: ", 60)
    shell.send("root\n")
    shell.expect("assword: ", 60)
    shell.send("secret\n")
    shell.expect(r"[#] $", 60)
    shell.run("export TERM=dumb PS1='# '; bind 'set enable-bracketed-paste off'; stty cols 500", 60)
    return shell


@pytest.mark.parametrize("kind", ["cloudInitNoCloud", "cloudInitConfigDrive"])
def test_cloud_init_does_what_its_seed_says(platform, virtctl, golden, kind):
    name = kind.lower().removeprefix("cloudinit")
    seed = {
        kind: {"userData": USER_DATA.format(kind=name)} | ({"networkData": NETWORK_DATA} if name == "nocloud" else {})
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ssh"}, "stringData": {"key": KEY}}
    platform.kubectl("apply", "-f", "-", stdin=secret)
    method = {"noCloud": {}} if name == "nocloud" else {"configDrive": {}}
    access = [{"sshPublicKey": {"source": {"secret": {"secretName": "ssh"}}, "propagationMethod": method}}]
    card = {"name": "default", "masquerade": {}, "macAddress": "02:00:00:00:77:01"}
    network = {"interfaces": [card], "networks": [{"name": "default", "pod": {}}]}
    platform.create(machine(name, seed, accessCredentials=access, hostname=f"{name}-host", **network))
    try:
        platform.wait_phase("vmi", name, "Running", 120)
        shell = log_in(virtctl.console(name))
        assert shell.run("cat /etc/written", 60) == f"by-{name}"
        assert shell.run("hostname", 60) == f"{name}-host"
        assert "person@desk" in shell.run("cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys", 60)
        source = {"nocloud": "DataSourceNoCloud", "configdrive": "DataSourceConfigDrive"}[name]
        assert source in shell.run("cat /run/cloud-init/result.json", 60)
        assert '"errors": []' in shell.run("cat /run/cloud-init/result.json", 60)
        assert "10.0.2.2/24" in shell.run("ip -4 addr", 60)
        vmi = platform.wait_condition("vmi", name, "AgentConnected", 120)
        assert vmi["status"]["phase"] == "Running"
        shell.close()
    finally:
        platform.delete("vm", name)
        platform.wait_gone("vmi", name, seconds=90)
