"""A sidecar that is killed at each boundary of the billing loop's transactions: the next one goes on, and nothing was lost or doubled."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest

from data.failpoints import NAMES
from engine.allocations import charged_after
from engine.policy import OPERATOR
from engine.services.billing import resume_billing
from tests.allocations.conftest import Lab
from tests.payments.conftest import free_port, wait_until
from tests.programs import Program, Programs

USUAL = ("billing.charge.committing", "billing.charge.committed")
PLACES = [pytest.param(name, marks=[] if name in USUAL else pytest.mark.long) for name in NAMES if name.startswith("billing.")]


@pytest.mark.parametrize("place", PLACES)
def test_the_next_sidecar_goes_on(lab: Lab, programs: Programs, installation_env: dict[str, str], tmp_path: Path, place: str) -> None:
    lab.store.settings = lab.store.settings.model_copy(update={"billing_interval_seconds": 1})
    lab.node("gpu-1")
    taken = lab.active(lab.person("alice", "100"), "gpu-1")         # lasts five hours: there is a warning to give
    wrong = "transaction_timestamp() + interval '1 hour'" if place.startswith("billing.stop") else ""
    lab.set_clock(wrong or "transaction_timestamp() + interval '90 seconds'")
    env = {**installation_env, "COREHOURS_BILLING_INTERVAL_SECONDS": "1", "COREHOURS_SIDECAR_URL": "http://127.0.0.1:1"}

    def start(**more: str) -> Program:
        return programs.start("webhooks", ["--port", str(free_port())], {**env, **more}, tmp_path / f"sidecar{len(more)}")
    victim = start(COREHOURS_FAILPOINT=f"{place}:kill")
    wait_until(lambda: victim.ended() is not None, f"it dies at {place}")
    assert victim.ended() == -signal.SIGKILL
    heir = start()
    try:
        if wrong:
            wait_until(lambda: not lab.store.read(lambda tx: tx.billing.loop()).running, "the loop is stopped")
            lab.set_clock("transaction_timestamp() + interval '90 seconds'")
            lab.run(lambda tx: resume_billing(tx, OPERATOR, "the clock was set right"))
        wait_until(lambda: lab.see(taken).billed_seconds >= 60, "it is charged")
        wait_until(lambda: lab.store.read(lambda tx: tx.notices.of_user(taken.user_id)), "its holder is told")
    finally:
        heir.stop()
    one = lab.see(taken)
    assert one.active_at is not None and one.charged_to is not None
    assert one.charged_to - one.active_at == timedelta(seconds=one.billed_seconds)
    assert one.charged_micro == charged_after(one.billed_seconds, one.price_micro_per_hour)
    assert [notice.kind for notice in lab.store.read(lambda tx: tx.notices.of_user(taken.user_id))] == ["runway.day"]
    assert lab.broken() == {}
