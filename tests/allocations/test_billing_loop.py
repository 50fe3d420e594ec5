"""The billing loop: each allocation is charged once for each stretch of its time, whoever dies, whatever the clock does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from engine.allocations import AllocationState, affordable_seconds, charged_after
from engine.billing import Reading, distrust, distrust_at_start
from engine.money import parse_micro
from engine.policy import OPERATOR
from engine.services.allocations import release_allocation
from engine.services.billing import resume_billing, stop_billing
from tests.allocations.conftest import Lab
from tests.conftest import Corehours
from webhooks.billing_loop import BillingLoop

HOUR = parse_micro("20")


class Clocks:
    """The machine's two clocks, moved by the test together with the site's."""

    def __init__(self, lab: Lab, start: datetime) -> None:
        self.lab, self.start, self.gone = lab, start, 0.0
        self.loop = BillingLoop(lab.store, steady=lambda: self.gone, clock=lambda: self.start + timedelta(seconds=self.gone))
        self.site(0)

    def site(self, seconds: float) -> None:
        """Only the site's clock."""
        self.lab.later(self.start, seconds=seconds)

    def wait(self, seconds: float) -> None:
        """Time passes for both."""
        self.gone += seconds
        self.site(self.gone)


@pytest.fixture
def rented(lab: Lab) -> tuple[Lab, Clocks]:
    """alice holds gpu-1 at 20 THB an hour, with 100 THB."""
    lab.node("gpu-1")
    taken = lab.active(lab.person("alice", "100"), "gpu-1")
    assert taken.active_at is not None
    return lab, Clocks(lab, taken.active_at)


def test_every_whole_interval_is_charged_once_and_the_rest_is_carried(rented: tuple[Lab, Clocks]) -> None:
    """
    20 THB an hour is 333333.33 micro a minute: after three minutes 1.000000 THB, not 0.999999
    """
    lab, clocks = rented
    clocks.wait(59.9)
    assert clocks.loop.turn() is None
    seen = []
    for _ in range(3):
        clocks.wait(60)
        run = clocks.loop.turn()
        assert run is not None and run.allocations == 1
        assert clocks.loop.turn() is None
        seen.append(parse_micro("100") - lab.balance("alice"))
    assert seen == [333_333, 666_666, 1_000_000]
    assert lab.earned() == 1_000_000
    assert lab.broken() == {}


def test_an_outage_of_a_day_is_caught_up_in_one_stretch(rented: tuple[Lab, Clocks]) -> None:
    lab, clocks = rented
    lab.fill("alice", "900")
    clocks.wait(24 * 3600 + 30)
    again = BillingLoop(lab.store, steady=lambda: 5.0, clock=lambda: clocks.start + timedelta(seconds=clocks.gone))
    run = again.turn()
    assert run is not None
    assert (run.lag_seconds, run.totals) == (24 * 3600, {"THB": 24 * HOUR})
    assert lab.broken() == {}


def test_what_others_have_in_hand_is_left_to_the_next_turn(rented: tuple[Lab, Clocks]) -> None:
    """All that is due is being released: the run charges nothing, and ends."""
    lab, clocks = rented
    clocks.wait(60)
    with lab.store.engine.begin() as connection:
        connection.exec_driver_sql("select from allocation for update")
        run = clocks.loop.turn()
    assert run is not None and (run.allocations, run.ended_at is None) == (0, False)
    again = clocks.loop.turn()
    assert again is not None and again.allocations == 1
    assert lab.broken() == {}


def test_an_empty_wallet_ends_all_it_pays_for_in_that_same_transaction(lab: Lab) -> None:
    """
    before   alice 30 THB; two nodes at 20 THB an hour each
    after an hour both are due 20: the first pays in full, the second as far as 10 THB go, and both wallets end at zero
    """
    lab.node("gpu-1"), lab.node("gpu-2")
    alice = lab.person("alice", "30")
    first, second = lab.active(alice, "gpu-1"), lab.active(alice, "gpu-2")
    assert second.active_at is not None
    clocks = Clocks(lab, second.active_at)
    clocks.wait(3600)
    run = clocks.loop.turn()
    assert run is not None and (run.depleted, lab.balance("alice")) == (1, 0)
    assert (lab.see(first).state, lab.see(first).charged_micro) == (AllocationState.ACTIVE, HOUR)
    over = lab.see(second)
    assert (over.state, over.billed_seconds, over.charged_micro) == (AllocationState.STOPPING, 1800, HOUR // 2)
    clocks.wait(60)
    clocks.loop.turn()
    assert lab.see(first).state is AllocationState.STOPPING
    jobs = lab.store.read(lambda tx: [job.key for job in tx.outbox.newest() if job.kind == "node.release"])
    assert sorted(jobs) == sorted([first.id, second.id])
    told = lab.store.read(lambda tx: [one.kind for one in tx.notices.of_user(alice.id)])
    assert told.count("allocation.depleted") == 2
    assert lab.broken() == {}


def test_people_are_warned_once_a_level_and_again_after_a_top_up(rented: tuple[Lab, Clocks]) -> None:
    """100 THB last 5 hours: below a day from the start; below an hour after 4 h; below ten minutes after 4 h 51."""
    lab, clocks = rented
    alice = lab.store.read(lambda tx: tx.users.by_name("alice"))
    assert alice is not None

    def told() -> list[str]:
        return [str(one.kind) for one in reversed(lab.store.read(lambda tx: tx.notices.of_user(alice.id)))]
    for minutes in (1, 60, 185, 4, 41, 3):
        clocks.wait(minutes * 60)
        clocks.loop.turn()
    assert told() == ["runway.day", "runway.hour", "runway.minutes"]
    lab.fill("alice", "100")
    clocks.wait(60)
    clocks.loop.turn()
    assert told() == ["runway.day", "runway.hour", "runway.minutes"]      # five hours again: less worrying, nobody is told
    clocks.wait(4.2 * 3600)
    clocks.loop.turn()
    assert told()[3:] == ["runway.hour"]


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=365), timedelta(days=-1)])
def test_a_clock_that_jumps_stops_the_loop_until_somebody_looked(rented: tuple[Lab, Clocks], jump: timedelta) -> None:
    lab, clocks = rented
    clocks.wait(60)
    assert clocks.loop.turn() is not None
    clocks.site(60 + 60 + jump.total_seconds())
    clocks.gone += 60
    assert clocks.loop.turn() is None
    other = BillingLoop(lab.store, steady=lambda: clocks.gone, clock=lambda: clocks.start + timedelta(seconds=clocks.gone))
    assert other.turn() is None
    state = lab.store.read(lambda tx: tx.billing.loop())
    assert "jumped" in state.reason and parse_micro("100") - lab.balance("alice") == 333_333
    clocks.wait(0)                                                           # the clock is set right
    lab.run(lambda tx: resume_billing(tx, OPERATOR, "the time server was wrong"))
    clocks.wait(60)
    assert other.turn() is not None
    assert parse_micro("100") - lab.balance("alice") == charged_after(180, HOUR)
    assert lab.broken() == {}


