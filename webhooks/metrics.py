"""What Prometheus reads. Every series is there from the start, at zero, so that an alarm can tell 0 from absent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from data.postgres.health import TROUBLE, Figures
from engine.allocations import OVER, AllocationState
from engine.nodes import NodeState
from engine.payments import Step

# What becomes of a webhook at the door; all but the first two were refused, for that reason.
RECEIVED = ("stored", "duplicate", "unsigned", "forged", "stale", "oversized", "packed", "slow", "broken_off", "too_deep", "duplicate_key",
            "not_a_number", "not_utf8", "malformed", "wrong_mode", "wrong_account", "unavailable")
NAN = float("nan")
disable_created_metrics()       # a second series for every counter, which nobody reads


class Metrics:
    """Counters of this process; figures of the database are read when asked."""

    def __init__(self, providers: Iterable[str], figures: Callable[[], Figures]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry)
        self.seconds = Histogram("http_request_seconds", "Time to answer.", ("route",), registry=self.registry)
        self.events = Counter("webhook_events", "Webhooks by what became of them at the door.", ("provider", "result"),
                              registry=self.registry)
        self.payments = Counter("payments", "Events applied, by what they did.", ("provider", "result"), registry=self.registry)
        self.unapplied = Counter("unapplied", "Money that came and could not be used: somebody must look.", ("provider",),
                                 registry=self.registry)
        self.jobs = Counter("outbox_jobs", "Jobs of the outbox, by what became of an attempt.", ("kind", "result"),
                            registry=self.registry)
        ProcessCollector(registry=self.registry)
        self.registry.register(_Database(figures))
        for name in providers:
            self._begin(name)
        self.events.labels("unknown", "unknown")

    def _begin(self, provider: str) -> None:
        for result in RECEIVED:
            self.events.labels(provider, result)
        for step in (*Step, "error"):
            self.payments.labels(provider, str(step))
        self.unapplied.labels(provider)

    def expect(self, route: str, methods: Iterable[str]) -> None:
        """Show a route before it was asked for."""
        self.seconds.labels(route)
        for method in methods:
            self.requests.labels(route, method, "200")

    def expect_jobs(self, kinds: Iterable[str]) -> None:
        """Show kinds of jobs before one was done."""
        for kind in kinds:
            for result in ("done", "again", "dead"):
                self.jobs.labels(kind, result)

    def applied(self, provider: str, step: Step) -> None:
        """Count an event that was applied."""
        self.payments.labels(provider, str(step)).inc()
        if step is Step.KEEP:
            self.unapplied.labels(provider).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _Database:
    """Figures of the database; NaN where it does not answer."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering must not ask the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """One gauge a figure."""
        try:
            now: Figures | None = self._figures()
        except TROUBLE:
            now = None
        yield GaugeMetricFamily("database_up", "1 when the database answers.", value=float(now is not None))
        yield GaugeMetricFamily("inbox_waiting", "Events stored and not applied yet.", value=now.inbox_waiting if now else NAN)
        yield GaugeMetricFamily("inbox_failed", "Events left for a person.", value=now.inbox_failed if now else NAN)
        yield GaugeMetricFamily("inbox_oldest_seconds", "Age of the oldest waiting event.",
                                value=now.inbox_oldest_seconds if now else NAN)
        yield GaugeMetricFamily("outbox_waiting", "Jobs queued and not done yet.", value=now.outbox_waiting if now else NAN)
        yield GaugeMetricFamily("outbox_dead", "Jobs left for a person.", value=now.outbox_dead if now else NAN)
        yield GaugeMetricFamily("outbox_oldest_seconds", "Age of the oldest waiting job.",
                                value=now.outbox_oldest_seconds if now else NAN)
        age = now.usage_age_seconds if now else None
        yield GaugeMetricFamily("usage_complete_age_seconds", "How old the newest complete usage is; NaN before the first.",
                                value=NAN if age is None else age)
        yield GaugeMetricFamily("sign_in_failures", "Wrong passwords that still count.",
                                value=now.sign_in_failures if now else NAN)
        yield GaugeMetricFamily("sign_in_locked", "Names locked out now.", value=now.sign_in_locked if now else NAN)
        yield GaugeMetricFamily("nodes_out_of_reach", "Nodes that did not answer several times in a row.",
                                value=now.nodes_out_of_reach if now else NAN)
        yield _by_state("nodes", "Nodes by state.", [state for state in NodeState if state is not NodeState.RETIRED], now and now.nodes)
        yield _by_state("allocations", "Allocations that have a node, by state.", [state for state in AllocationState if state not in OVER],
                        now and now.allocations)
        yield GaugeMetricFamily("allocations_behind_seconds", "How far the active allocation that is furthest behind is charged.",
                                value=now.allocations_behind_seconds if now else NAN)
        yield _unapplied(now)


def _by_state(name: str, words: str, states: Iterable[str], counts: Mapping[str, int] | None) -> Metric:
    gauge = GaugeMetricFamily(name, words, labels=("state",))
    for state in states:
        gauge.add_metric([str(state)], NAN if counts is None else counts.get(str(state), 0))
    return gauge


def _unapplied(now: Figures | None) -> Metric:
    gauge = GaugeMetricFamily("unapplied_balance_micro", "Unapplied money in the ledger.", labels=("provider", "currency"))
    for (provider, currency), micro in (now.unapplied_micro if now else {}).items():
        gauge.add_metric([provider, currency], micro)
    return gauge
