"""What `kubectl get` shows, as Kubernetes words it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from isthmus.kinds import catalogue, columns

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
HOUR_AGO = "2026-01-02T11:00:00Z"
GOLDEN = yaml.safe_load((Path(__file__).parents[2] / "golden/columns/builtin.yaml").read_text())
KINDS = {kind.resource: kind for kind in catalogue.builtin_kinds()}


def shown(resource, value):
    """The cells by column name."""
    kind = KINDS[resource]
    value = {"metadata": {"name": "x", "creationTimestamp": HOUR_AGO}, **value}
    return dict(zip((c.name for c in columns.of(kind)), columns.cells(kind, value, NOW), strict=True))


def running(name="c", ready=True, restarts=0, **more):
    return {"name": name, "ready": ready, "restartCount": restarts, "state": {"running": {}}, **more}


def pod(statuses=(), init_statuses=(), *, init=(), phase="Running", spec=None, **status):
    count = max(len(statuses), 1)
    return {
        "spec": {"containers": [{"name": f"c{i}"} for i in range(count)], "initContainers": list(init), **(spec or {})},
        "status": {
            "phase": phase,
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init_statuses),
            **status,
        },
    }


def waiting(reason, **more):
    return {"name": "c", "restartCount": 0, "state": {"waiting": {"reason": reason}}, **more}


def terminated(code=0, reason="", signal=0):
    state = {"exitCode": code} | ({"reason": reason} if reason else {}) | ({"signal": signal} if signal else {})
    return {"name": "c", "restartCount": 0, "state": {"terminated": state}}


@pytest.mark.parametrize(
    ("value", "ready", "status"),
    [
        (pod(phase="Pending"), "0/1", "Pending"),
        (pod([running()]), "1/1", "Running"),
        (pod([running(), running(ready=False)]), "1/2", "Running"),
        (pod([waiting("CrashLoopBackOff")]), "0/1", "CrashLoopBackOff"),
        (pod([waiting("ImagePullBackOff")], phase="Pending"), "0/1", "ImagePullBackOff"),
        (pod([terminated(0, "Completed")], phase="Succeeded"), "0/1", "Completed"),
        (pod([terminated(1, "Error")], phase="Failed"), "0/1", "Error"),
        (pod([terminated(137)], phase="Failed"), "0/1", "ExitCode:137"),
        (pod([terminated(137, signal=9)], phase="Failed"), "0/1", "Signal:9"),
        (pod([terminated(0, "Completed"), running()]), "1/2", "NotReady"),
        (pod(phase="Failed", reason="Evicted"), "0/1", "Evicted"),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
            "0/1",
            "SchedulingGated",
        ),
        (pod([], [waiting("PodInitializing")], init=[{"name": "i"}], phase="Pending"), "0/1", "Init:0/1"),
        (pod([], [terminated(0), waiting("")], init=[{}, {}], phase="Pending"), "0/1", "Init:1/2"),
        (pod([], [terminated(3)], init=[{}], phase="Pending"), "0/1", "Init:ExitCode:3"),
        (pod([], [terminated(3, "Error")], init=[{}], phase="Pending"), "0/1", "Init:Error"),
        (pod([], [waiting("ImagePullBackOff")], init=[{}], phase="Pending"), "0/1", "Init:ImagePullBackOff"),
        (
            pod(
                [running()],
                [running("side", started=True)],
                init=[{"name": "side", "restartPolicy": "Always"}],
            ),
            "2/2",
            "Running",
        ),
    ],
)
def test_a_pods_ready_and_status(value, ready, status):
    cells = shown("pods", value)
    assert (cells["Ready"], cells["Status"]) == (ready, status)


def test_a_pod_that_is_deleted_is_terminating_unless_it_ended():
    deleted = {"metadata": {"name": "x", "deletionTimestamp": HOUR_AGO}}
    assert shown("pods", pod([running()]) | deleted)["Status"] == "Terminating"
    assert shown("pods", pod([terminated(0, "Completed")], phase="Succeeded") | deleted)["Status"] == "Completed"
    assert shown("pods", pod([running()], reason="NodeLost") | deleted)["Status"] == "Unknown"


def test_a_pods_restarts_say_when():
    assert shown("pods", pod([running()]))["Restarts"] == "0"
    ended = {"terminated": {"finishedAt": "2026-01-02T11:55:00Z"}}
    assert shown("pods", pod([running(restarts=3, lastState=ended)]))["Restarts"] == "3 (5m ago)"


def test_a_pods_wide_columns():
    value = pod([running()], spec={"nodeName": "n1", "readinessGates": [{"conditionType": "G"}]})
    value["status"] |= {
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        "conditions": [{"type": "G", "status": "True"}],
    }
    cells = shown("pods", value)
    assert list(cells) == [
        *("Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates")
    ]
    assert (cells["IP"], cells["Node"], cells["Nominated Node"], cells["Readiness Gates"]) == (
        *("10.0.0.1", "n1", "<none>", "1/1"),
    )
    assert [c.name for c in columns.of(KINDS["pods"]) if c.priority] == [
        "IP",
        "Node",
        "Nominated Node",
        "Readiness Gates",
    ]


@pytest.mark.parametrize(
    ("conditions", "spec", "expected"),
    [
        ([], {}, "Unknown"),
        ([{"type": "Ready", "status": "True"}], {}, "Ready"),
        ([{"type": "Ready", "status": "Unknown"}], {}, "NotReady"),
        ([{"type": "Ready", "status": "True"}], {"unschedulable": True}, "Ready,SchedulingDisabled"),
    ],
)
def test_a_nodes_status(conditions, spec, expected):
    assert shown("nodes", {"spec": spec, "status": {"conditions": conditions}})["Status"] == expected


def test_a_nodes_roles_and_addresses():
    labels = {
        "node-role.kubernetes.io/worker": "",
        "node-role.kubernetes.io/control-plane": "",
        "kubernetes.io/role": "x",
    }
    node = {
        "metadata": {"name": "n", "labels": labels},
        "status": {"addresses": [{"type": "InternalIP", "address": "1.2"}]},
    }
    cells = shown("nodes", node)
    assert cells["Roles"] == "control-plane,worker,x"
    assert (cells["Internal-IP"], cells["External-IP"]) == ("1.2", "<none>")


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["kind"])
def test_built_in_kinds_are_shown_as_kubernetes_shows_them(row):
    cells = shown(row["kind"], row["object"])
    assert {name: cells[name] for name in row["cells"]} == row["cells"]


def test_an_event_is_shown_alike_in_both_groups():
    core = {
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
        "message": "hello \n",
        "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": HOUR_AGO,
        "lastTimestamp": "2026-01-02T11:59:00Z",
        "count": 4,
        "type": "Normal",
        "reason": "R",
    }
    cells = shown("events", core)
    assert list(cells.values()) == ["60s", "Normal", "R", "pod/p", "spec", "kubelet, n", "hello", "60m", 4, "x"]
    assert shown("events.events.k8s.io", core) == cells
    assert [c.name for c in columns.of(KINDS["events"])][-1] == "Name"


def test_a_virtual_machines_columns_are_those_of_its_crd():
    value = {"status": {"printableStatus": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert shown("virtualmachines.kubevirt.io", value) == {
        "Name": "x",
        "Age": "60m",
        "Status": "Running",
        "Ready": "True",
    }
    assert shown("virtualmachines.kubevirt.io", {})["Status"] is None


def test_a_crd_value_of_another_type_is_shown_as_nothing():
    dv = {"status": {"restartCount": "three", "progress": ["a"], "phase": {"b": 1}}}
    cells = shown("datavolumes.cdi.kubevirt.io", dv)
    assert (cells["Restarts"], cells["Progress"], cells["Phase"]) == (None, '["a"]', '{"b":1}')


def test_column_definitions_are_those_of_a_table():
    first, *_, last = columns.definitions(KINDS["virtualmachineinstances.kubevirt.io"])
    assert (first["name"], first["format"], first["type"]) == ("Name", "name", "string")
    assert (last["name"], last["priority"]) == ("Paused", 1)
    names = [d["name"] for d in columns.definitions(KINDS["network-attachment-definitions.k8s.cni.cncf.io"])]
    assert names == ["Name", "Age"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.resource)
@pytest.mark.parametrize("value", [{}, {"spec": None, "status": None}, {"spec": [], "status": "x"}])
def test_no_object_however_odd_breaks_its_row(kind, value):
    assert len(columns.cells(kind, {"metadata": {"name": "x"}} | value, NOW)) == len(columns.of(kind))
