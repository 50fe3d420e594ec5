"""GPU nodes of the demo centre: eight that are not there (the dummy has them), who held them in the last month, and who does now.

Every charge is a real one: a stretch that the database takes, posted to the wallet it was paid from, as far as that wallet went.
Only the clock is told another time. What is drawn comes from a seed: the same for the same `today`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from data.demo import stays
from data.postgres.store import PostgresTransaction, Store
from data.ssh_keys import new_key_pair, place_key
from engine.allocations import Allocation, AllocationState, charge_postings, charge_to, price_micro_per_hour
from engine.ids import new_id
from engine.nodes import Node, NodeAddress, NodeState, tenant_name
from engine.provisioning import COMMENT
from engine.services import users
from engine.services.allocations import card_for
from engine.users import Person, Role
from engine.wallets import project_owner

DAYS = 30
DUMMY_FILE = "dummy-nodes.json"                     # where the dummy keeps its nodes
INTERVAL_SECONDS = 60
OWN, SHARED = "", project_owner("ai-lab")           # who pays


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of node: what its driver calls its GPUs, how many, MiB of each."""

    gpu_model: str
    gpu_count: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Live:
    """Who holds a node now: for how many hours already, how busy its GPUs are, and for how many hours still, if that is agreed."""

    user: str
    hours: float
    load: int
    wallet: str = OWN
    until_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the demo centre. `busy` is the share of the last month it was held, `people` by whom."""

    name: str
    site: str
    people: Sequence[str]
    busy: float = 0.2
    state: NodeState = NodeState.AVAILABLE
    reason: str = ""
    live: Live | None = None


KINDS = {"a100": Kind("NVIDIA A100-SXM4-80GB", 4, 81920), "h100": Kind("NVIDIA H100 80GB HBM3", 8, 81559),
         "l40s": Kind("NVIDIA L40S", 4, 46068), "rtx4090": Kind("NVIDIA GeForce RTX 4090", 2, 24564)}
PLACES = (
    Place("a100-01", "Salaya", ("researcher", "somchai.p"), 0.25, live=Live("researcher", 6.2, 91, SHARED)),
    Place("a100-02", "Salaya", ("somchai.p", "siriporn.t"), 0.25, live=Live("somchai.p", 26.5, 62, until_hours=21.5)),
    Place("a100-03", "Salaya", ("somchai.p", "m.jones"), 0.2),
    Place("h100-01", "Salaya", ("m.jones",), 0.08, live=Live("m.jones", 9.1, 97)),
    Place("l40s-01", "Bangkok", ("w.nattapong", "siriporn.t"), 0.2, live=Live("w.nattapong", 14.7, 3)),
    Place("l40s-02", "Bangkok", ("siriporn.t",), 0.2, NodeState.DRAINING, "its riser card is changed on Monday",
          Live("siriporn.t", 3.1, 34)),
    Place("rtx4090-01", "Bangkok", ("researcher", "w.nattapong"), 0.2),
    Place("rtx4090-02", "Bangkok", ("w.nattapong",), 0.1, NodeState.MAINTENANCE, "a fan makes noise"),
)
RENTERS = ("somchai.p", "siriporn.t", "m.jones", "w.nattapong")      # of the members; they cannot sign in
NO_PASSWORD = "nobody signs in with this"                              # noqa: S105  no password has this hash
WHY = ("released by {user}", "released by {user}", "its agreed end came", "its GPUs did nothing for 2 h 00 m")


def add_renters(tx: PostgresTransaction, by: Person) -> None:
    """The members who hold nodes are people here; nobody knows a password of theirs."""
    for name in RENTERS:
        users.add(tx, name, Role.RESEARCHER, NO_PASSWORD, by=by)


def rent(store: Store, today: datetime) -> None:
    """Eight nodes, a month of allocations, and what runs now, in the books and on the nodes that are not there."""
    now = store.run(lambda tx: _rent(tx, today), actor="system")
    file = store.settings.home / DUMMY_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"nodes": now, "faults": {}}, indent=1), encoding="utf-8")


def _rent(tx: PostgresTransaction, today: datetime) -> dict[str, object]:
    nodes = {place.name: stays.add_node(tx, _node(place, today), today - timedelta(days=DAYS + 5), place.state) for place in PLACES}
    plan = sorted((visit for place in PLACES for visit in _visits(place, today)), key=lambda one: one.since)
    held = [_asked(tx, nodes[one.place.name], one, number) for number, one in enumerate(plan)]
    edges = _edges(tx, plan, today)
    for at, number in edges:
        held[number] = _advance(tx, held[number], plan[number], at)
    stays.add_samples(tx, [(one, visit.load, nodes[visit.place.name].gpu_count, nodes[visit.place.name].memory_mib or 0)
                           for one, visit in zip(held, plan, strict=True)], today)
    stays.add_notices(tx, [(one, visit.place.name, nodes[visit.place.name].address.host) for one, visit in zip(held, plan, strict=True)])
    return {visit.place.name: _as_kept(one, visit.load) for one, visit in zip(held, plan, strict=True) if one.live}


def _as_kept(one: Allocation, load: int) -> dict[str, object]:
    """A node that is held, as the dummy keeps it."""
    user = {"ours": True, "open": True, "key": f"{one.public_key} {COMMENT}{one.id}", "processes": 1}
    return {"users": {one.tenant: user}, "marks": {one.tenant: one.id}, "over": [], "load_percent": load}


def _node(place: Place, today: datetime) -> Node:
    kind = KINDS[place.name.split("-")[0]]
    host = f"{place.name}.{place.site.lower()}.demo.invalid"
    address = NodeAddress(place.name, host, 22, place_key(host, 22))
    return Node(new_id("nod", int(today.timestamp() * 1000)), place.site, address, kind.gpu_model, kind.gpu_count,
                kind.memory_mib, place.name.split("-")[0], place.state, place.reason, clock_offset_ms=0, tested_at=today)


@dataclass(frozen=True, slots=True)
class Visit:
    """A node in somebody's hands from one instant to another; without an end it is now. `load` is in percent."""

    place: Place
    user: str
    wallet: str
    since: datetime
    until: datetime | None
    load: int
    why: str
    agreed_end: datetime | None = None


