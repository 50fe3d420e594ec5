"""Ends that were agreed, and GPUs that do nothing: holders are told beforehand, once, and pay to the agreed second."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from engine.allocations import Allocation, AllocationState
from engine.gpu_readings import GpuReading
from engine.money import parse_micro
from engine.notices import NoticeKind
from engine.provisioning import Trouble
from engine.services.allocations import change_terms
from tests.allocations.conftest import Lab
from tests.allocations.hands import Hands, bill
from webhooks.node_sampler import attend_to_idle_ones, attend_to_terms, forget_samples, sample_nodes

HOUR = parse_micro("20")


class Held(Hands):
    """alice holds gpu-1 from `start`."""

    def __init__(self, lab: Lab, until_hours: float | None = None, idle_minutes: int | None = None) -> None:
        super().__init__(lab, lab.provisioner)
        self.gpu, self.alice = lab.node("gpu-1"), lab.person("alice", "100")
        self.start: datetime = lab.store.read(lambda tx: tx.now).replace(second=0, microsecond=0)
        self.at(0)
        until = None if until_hours is None else self.start + timedelta(hours=until_hours)
        self.allocation: Allocation = lab.request(self.alice, "gpu-1", until=until, idle_minutes=idle_minutes)
        self.try_once()

    def at(self, minutes: float) -> None:
        """So long after the start."""
        self.lab.later(self.start, minutes=minutes)

    def now(self) -> Allocation:
        """As it stands."""
        return self.lab.see(self.allocation)

    def loads(self, first: int, last: int, *percents: int | None) -> None:
        """Each minute from `first` to `last` its GPUs did so much."""
        readings = [GpuReading(index, "A100", 81920, 4, percent, 31) for index, percent in enumerate(percents)]
        for minute in range(first, last + 1):
            self.lab.run(lambda tx, minute=minute: tx.nodes.add_samples(  # type: ignore[misc]
                self.gpu.id, self.allocation.id, self.start + timedelta(minutes=minute), readings))
        self.at(last)
        attend_to_idle_ones(self.lab.store)


def test_it_ends_at_the_agreed_second_whenever_that_is_noticed(lab: Lab) -> None:
    """2.5 hours at 20 THB an hour, though the sweeper slept for a day."""
    held = Held(lab, until_hours=2.5)
    held.at(24 * 60)
    attend_to_terms(lab.store)
    ended = held.now()
    assert (ended.state, ended.reason, ended.stopped_at) == (AllocationState.STOPPING, "Its agreed end came.", ended.until_at)
    assert ended.charged_micro == parse_micro("50")
    held.try_once()
    assert held.now().state is AllocationState.RELEASED
    assert held.told(held.alice) == [NoticeKind.READY, NoticeKind.ENDED, NoticeKind.RELEASED] and lab.broken() == {}


def test_the_billing_loop_stops_there_too(lab: Lab) -> None:
    held = Held(lab, until_hours=1)
    for minute in (30, 59, 60, 61, 62):
        held.at(minute)
        bill(lab)
    assert held.now().billed_seconds == 3600
    attend_to_terms(lab.store)
    assert held.now().charged_micro == HOUR and lab.broken() == {}


def test_its_holder_is_told_an_hour_before_once_for_each_end(lab: Lab) -> None:
    held = Held(lab, until_hours=3)
    for minute in (60, 119.9, 120, 121, 130):
        held.at(minute)
        attend_to_terms(lab.store)
    assert held.told(held.alice) == [NoticeKind.READY, NoticeKind.ENDING]
    lab.run(lambda tx: change_terms(tx, held.allocation.id, held.alice, held.start + timedelta(hours=5), None))
    for minute in (131, 179, 240, 250):
        held.at(minute)
        attend_to_terms(lab.store)
    assert held.told(held.alice) == [NoticeKind.READY, NoticeKind.ENDING, NoticeKind.ENDING]


def test_one_that_is_still_set_up_ends_as_well(lab: Lab) -> None:
    held = Held(lab, until_hours=1)
    held.breaks(held.gpu, Trouble.DOWN)
    other = lab.node("gpu-2")
    held.breaks(other, Trouble.DOWN)
    waits = lab.request(held.alice, "gpu-2", until=held.start + timedelta(minutes=30))
    held.at(31)
    attend_to_terms(lab.store)
    assert lab.see(waits).state is AllocationState.STOPPING and lab.see(waits).charged_micro == 0
    assert lab.broken() == {}


def test_who_lets_gpus_idle_is_told_once_a_spell(lab: Lab) -> None:
    """Told after 30 minutes; they work for a minute; told again after 30 more."""
    held = Held(lab)
    held.loads(0, 29, 0, 4)
    assert NoticeKind.IDLE not in held.told(held.alice)
    held.loads(30, 30, 0, 4)
    held.loads(31, 50, 0, 4)
    assert held.told(held.alice).count(NoticeKind.IDLE) == 1
    notice = lab.store.read(lambda tx: tx.notices.of_user(held.alice.id))[0]
    assert notice.facts == {"node": "gpu-1", "minutes": 30, "release_minutes": None}
    held.loads(51, 51, 0, 80)
    held.loads(52, 81, 0, 0)
    assert held.told(held.alice).count(NoticeKind.IDLE) == 1
    held.loads(82, 83, 0, 0)
    assert held.told(held.alice).count(NoticeKind.IDLE) == 2
    assert held.now().state is AllocationState.ACTIVE


def test_it_is_released_where_that_was_agreed(lab: Lab) -> None:
    held = Held(lab, idle_minutes=45)
    held.loads(0, 44, 0)
    assert held.now().state is AllocationState.ACTIVE and held.told(held.alice)[-1] is NoticeKind.IDLE
    held.loads(45, 45, 0)
    ended = held.now()
    assert (ended.state, ended.charged_micro) == (AllocationState.STOPPING, parse_micro("15"))
    assert held.told(held.alice) == [NoticeKind.READY, NoticeKind.IDLE, NoticeKind.ENDED] and lab.broken() == {}


@pytest.mark.parametrize(("percents", "idle"), [((0, None), True), ((None, None), False), ((4, 5), False), ((4, 4), True)])
def test_what_counts_as_idle(lab: Lab, percents: tuple[int | None, ...], idle: bool) -> None:
    """Each GPU whose load is known is below 5 %; where none is known nobody can say."""
    held = Held(lab)
    held.loads(0, 40, *percents)
    assert (NoticeKind.IDLE in held.told(held.alice)) is idle


def test_minutes_that_nobody_saw_are_not_idle_ones(lab: Lab) -> None:
    held = Held(lab, idle_minutes=20)
    held.loads(0, 2, 0)
    held.loads(40, 41, 0)
    assert held.now().state is AllocationState.ACTIVE


def test_nodes_in_use_are_sampled_each_minute_by_however_many(lab: Lab) -> None:
    held = Held(lab)
    lab.node("gpu-2")
    for minute in (1, 1.5, 2):
        held.at(minute)
        sample_nodes(lab.store, lab.provisioner)
    def rows() -> int:
        return lab.store.read(lambda tx: tx.nodes.execute("select 1 from node_sample where allocation_id = :id", id=held.allocation.id))
    assert rows() == 2 * 4
    held.at(29 * 24 * 60)
    forget_samples(lab.store)
    assert rows() == 8
    held.at(30 * 24 * 60 + 90)
    forget_samples(lab.store)
    assert rows() == 0