def test_a_release_while_the_clock_is_wrong_is_charged_to_the_last_turn(rented: tuple[Lab, Clocks]) -> None:
    """A year ahead: alice pays the minute that was charged, not the year."""
    lab, clocks = rented
    clocks.wait(60)
    assert clocks.loop.turn() is not None
    clocks.site(120 + 365 * 86400)
    clocks.gone += 60
    assert clocks.loop.turn() is None
    [taken], alice = lab.store.read(lambda tx: (tx.allocations.live(), tx.users.by_name("alice")))
    assert alice is not None
    ended = lab.run(lambda tx: release_allocation(tx, taken.id, alice))
    assert (ended.billed_seconds, ended.charged_micro) == (60, 333_333) == (60, parse_micro("100") - lab.balance("alice"))
    clocks.wait(0)
    lab.run(lambda tx: resume_billing(tx, OPERATOR, "the time server was wrong"))
    assert clocks.loop.turn() is None and lab.broken() == {}


def test_a_loop_that_begins_beside_a_wrong_clock_does_not_charge(rented: tuple[Lab, Clocks]) -> None:
    lab, clocks = rented
    clocks.site(3 * 3600)
    assert clocks.loop.turn() is None
    assert "ahead of this machine's" in lab.store.read(lambda tx: tx.billing.loop()).reason


def test_what_two_clocks_say() -> None:
    """Pure: from 12:00:00 and 1000 s on."""
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)
    last = Reading(noon, 1000.0)
    assert distrust(Reading(noon + timedelta(hours=3), 1000.0 + 3 * 3600 + 119), last) == ""
    assert distrust(Reading(noon + timedelta(seconds=181), 1060.0), last).startswith("The database's clock jumped 0:02:01 ahead")
    assert distrust(Reading(noon - timedelta(seconds=61), 1060.0), last).startswith("The database's clock jumped 0:02:01 behind")
    assert distrust_at_start(noon, noon + timedelta(seconds=120), noon - timedelta(hours=24)) == ""
    assert "went back" in distrust_at_start(noon, noon, noon + timedelta(seconds=121))
    assert "say that the clock is right" in distrust_at_start(noon, noon, noon - timedelta(hours=73))


def test_a_release_between_turns_settles_what_is_open(rented: tuple[Lab, Clocks]) -> None:
    lab, clocks = rented
    clocks.wait(90)
    clocks.loop.turn()
    taken = lab.store.read(lambda tx: tx.allocations.live())[0]
    alice = lab.store.read(lambda tx: tx.users.by_name("alice"))
    assert alice is not None
    ended = lab.run(lambda tx: release_allocation(tx, taken.id, alice))
    assert ended.charged_micro == charged_after(90, HOUR) == 500_000
    clocks.wait(600)
    assert clocks.loop.turn() is None
    assert lab.broken() == {}


def test_what_a_sum_pays_for(rented: tuple[Lab, Clocks]) -> None:
    """The most seconds whose floor is not above what there is."""
    taken = rented[0].store.read(lambda tx: tx.allocations.live())[0]
    for available in (0, 1, 5_555, 5_556, 11_111, HOUR - 1, HOUR):
        seconds = affordable_seconds(taken, available)
        assert seconds is not None
        assert charged_after(seconds, HOUR) <= available < charged_after(seconds + 1, HOUR)


def test_on_the_command_line(rented: tuple[Lab, Clocks], corehours: Corehours) -> None:
    """`billing` says whether it runs; `billing resume` lets it go on, once, with a reason."""
    lab, clocks = rented
    clocks.wait(60)
    clocks.loop.turn()
    shown = json.loads(corehours("billing", "--json").stdout)
    assert (shown["running"], [turn["totals_micro"] for turn in shown["turns"]]) == (True, [{"THB": 333_333}])
    lab.run(lambda tx: stop_billing(tx, "The database's clock jumped."))
    assert "STOPPED. The database's clock jumped." in corehours("billing").stdout
    refused = corehours("billing", "resume", "--reason", "right")
    assert (refused.returncode, "at least 10 characters" in refused.stderr.lower()) == (1, True)
    assert "runs" in corehours("billing", "resume", "--reason", "the clock was set right").stdout
    assert "is not stopped" in corehours("billing", "resume", "--reason", "the clock was set right").stderr
