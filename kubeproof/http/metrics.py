"""What the server counts, in the text form of Prometheus and under Kubernetes' names where it has
them. Each server has a registry of its own, so that several may live in one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kubeproof.http import paths
from kubeproof.http.engine import Engine
from kubeproof.http.watches import Feed

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Metrics:
    """Counts answers as they go; reads all else off the engine when asked."""

    def __init__(self, engine: Engine, feed: Feed) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram
        self._engine = engine
        self._feed = feed
        self._registry = CollectorRegistry()
        self._total = Counter("apiserver_request_total", "Requests answered.",
                              ("verb", "group", "resource", "code"), registry=self._registry)
        self._duration = Histogram("apiserver_request_duration_seconds",
                                   "From the first byte of a request to its answer.",
                                   ("verb", "resource"), registry=self._registry,
                                   buckets=_SECONDS)
        self._counts: dict[tuple[str, str, str, int], Any] = {}
        self._times: dict[tuple[str, str], Any] = {}
        self._registry.register(_Read(engine, feed))

    def answered(self, method: str, path: str, code: int, seconds: float) -> None:
        """Count one answer."""
        target = paths.target_of(path)
        # Only names that are served become labels: a client cannot make them grow.
        resource = target.resource if target is not None else None
        name = resource.name if resource is not None else ""
        group = resource.group if resource is not None else ""
        method = method if method in _METHODS else "other"
        key = (method, group, name, code)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = self._total.labels(method, group, name, str(code))
        count.inc()
        timed = self._times.get((method, name))
        if timed is None:
            timed = self._times[method, name] = self._duration.labels(method, name)
        timed.observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """All of it, and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Read:
    """What is read off the world and the engine at the time of asking."""

    def __init__(self, engine: Engine, feed: Feed) -> None:
        self._engine = engine
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        """One family after another."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
        engine, world = self._engine, self._engine.world
        yield GaugeMetricFamily("apiserver_longrunning_requests", "Watches open now.",
                                value=self._feed.cursors)
        yield CounterMetricFamily("apiserver_watch_dropped", "Watches dropped as too slow.",
                                  value=self._feed.dropped)
        cache = world["apiserver"].cache
        objects = GaugeMetricFamily("apiserver_storage_objects", "Objects stored, by resource.",
                                    labels=("resource",))
        for resource, entries in cache.items():
            objects.add_metric((resource,), len(entries))
        yield objects
        if engine.abroad is None:
            etcd = world["etcd"]
            yield GaugeMetricFamily("etcd_debugging_mvcc_keys_total", "Keys stored.",
                                    value=len(etcd.kv))
            yield GaugeMetricFamily("etcd_debugging_mvcc_current_revision", "The last revision.",
                                    value=etcd.revision)
        yield CounterMetricFamily("kubeproof_steps", "Steps of the simulated cluster.",
                                  value=engine.steps)
        broken = CounterMetricFamily("kubeproof_violations", "Violations of properties.",
                                     labels=("property",))
        for name, times in sorted(engine.violated.items()):
            broken.add_metric((name,), times)
        yield broken
