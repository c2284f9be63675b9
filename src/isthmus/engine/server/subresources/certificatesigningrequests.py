"""certificatesigningrequests/approval: the decision, and at once the certificate, where one of our signers is asked.

On a cluster a controller signs; here the authority's key never leaves the server, so the server does. It writes the
certificate as a second update of the status, as that controller would.
"""

import asyncio
import base64
from typing import Any

import orjson

from isthmus.engine.auth import certificaterequests
from isthmus.engine.registry.write import WriteContext
from isthmus.engine.server.context import Call
from isthmus.engine.server.handlers import get, patch, update
from isthmus.engine.server.message import Response
from isthmus.engine.server.route import Handler, Table
from isthmus.machinery import errors

Object = dict[str, Any]


def _deciding(write: Handler) -> Handler:
    async def decide(call: Call) -> Response | None:
        """Write the decision; answer with it, as kube-apiserver does, once the certificate is there too."""
        response = await write(call)
        row = call.server.store.get(call.key)
        if row is not None and certificaterequests.is_approved(request := row.decode()):
            await _answer(call, request)
        return response

    return decide


async def _answer(call: Call, request: Object) -> None:
    """Write the certificate, or why there will be none."""
    try:
        issued = await asyncio.to_thread(certificaterequests.issue, call.server.home.pki, request)
        if issued is None:
            return
        change: Object = {"certificate": base64.b64encode(issued).decode()}
    except ValueError as error:
        failed = {"type": "Failed", "reason": "SignerValidationFailure", "message": str(error)}
        change = {"conditions": [*request["status"]["conditions"], failed]}

    def edit(current: Object) -> Object:
        return current | {"status": {**(current.get("status") or {}), **orjson.loads(orjson.dumps(change))}}

    context = WriteContext("system:apiserver", ("system:masters",), subresource="status", manager="apiserver")
    try:
        await call.server.storage.modify(call.served, call.key, edit, context)
    except errors.StatusError as error:
        if error.code != 404:  # deleted meanwhile: nobody waits for it
            raise


TABLE: Table = {
    ("certificatesigningrequests.certificates.k8s.io", "approval"): {
        "get": get.get,
        "update": _deciding(update.update),
        "patch": _deciding(patch.patch),
    }
}
