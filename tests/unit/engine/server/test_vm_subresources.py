"""What virtctl's commands are told before anything happens: preconditions, texts and codes of KubeVirt 1.9."""

import pytest

from isthmus.engine.registry.write import WriteContext

BASE = "/apis/kubevirt.io/v1/namespaces/default"
ACTS = "/apis/subresources.kubevirt.io/v1/namespaces/default"
SPEC = {
    "terminationGracePeriodSeconds": 30,
    "domain": {"memory": {"guest": "64Mi"}, "devices": {"disks": [{"name": "d", "disk": {}}]}},
    "volumes": [{"name": "d", "emptyDisk": {"capacity": "1Mi"}}],
}


@pytest.fixture
def make(api):
    """A VM of a strategy, and an instance in a phase (None: there is none)."""

    async def build(strategy="Always", phase="Running", conditions=(), **spec):
        body = {**SPEC, **spec}
        vm = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "v"}}
        template = {"metadata": {}, "spec": body}
        await api(
            "POST", f"{BASE}/virtualmachines", {**vm, "spec": {"runStrategy": strategy, "template": template}}, code=201
        )
        if phase is None:
            return
        vmi = {**vm, "kind": "VirtualMachineInstance", "spec": body}
        await api("POST", f"{BASE}/virtualmachineinstances", vmi, code=201)
        status = {"phase": phase, "nodeName": "n", "conditions": [{"type": c, "status": "True"} for c in conditions]}
        storage, resource = api.server.storage, "virtualmachineinstances.kubevirt.io"
        served = api.server.registry.by_resource(resource)
        context = WriteContext("agent", ("system:nodes",))
        await storage.modify(served, (resource, "default", "v"), lambda found: found | {"status": status}, context)

    return build


async def get(api, resource="virtualmachines"):
    return await api("GET", f"{BASE}/{resource}/v", code=200)


VM, VMI = f"{ACTS}/virtualmachines/v", f"{ACTS}/virtualmachineinstances/v"
REFUSED = [  # verb, path, body, strategy, phase, code, text
    ("start", {}, "Halted", "Running", 409, "VM is already running"),
    ("start", {}, "Always", None, 409, "Always does not support manual start requests"),
    ("start", {}, "RerunOnFailure", "Failed", 409, "RerunOnFailure does not support starting VM from failed state"),
    ("stop", {}, "Halted", None, 409, "VM is not running"),
    ("stop", {}, "Manual", "Succeeded", 409, "VM is not running"),
    ("stop", {}, "Halted", "Running", 409, "Halted only supports manual stop requests with a shorter graceperiod"),
    ("stop", {"gracePeriod": 30}, "Halted", "Running", 409, "with a shorter graceperiod"),
    ("restart", {}, "Halted", None, 409, "RunStategy Halted does not support manual restart requests"),
    ("restart", {}, "Once", "Running", 409, "RunStategy Once does not support manual restart requests"),
    ("restart", {}, "Always", None, 409, "VM is not running: Halted"),
    ("restart", {"gracePeriodSeconds": 5}, "Always", "Running", 400, "only gracePeriod=0 is supported for now"),
    ("restart", {"gracePeriodSeconds": -1}, "Always", "Running", 400, "gracePeriod has to be greater or equal to 0"),
    ("memorydump", {"claimName": "c"}, "Always", "Running", 400, "memory dumps are not supported by this platform"),
    ("addvolume", {"name": "x", "disk": {}, "volumeSource": {"dataVolume": {"name": "x"}}}, "Always", "Running", 409,
     "volumes cannot be added to a running guest on this platform yet: stop the VM first"),
    ("removevolume", {"name": "d"}, "Always", "Running", 409, "volumes cannot be removed from a running guest"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "body", "strategy", "phase", "code", "text"), REFUSED)
async def test_an_act_on_a_vm_is_refused_in_kubevirts_words(api, make, verb, body, strategy, phase, code, text):
    await make(strategy, phase)
    refused = await api("PUT", f"{VM}/{verb}", body, code=code)
    assert text in refused["message"]


@pytest.mark.parametrize("kind", ["virtualmachine", "virtualmachineinstance"])
async def test_what_is_not_there_is_named_as_kubevirt_names_it(api, kind):
    verb = "start" if kind == "virtualmachine" else "pause"
    refused = await api("PUT", f"{ACTS}/{kind}s/none/{verb}", {}, code=404)
    assert refused["message"] == f'{kind}.kubevirt.io "none" not found'


