"""What the pages about GPU nodes show, each page's figures from one snapshot of Postgres. Whose allocation somebody may see the
services say. Draws nothing, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from dashboard.connection import store
from data.postgres.shelves.allocations import NodeStep
from data.postgres.shelves.node_reads import DayOfCharges, Load
from data.postgres.shelves.nodes import Step
from data.postgres.store import PostgresTransaction
from engine.allocations import (
    RUNNING,
    Allocation,
    NodeTaken,
    burn_micro_per_hour,
    least_balance_micro,
    price_micro_per_hour,
    runway_seconds,
    uncharged_micro,
)
from engine.errors import NotFound
from engine.looks import Look
from engine.nodes import Node, NodeState
from engine.rates import RateCard
from engine.services.allocations import card_for, get_allocation
from engine.services.looks import get_look
from engine.services.nodes import get_node
from engine.services.wallets import owners_of
from engine.users import Person

FREE, HELD = "free", "allocated"
LATELY = timedelta(hours=1)
CURVE = timedelta(hours=6)
CURVE_STEP_SECONDS = 300
OVER_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Purse:
    """A wallet as it pays for nodes: what is left of it once what runs is paid up to now, and what an hour of it all costs."""

    owner: str
    currency: str
    card: RateCard | None               # that prices nodes for it; None where it has none
    left_micro: int
    burn_micro: int

    def lasts_seconds(self, more_micro: int = 0) -> int | None:
        """How long it lasts, with `more_micro` an hour on top; None where nothing burns."""
        return runway_seconds(self.left_micro, self.burn_micro + more_micro)


@dataclass(frozen=True, slots=True)
class Offer:
    """A node as somebody could take it: the price is that of the chosen wallet's rate card, None where it has none."""

    node: Node
    price_micro: int | None
    least_micro: int
    held: Allocation | None
    load: Load | None

    @property
    def state(self) -> str:
        """`free`, `allocated`, or the node's own state where that keeps people away."""
        if self.node.state is not NodeState.AVAILABLE:
            return str(self.node.state)
        return FREE if self.held is None else HELD

    @property
    def may_be_taken(self) -> bool:
        """True when the button that takes it works."""
        return self.state == FREE and self.price_micro is not None


@dataclass(frozen=True, slots=True)
class Held:
    """One of somebody's allocations with its node, the wallet that pays, and its GPUs' curve."""

    allocation: Allocation
    node: Node
    purse: Purse
    curve: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Mine:
    """Somebody's live allocations, newest first, and those that are over."""

    now: datetime
    held: list[Held]
    over: list[tuple[Allocation, Node]]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every node, priced for one wallet, the cheapest first."""

    now: datetime
    purses: list[Purse]
    purse: Purse
    offers: list[Offer]
    most: int                           # nodes that one person may hold
    last_key: str                       # the public key this person used last


@dataclass(frozen=True, slots=True)
class AllocationPage:
    """One allocation with all that is known of it."""

    now: datetime
    held: Held
    events: list[Step]
    steps: list[NodeStep]
    days: list[DayOfCharges]


@dataclass(frozen=True, slots=True)
class Running:
    """What runs on somebody's account now, said in one line."""

    nodes: int
    burn_micro: int
    currency: str
    lasts_seconds: int | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every node with who holds it and what its GPUs do."""

    now: datetime
    offers: list[Offer]
    currency: str                       # of the prices
    site: str                           # that a new node is added to, by default
    cleanup_failed: list[Allocation]


def mine(person: Person) -> Mine:
    """A person's allocations."""
    return store().read(lambda tx: _mine(tx, person))


def _mine(tx: PostgresTransaction, person: Person) -> Mine:
    nodes = {node.id: node for node in tx.nodes.all(retired=True)}
    all_of_them = tx.allocations.of_user(person.id)
    live = [one for one in all_of_them if one.live]
    purses = {(one.wallet, one.currency): _purse(tx, one.wallet, one.currency) for one in live}
    held = [Held(one, nodes[one.node_id], purses[one.wallet, one.currency], curve(tx, one)) for one in live]
    return Mine(tx.now, held, [(one, nodes[one.node_id]) for one in all_of_them if not one.live][:OVER_SHOWN])


def curve(tx: PostgresTransaction, allocation: Allocation, span: timedelta = CURVE) -> pl.DataFrame:
    """Load of an allocation's GPUs in the last hours before now, or before its end."""
    since = (allocation.stopped_at or tx.now) - span
    return tx.node_reads.load_of(allocation.id, since, max(60, int(span.total_seconds() * CURVE_STEP_SECONDS / CURVE.total_seconds())))


def _purse(tx: PostgresTransaction, owner: str, currency: str = "") -> Purse:
    card = _card(tx, owner)
    money = currency or (card.currency if card else tx.settings.default_currency)
    running = tx.allocations.running_on(owner, money)
    left = tx.wallets.get(owner, money).available_micro - uncharged_micro(running, tx.now)
    return Purse(owner, money, card, max(0, left), burn_micro_per_hour(running))


def _card(tx: PostgresTransaction, owner: str) -> RateCard | None:
    try:
        return card_for(tx, owner)
    except NodeTaken:
        return None