def _visits(place: Place, today: datetime) -> Iterator[Visit]:
    """Stays of some hours with pauses that make the share right, then the one that is now."""
    rng = Random(place.name)                                # noqa: S311  pictures, not secrets
    at = today - timedelta(days=DAYS, hours=-rng.uniform(0, 20))
    last = today - timedelta(hours=(place.live.hours if place.live else 0) + 3)
    while True:
        hours = rng.uniform(1.5, 9)
        until = at + timedelta(seconds=int(hours * 3600))
        if until > last:
            break
        user, why = rng.choice(list(place.people)), rng.choice(WHY)
        load = rng.choice((12, 45, 60, 75, 88, 95))
        yield Visit(place, user, SHARED if user == "researcher" else OWN, at, until, load, why.format(user=user))
        at = until + timedelta(seconds=int(hours / place.busy * (1 - place.busy) * 3600 * rng.uniform(0.6, 1.4)))
    if place.live:
        now = place.live
        end = None if now.until_hours is None else today + timedelta(hours=now.until_hours)
        yield Visit(place, now.user, now.wallet, today - timedelta(hours=now.hours), None, now.load, "", end)


def _asked(tx: PostgresTransaction, node: Node, visit: Visit, number: int) -> Allocation:
    """As it will be asked for at its time, at the price of then."""
    user = users.find(tx, visit.user)
    tx.now = visit.since
    wallet = visit.wallet or user.payer
    card = card_for(tx, wallet)
    begun = visit.since.replace(microsecond=0)
    return Allocation(
        id=new_id("alc", int(visit.since.timestamp() * 1000) + number), node_id=node.id, user_id=user.id, holder=user.name, wallet=wallet,
        currency=card.currency, tenant=tenant_name(user.name, user.id), public_key=new_key_pair().public.line, rate_card=card.name,
        price_micro_per_hour=price_micro_per_hour(card, node), interval_seconds=INTERVAL_SECONDS, state=AllocationState.ACTIVE, reason="",
        requested_at=begun - timedelta(seconds=41), until_at=visit.agreed_end, idle_minutes=120 if "GPUs" in visit.why else None,
        active_at=begun, charged_to=begun)


def _edges(tx: PostgresTransaction, plan: Sequence[Visit], today: datetime) -> list[tuple[datetime, int]]:
    """When something is charged: at each stay's beginning (nothing yet), at every midnight of the site while it lasts, and at its end
    or now. In the order of time, so that a wallet's statement is in order too."""
    midnight = today.astimezone(tx.settings.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    midnights = [midnight - timedelta(days=days) for days in range(DAYS + 1)]
    return sorted((at, number) for number, one in enumerate(plan)
                  for at in {one.since, one.until or today, *(night for night in midnights if one.since < night < (one.until or today))})


def _advance(tx: PostgresTransaction, one: Allocation, visit: Visit, at: datetime) -> Allocation:
    """Bring an allocation to `at`: begin it, charge it, end it."""
    tx.now = at
    if at == visit.since:
        stays.begin(tx, one)
        return one
    if one.state is not AllocationState.ACTIVE:
        return one
    over = at == visit.until
    until = at.replace(microsecond=0) if over else _on_grid(one, at)
    charged = _charged(tx, one, until)
    short = charged.charged_to is not None and charged.charged_to < until
    if over or short:
        return stays.end(tx, charged, "the wallet is empty" if short else visit.why)
    return charged


def _on_grid(one: Allocation, at: datetime) -> datetime:
    assert one.active_at is not None
    return one.active_at + (at - one.active_at) // timedelta(seconds=INTERVAL_SECONDS) * timedelta(seconds=INTERVAL_SECONDS)


def _charged(tx: PostgresTransaction, one: Allocation, until: datetime) -> Allocation:
    """What settling it does, at a told time."""
    charge = charge_to(one, until, tx.wallets.get(one.wallet, one.currency).available_micro)
    if charge is None:
        return one
    tx.allocations.charge([charge])
    if charge.amount_micro:
        tx.ledger.post(charge.key, f"{one.id} to {charge.ends_at:%Y-%m-%d %H:%M:%S} UTC", charge_postings(one, charge.amount_micro))
    return replace(one, charged_to=charge.ends_at, billed_seconds=one.billed_seconds + charge.billed_seconds,
                   charged_micro=one.charged_micro + charge.amount_micro)
