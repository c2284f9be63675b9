"""Answers for people: indented JSON for `?pretty` and for curl and wget, YAML for who accepts it. Called by `app`.

Objects are stored compact and sent as stored; only here are they written anew. Source: apiserver,
pkg/endpoints/handlers/negotiation (isPrettyPrint).
"""

import orjson

from isthmus.engine.server import compression
from isthmus.engine.server.message import Request, Response
from isthmus.machinery import accept, errors

TOOLS = ("curl/", "Wget/")
INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
LARGEST = 8 * 1024 * 1024  # bytes of JSON that are written anew while other requests wait


def shown(request: Request, response: Response) -> Response:
    """The response in the form that this client reads best."""
    plain = response.content_type.startswith(accept.JSON) and compression.ENCODED not in response.headers
    if not plain or not 0 < len(response.body) <= LARGEST:
        return response
    if wants_yaml(request):
        import yaml

        body = yaml.dump(orjson.loads(response.body), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
        return Response(body.encode(), response.status, accept.YAML, response.headers)
    if _wants_pretty(request):
        response.body = orjson.dumps(orjson.loads(response.body), option=INDENTED)
    return response


def wants_yaml(request: Request) -> bool:
    """Whether the client would rather have YAML than JSON."""
    header = request.headers.get("accept", "")
    if "yaml" not in header:
        return False
    try:
        return accept.negotiate(header, (accept.JSON, accept.YAML)).media_type == accept.YAML
    except errors.StatusError:  # it takes neither, which whoever answers has said or need not care about
        return False


def _wants_pretty(request: Request) -> bool:
    if "pretty" in request.raw_query and "pretty" in request.query:
        return request.query["pretty"] not in ("0", "false")
    return request.headers.get("user-agent", "").startswith(TOOLS)
