"""The server's own metrics, under kube-apiserver's names."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from isthmus.engine.server.requestinfo import RequestInfo

REGISTRY = CollectorRegistry()
_REQUESTS = Counter(
    "apiserver_request", "Requests by verb, resource and status code.", ("verb", "group", "resource", "code"),
    registry=REGISTRY,
)  # fmt: skip
_SECONDS = Histogram(
    "apiserver_request_duration_seconds", "Time to answer, watches excepted.", ("verb",), registry=REGISTRY,
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10),
)  # fmt: skip
_requests: dict[tuple[str, str, str, int], Counter] = {}
_seconds: dict[str, Histogram] = {}


def observe(info: RequestInfo, code: int, seconds: float) -> None:
    """Count one request. Children are looked up by a plain dict: `labels()` costs more than the rest of a GET."""
    key = (info.verb, info.group, info.resource, code)
    if (counter := _requests.get(key)) is None:
        known = code != 404
        labels = (info.verb, info.group if known else "", info.resource if known else "", str(code))
        counter = _REQUESTS.labels(*labels)
        if known:
            _requests[key] = counter
    counter.inc()
    if info.verb != "watch":
        if (histogram := _seconds.get(info.verb)) is None:
            histogram = _seconds[info.verb] = _SECONDS.labels(info.verb)
        histogram.observe(seconds)


def exposition() -> bytes:
    """The text format of Prometheus."""
    return generate_latest(REGISTRY)
