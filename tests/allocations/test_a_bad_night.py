"""A night at the billing loop: two sidecars that are killed again and again, clocks that jump, a day without anybody. In the
morning every second was charged once, to the micro-unit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from engine.allocations import Allocation, charged_after
from engine.policy import OPERATOR
from engine.services.billing import resume_billing
from tests.allocations.conftest import Lab
from tests.payments.conftest import free_port, wait_until
from tests.programs import Program, Programs

KILLS = int(os.environ.get("COREHOURS_TEST_BILLING_KILLS", "4"))
NODES = 6
JUMPS = (timedelta(hours=1), timedelta(hours=-1), timedelta(days=365), timedelta(days=-1))
PLACES = ("", "", "billing.charge.committing:kill", "billing.charge.committed:kill")

MOMENTS = {"allocation": ("active_at", "charged_to"), "allocation_charge": ("starts_at", "ends_at"), "billing_loop": ("beat_at",)}
_REKEY = """
update ledger_transaction t set key = 'charge:' || allocation_id || ':' || extract(epoch from starts_at)::bigint from allocation_charge c
where t.key = 'charge:' || allocation_id || ':' || extract(epoch from starts_at + cast(:gone as interval))::bigint"""


class Night:
    """Two sidecars on one database, and the site's clock beside the real one."""

    def __init__(self, lab: Lab, programs: Programs, env: dict[str, str], folder: Path, seed: int) -> None:
        self.lab, self.programs, self.folder = lab, programs, folder
        self.env = {**env, "COREHOURS_BILLING_INTERVAL_SECONDS": "1", "COREHOURS_SIDECAR_URL": "http://127.0.0.1:1"}
        self.random, self.kills = Random(seed), 0
        self.running: list[Program | None] = [None, None]

    def keep_up(self, place: str = "") -> None:
        """Start whoever is dead."""
        for number, program in enumerate(self.running):
            if program is None or program.ended() is not None:
                env = {**self.env, "COREHOURS_FAILPOINT": place} if place else self.env
                folder = self.folder / f"{number}-{self.kills}-{time.monotonic_ns()}"
                self.running[number] = self.programs.start("webhooks", ["--port", str(free_port())], env, folder)

    def kill_one(self) -> None:
        """At any moment, or at a boundary of a transaction."""
        place = self.random.choice(PLACES)
        self.keep_up(place)
        victim = self.random.randrange(2)
        program = self.running[victim]
        assert program is not None
        program.process.join(self.random.uniform(0.05, 1.5))
        program.kill()
        self.running[victim] = None
        self.kills += 1
        self.keep_up()

    def all_gone(self) -> None:
        for program in self.running:
            if program is not None:
                program.kill()
        self.running = [None, None]

    def jump(self, by: timedelta) -> None:
        """The database's clock jumps; the loop stops; somebody sets the clock right and lets it go on."""
        self.keep_up()
        wait_until(self._turning, "both turn")
        self._shift(by)
        wait_until(lambda: not self._loop_runs(), f"the loop stops after a jump of {by}")
        self._shift(timedelta())
        self.lab.run(lambda tx: resume_billing(tx, OPERATOR, "the clock was set right"))

    def _turning(self) -> bool:
        """Somebody charged in the last seconds."""
        state, now = self.lab.store.read(lambda tx: (tx.billing.loop(), tx.now))
        return state.beat_at is not None and now - state.beat_at < timedelta(seconds=3)

    def _loop_runs(self) -> bool:
        return self.lab.store.read(lambda tx: tx.billing.loop()).running

    def _shift(self, by: timedelta) -> None:
        self.lab.set_clock(f"transaction_timestamp() + interval '{by.total_seconds()} seconds'")

    def outage(self, hours: float, allocations: list[Allocation]) -> None:
        """Nobody ran for so long: as far as the books can tell, everything began that much earlier."""
        self.all_gone()
        with self.lab.store.engine.begin() as connection:
            connection.execute(sa.text("set local session_replication_role = replica"))
            gone = {"gone": f"{hours} hours"}
            for table, columns in MOMENTS.items():
                moved = ", ".join(f"{column} = {column} - cast(:gone as interval)" for column in columns)
                connection.execute(sa.text(f"update {table} set {moved}"), gone)
            connection.execute(sa.text(_REKEY), gone)
        self.keep_up()


@pytest.mark.parametrize("seed", [1])
def test_in_the_morning_every_second_was_charged_once(lab: Lab, programs: Programs, installation_env: dict[str, str], tmp_path: Path,
                                                      seed: int) -> None:
    people = [lab.person(f"person{number}", "9000") for number in range(3)]
    for number in range(NODES):
        lab.node(f"gpu-{number}")
    lab.store.settings = lab.store.settings.model_copy(update={"billing_interval_seconds": 1})
    taken = [lab.active(people[number % 3], f"gpu-{number}") for number in range(NODES)]
    night = Night(lab, programs, installation_env, tmp_path / "night", seed)
    troubles: list[Callable[[], None]] = [*(lambda by=by: night.jump(by) for by in JUMPS), lambda: night.outage(24, taken)]
    try:
        for number in range(KILLS):
            night.kill_one()
            if number % max(1, KILLS // len(troubles)) == 0 and troubles:
                troubles.pop(0)()
        while troubles:
            troubles.pop(0)()
        night.keep_up()
        wait_until(lambda: all(_fresh(lab, one) for one in taken), "all is charged")
    finally:
        night.all_gone()
    for one in map(lab.see, taken):
        assert one.active_at is not None and one.charged_to is not None
        assert one.billed_seconds == (one.charged_to - one.active_at).total_seconds() > 24 * 3600
        assert one.charged_micro == charged_after(one.billed_seconds, one.price_micro_per_hour)
    assert lab.broken() == {}


def _fresh(lab: Lab, allocation: Allocation) -> bool:
    one, now = lab.store.read(lambda tx: (tx.allocations.get(allocation.id), tx.now))
    return one is not None and one.charged_to is not None and now - one.charged_to < timedelta(seconds=4)
