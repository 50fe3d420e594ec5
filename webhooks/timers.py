"""What the sidecar does now and then. No correctness rests on when: each piece of work finds out by itself what is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apscheduler.schedulers.background import BackgroundScheduler

from webhooks.billing_loop import BillingLoop
from webhooks.node_reconciler import look_after_nodes
from webhooks.node_sampler import attend_to_terms, forget_samples, sample_nodes
from webhooks.node_usage import keep_finished
from webhooks.reconciler import reconcile_due
from webhooks.sidecar import Sidecar
from webhooks.worker import sweep

SWEEP_SECONDS = 15
MINUTE_SECONDS = 60
RECONCILE_SECONDS = 15 * 60
USAGE_SECONDS = 5 * 60
HOUR_SECONDS = 3600
Work = tuple[Callable[..., object], Sequence[object], int]


def timers(sidecar: Sidecar) -> BackgroundScheduler:
    """Everything by its timer; one that is late runs once, none runs twice at once in this process."""
    timer = BackgroundScheduler(timezone="UTC")
    for work, about, seconds in _works(sidecar):
        timer.add_job(work, "interval", args=about, seconds=seconds, coalesce=True, max_instances=1)
    return timer


def _works(sidecar: Sidecar) -> list[Work]:
    store, nodes = sidecar.store, sidecar.provisioner
    works: list[Work] = [
        (sweep, [store], SWEEP_SECONDS),
        (reconcile_due, [store, sidecar.providers], RECONCILE_SECONDS),
        (BillingLoop(store).turn, [], sidecar.settings.billing_interval_seconds),
        (attend_to_terms, [store], SWEEP_SECONDS),
        (forget_samples, [store], HOUR_SECONDS),
        (keep_finished, [store], USAGE_SECONDS),
    ]
    return works if nodes is None else [*works, (look_after_nodes, [store, nodes], MINUTE_SECONDS),
                                        (sample_nodes, [store, nodes], MINUTE_SECONDS)]
