"""The server's own metrics, under kube-apiserver's names.

Requests only add to plain numbers; Prometheus' types are made of them, and its package loaded, when somebody asks.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from isthmus.engine.server.requestinfo import RequestInfo

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)  # seconds
_requests: dict[tuple[str, str, str, int], int] = {}  # (verb, group, resource, status code) -> how many
_seconds: dict[str, list[float]] = {}  # verb -> how many in each bucket and beyond the last, then the sum


def observe(info: RequestInfo, code: int, seconds: float, *, served: bool = True) -> None:
    """Count one request; of a resource that is not `served`, only that it was asked for: clients invent no labels."""
    known = served or (code != 404 and not info.is_resource)
    key = (info.verb if known or info.is_resource else "", info.group * served, info.resource * served, code)
    _requests[key] = _requests.get(key, 0) + 1
    if info.verb != "watch" and known:
        if (row := _seconds.get(info.verb)) is None:
            row = _seconds[info.verb] = [0.0] * (len(BUCKETS) + 2)
        row[bisect_left(BUCKETS, seconds)] += 1
        row[-1] += seconds


class _Collector:
    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        labels = ("verb", "group", "resource", "code")
        requests = CounterMetricFamily(
            "apiserver_request", "Requests by verb, resource and status code.", labels=labels
        )
        for (verb, group, resource, code), count in _requests.items():
            requests.add_metric((verb, group, resource, str(code)), count)
        yield requests
        text = "Time to answer, watches excepted."
        times = HistogramMetricFamily("apiserver_request_duration_seconds", text, labels=("verb",))
        for verb, row in _seconds.items():
            total, buckets = 0.0, []
            for bound, number in zip((*map(str, BUCKETS), "+Inf"), row, strict=False):
                total += number
                buckets.append((bound, total))
            times.add_metric((verb,), buckets, row[-1])
        yield times


def exposition() -> bytes:
    """The text format of Prometheus."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector())
    return generate_latest(registry)