def catalogue(person: Person, wallet: str = "") -> Catalogue:
    """Every node that is not retired, priced for `wallet` where that is the person's to use, else for their own."""
    def read(tx: PostgresTransaction) -> Catalogue:
        purses = [_purse(tx, owner) for owner in owners_of(tx, person) or [person.payer]]     # who may use none sees prices all the same
        purse = next((one for one in purses if one.owner == wallet), purses[0])
        used = tx.allocations.of_user(person.id, 1)
        return Catalogue(tx.now, purses, purse, offers(tx, purse), tx.settings.nodes_per_user, used[0].public_key if used else "")
    return store().read(read)


def offers(tx: PostgresTransaction, purse: Purse | None, retired: bool = False) -> list[Offer]:
    """Every node as an offer; those without a price last, the cheapest first."""
    held = {one.node_id: one for one in tx.allocations.live()}
    loads = tx.node_reads.loads(tx.now - LATELY)
    found = [_offer(tx, node, purse, held.get(node.id), loads.get(node.id)) for node in tx.nodes.all(retired)]
    return sorted(found, key=lambda one: (one.price_micro is None, one.price_micro or 0, one.node.address.name))


def _offer(tx: PostgresTransaction, node: Node, purse: Purse | None, held: Allocation | None, load: Load | None) -> Offer:
    price = _price(node, purse.card) if purse and purse.card else None
    return Offer(node, price, least_balance_micro(node, price or 0, tx.settings.node_minimum_minutes), held, load)


def _price(node: Node, card: RateCard) -> int | None:
    try:
        return price_micro_per_hour(card, node)
    except NodeTaken:
        return None


def offer(person: Person, name: str, wallet: str) -> tuple[Catalogue, Offer]:
    """One node as that wallet would pay for it, read anew; refused when there is none of that name."""
    page = catalogue(person, wallet)
    found = next((one for one in page.offers if one.node.address.name == name), None)
    if found is None:
        raise NotFound(f"No node {name!r}.")
    return page, found


def allocation(person: Person, id: str) -> AllocationPage:
    """One allocation; refused to whoever may not see it."""
    def read(tx: PostgresTransaction) -> AllocationPage:
        found = get_allocation(tx, id, person)
        node = get_node(tx, found.node_id)
        held = Held(found, node, _purse(tx, found.wallet, found.currency), curve(tx, found, timedelta(hours=24)))
        return AllocationPage(tx.now, held, tx.allocations.events(id), tx.allocations.steps(id),
                              tx.node_reads.charges_by_day(id, tx.settings.time_zone))
    return store().read(read)


def held(person: Person, id: str) -> tuple[Held, datetime]:
    """One live allocation's figures, for a look every few seconds."""
    def read(tx: PostgresTransaction) -> tuple[Held, datetime]:
        found = get_allocation(tx, id, person)
        return Held(found, get_node(tx, found.node_id), _purse(tx, found.wallet, found.currency), curve(tx, found)), tx.now
    return store().read(read)


def signature(person: Person) -> str:
    """What somebody's page of nodes hangs on besides figures: their allocations' states, and which nodes are free."""
    return store().read(lambda tx: tx.node_reads.signature(person.id))


def running(person: Person) -> list[Running]:
    """What runs on somebody's account now: their own allocations, a line each currency; nothing where nothing runs."""
    def read(tx: PostgresTransaction) -> list[Running]:
        live = [one for one in tx.allocations.of_user(person.id) if one.state in RUNNING]
        return [_running(tx, [one for one in live if one.currency == currency], currency)
                for currency in sorted({one.currency for one in live})]
    return store().read(read)


def _running(tx: PostgresTransaction, live: Sequence[Allocation], currency: str) -> Running:
    lasting = [seconds for owner in {one.wallet for one in live} if (seconds := _purse(tx, owner, currency).lasts_seconds()) is not None]
    return Running(len(live), burn_micro_per_hour(live), currency, min(lasting, default=None), tx.now)


def inventory(retired: bool = False) -> Inventory:
    """All nodes, priced by the site's default tier."""
    def read(tx: PostgresTransaction) -> Inventory:
        site = Purse("", tx.settings.default_currency, _card(tx, ""), 0, 0)
        found = sorted(offers(tx, site, retired), key=lambda one: (one.node.site, one.node.address.name))
        return Inventory(tx.now, found, site.card.currency if site.card else site.currency, found[-1].node.site if found else "main",
                         [one for one in tx.allocations.live() if one.id in set(tx.node_reads.attention())])
    return store().read(read)


def node_history(name: str) -> tuple[list[Step], list[Allocation]]:
    """What became of a node, and who had it lately."""
    def read(tx: PostgresTransaction) -> tuple[list[Step], list[Allocation]]:
        node = get_node(tx, name)
        return tx.nodes.events(node.id), tx.allocations.of_node(node.id)
    return store().read(read)


def node(name: str) -> Node:
    """One node."""
    return store().read(lambda tx: get_node(tx, name))


def holder(name: str) -> Allocation | None:
    """Who has a node."""
    return store().read(lambda tx: tx.allocations.on_node(get_node(tx, name).id))


def look(person: Person, id: str) -> Look:
    """What a sidecar saw so far."""
    return store().read(lambda tx: get_look(tx, id, person))


def by_state(found: Sequence[Offer]) -> Mapping[str, int]:
    """How many nodes are in each state."""
    counts: dict[str, int] = {}
    for one in found:
        counts[one.state] = counts.get(one.state, 0) + 1
    return counts
