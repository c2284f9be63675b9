"""CDI's upload proxy: a disk image streamed into the volume of a PVC that waits for it (facts of CDI's uploadproxy)."""

from isthmus.engine.auth.user import User
from isthmus.engine.server.context import Server
from isthmus.engine.server.message import Request, Response
from isthmus.machinery import errors

PREFIX = "/v1beta1/upload"


async def serve(_server: Server, _request: Request, _user: User) -> Response | None:
    """HEAD says whether uploads are taken; POST streams one."""
    raise errors.path_not_found()
