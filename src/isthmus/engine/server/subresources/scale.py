"""scale (autoscaling/v1 Scale) of every kind that says where it keeps its replicas."""

from typing import Any

import orjson

from isthmus.engine.registry.registry import Served
from isthmus.engine.registry.strategy import GENERIC
from isthmus.engine.server import representation
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import body
from isthmus.engine.server.handlers.patch import PATCHES
from isthmus.engine.server.message import Headers, Response
from isthmus.engine.server.route import Verbs
from isthmus.kinds.kind import Column, Kind
from isthmus.machinery import decode, errors, jsonpath, labels

Object = dict[str, Any]
# The kind of the answers, for their Table (pkg/printers/internalversion, Scale).
SCALE = Served(
    Kind(
        "autoscaling",
        ("v1",),
        "v1",
        "Scale",
        "scales",
        "scale",
        "ScaleList",
        namespaced=True,
        columns=(
            Column("Desired", "integer", ".spec.replicas"),
            Column("Available", "integer", ".status.replicas"),
            Column("Age", function="age"),
        ),
    ),
    GENERIC,
)


def _read(obj: Object, path: str) -> Any:
    return jsonpath.compile(path).first(obj) if path else None


def _scale(call: Call, obj: Object) -> Object:
    paths, metadata = call.served.kind.scale, obj["metadata"]
    assert paths
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": _read(obj, paths.status_replicas) or 0}
    if selector := _read(obj, paths.selector):
        status["selector"] = selector if isinstance(selector, str) else str(labels.from_label_selector(selector))
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {k: metadata[k] for k in kept if k in metadata},
        "spec": {"replicas": _read(obj, paths.spec_replicas) or 0},
        "status": status,
    }


async def get(call: Call) -> Response:
    """The object's Scale."""
    return _answer(call, call.row().decode())


def _answer(call: Call, obj: Object, warnings: Headers = ()) -> Response:
    header = call.request.headers.get("accept", "")
    form, content_type = representation.choose(SCALE, "v1", header, call.request.query.get("includeObject", ""))
    return Response(form.one(orjson.dumps(_scale(call, obj))), 200, content_type, warnings)


async def _write(call: Call, wanted: Any) -> Response:
    """Update the object by what `wanted(scale)` makes of its Scale."""
    context = call.write_context()

    def change(old: Object) -> Object:
        scale = wanted(_scale(call, old))
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            cause = errors.Cause("spec.replicas", f"Invalid value: {replicas}: must be greater than or equal to 0")
            raise errors.invalid("autoscaling", "Scale", call.info.name, [cause])
        assert call.served.kind.scale
        *parents, last = call.served.kind.scale.spec_replicas.strip(".").split(".")
        target = old
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = replicas
        if wanted_revision := (scale.get("metadata") or {}).get("resourceVersion"):
            old["metadata"]["resourceVersion"] = wanted_revision
        return old

    value = await call.server.storage.modify(call.served, call.key, change, context)
    return _answer(call, orjson.loads(value), body.warning_headers(context))


async def update(call: Call) -> Response:
    """Set the number of replicas."""
    scale = body.read_as(call, call.write_context(), "autoscaling/v1", "Scale")
    return await _write(call, lambda _current: scale)


async def patch(call: Call) -> Response:
    """Set the number of replicas by a patch of the Scale."""
    media = body.media_type(call)
    if media not in ("application/json-patch+json", "application/merge-patch+json"):
        media = "application/merge-patch+json"  # a Scale has no lists: strategic merge is the same
    document, _ = decode.decode(call.request.body, "application/json")
    return await _write(call, lambda current: PATCHES[media](call, current, document))


VERBS: Verbs = {"get": get, "update": update, "patch": patch}