EXEC = {"livenessProbe": {"exec": {"command": ["true"]}}}
NO_ACPI = {"domain": {**SPEC["domain"], "features": {"acpi": {"enabled": False}}}}
OF_VMI = [  # method, sub, conditions, spec, code, text
    ("PUT", "pause", (), EXEC, 403, "Pausing VMIs with a non-GuestAgentPing LivenessProbe is not supported"),
    ("PUT", "pause", ("Paused",), {}, 409, "VMI is already paused"),
    ("PUT", "unpause", (), {}, 409, "VMI is not paused"),
    ("PUT", "softreboot", ("Paused",), {}, 409, "VMI is paused"),
    ("PUT", "softreboot", (), NO_ACPI, 409, "VMI neither have the agent connected nor the ACPI feature enabled"),
    ("GET", "guestosinfo", (), {}, 409, "VMI does not have guest agent connected"),
    ("GET", "usbredir", (), {}, 409, "Not configured with USB Redirection"),
    ("GET", "vsock", (), {}, 400, "VSOCK is not attached."),
    ("GET", "portforward/22/tcp", ("Paused",), {}, 409, "VMI is paused"),
    ("GET", "portforward/0/tcp", (), {}, 400, "port must be a number"),
    ("GET", "objectgraph", (), {}, 400, "ObjectGraph feature gate not enabled"),
    ("PUT", "backup", (), {}, 400, "backup is not supported by this platform"),
]


@pytest.mark.parametrize(("method", "sub", "conditions", "spec", "code", "text"), OF_VMI)
async def test_an_act_on_an_instance_is_refused_in_kubevirts_words(
    api, make, method, sub, conditions, spec, code, text
):
    await make(conditions=conditions, **spec)
    refused = await api(method, f"{VMI}/{sub}", code=code)
    assert text in refused["message"]


@pytest.mark.parametrize(("sub", "conditions"), [("pause", ()), ("unpause", ("Paused",))])
async def test_a_dry_run_of_a_pause_asks_no_node(api, make, sub, conditions):
    await make(conditions=conditions)
    await api("PUT", f"{VMI}/{sub}", {"dryRun": ["All"]}, code=200)  # there is no agent that could answer


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
async def test_a_dry_run_changes_nothing(api, make, verb):
    await make("Manual", None if verb == "start" else "Running")
    before = await get(api)
    await api("PUT", f"{VM}/{verb}", {"dryRun": ["All"]}, code=202)
    assert await get(api) == before


async def test_a_stop_by_force_shortens_the_guests_time_also_of_a_vm_that_is_stopping(api, make):
    await make("Halted")
    await api("PUT", f"{VM}/stop", {"gracePeriod": 0}, code=202)
    assert (await get(api, "virtualmachineinstances"))["spec"]["terminationGracePeriodSeconds"] == 0


async def test_a_paused_vm_can_be_stopped(api, make):
    await make(conditions=("Paused",))
    await api("PUT", f"{VM}/stop", {}, code=202)
    assert (await get(api))["spec"]["runStrategy"] == "Halted"


async def test_who_asks_for_a_start_does_not_wait_for_the_back_off(api, make):
    await make("RerunOnFailure", None)
    vm = await get(api)
    vm["status"] = {"startFailure": {"consecutiveFailCount": 3, "retryAfterTimestamp": "2030-01-01T00:00:00Z"}}
    await api("PUT", f"{BASE}/virtualmachines/v/status", vm, code=200)
    await api("PUT", f"{VM}/start", {}, code=202)
    status = (await get(api))["status"]
    assert (status["stateChangeRequests"], status.get("startFailure")) == ([{"action": "Start"}], None)


async def test_the_status_of_an_instance_is_not_a_users_to_write(api, make):
    await make()
    vmi = await get(api, "virtualmachineinstances")
    vmi["status"]["phase"] = "Succeeded"
    vmi["metadata"]["labels"] = {"team": "a"}
    written = await api("PUT", f"{BASE}/virtualmachineinstances/v", vmi, code=200)
    assert (written["status"]["phase"], written["metadata"]["labels"]) == ("Running", {"team": "a"})
    fresh = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "w"}, "spec": SPEC}
    made = await api("POST", f"{BASE}/virtualmachineinstances", {**fresh, "status": {"phase": "Running"}}, code=201)
    assert made["status"]["phase"] == "Pending"
