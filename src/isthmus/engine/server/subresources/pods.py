"""Subresources of Pods: binding, eviction, log."""

import dataclasses
from typing import Any

import orjson

from isthmus.engine.registry import eviction as evictions
from isthmus.engine.server import agent
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.message import Response
from isthmus.engine.server.route import Table
from isthmus.lib import clock
from isthmus.machinery import causes, errors

Object = dict[str, Any]
_NO_SHELL = "this pod is a virtual machine or a worker, there is no container to enter: see `virtctl console` and `ssh`"
_NO_PORT = "ports of a virtual machine are forwarded by `virtctl port-forward`"
# What discovery lists, as clients expect it, and no node here can do: (resource, subresource) -> what to do instead.
UNSERVED = {
    ("pods", "exec"): _NO_SHELL,
    ("pods", "attach"): _NO_SHELL,
    ("pods", "ephemeralcontainers"): _NO_SHELL,
    ("pods", "portforward"): _NO_PORT,
}
SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def binding(call: Call) -> Response:
    """Bind a pod to the node that the scheduler chose. A pod is bound once (409 afterwards)."""
    context = call.write_context()
    wanted = body.read_as(call, context, "v1", "Binding")
    node = (wanted.get("target") or {}).get("name")
    if not node:
        raise errors.invalid("", "Binding", call.info.name, [errors.Cause("target.name", "Required value")])

    def change(pod: Object) -> Object:
        if bound := pod["spec"].get("nodeName"):
            raise errors.conflict(
                "", "pods/binding", call.info.name, f"pod {call.info.name} is already assigned to node {bound}"
            )
        pod["spec"]["nodeName"] = node
        conditions = [c for c in pod.setdefault("status", {}).get("conditions", []) if c["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": clock.timestamp()}
        pod["status"]["conditions"] = [*conditions, scheduled]
        return pod

    context.subresource = "binding"
    await call.server.storage.modify(call.served, call.key, change, context)
    return Response(orjson.dumps(SUCCESS), 201)


async def bindings(call: Call) -> Response:
    """`binding` by the path of old schedulers, where the Binding in the body names the pod."""
    named = (body.read_as(call, call.write_context(), "v1", "Binding").get("metadata") or {}).get("name")
    if not named:
        raise errors.invalid("", "Binding", "", [causes.required("metadata.name")])
    pods = call.server.registry.by_resource("pods")
    assert pods
    return await binding(dataclasses.replace(call, served=pods, info=call.info._replace(name=named)))


async def eviction(call: Call) -> Response:
    """Delete a pod as a drain does (policy/v1 Eviction), if its disruption budget allows it."""
    context = call.write_context()
    wanted = body.read_as(call, context, "policy/v1", "Eviction")
    options = wanted.get("deleteOptions") or {}
    context.subresource = ""
    context.dry_run = context.dry_run or bool(options.get("dryRun"))
    await evictions.evict(call.server.storage, call.server.registry, call.key, options, context)
    return Response(orjson.dumps(SUCCESS), 201)


async def to_agent(call: Call) -> Response | None:
    """log, exec and the like are answered by the agent of the pod's node."""
    node = call.row().decode()["spec"].get("nodeName")
    if not node:
        raise errors.bad_request(f"pod {call.info.name} is not on a node yet")
    info, query = call.info, call.request.raw_query
    path = agent.path_of("pods", info.namespace, info.name, info.subresource, query=query)
    return await agent.forward(call.server.home, node, call.request, path)


TABLE: Table = {
    ("bindings", ""): {"create": bindings},
    ("pods", "binding"): {"create": binding},
    ("pods", "eviction"): {"create": eviction},
    ("pods", "log"): {"get": to_agent},
}
