"""Ask for a node, change the terms, end it: read, decide, write, audit; one transaction each. What happens on the node is queued
in the same transaction and done by a sidecar.

Locks: the node, the allocation, ledger accounts in ascending id, the audit head last. Once an allocation is stopped it costs
nothing more, however long the node takes to be cleaned.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from engine.allocations import (
    Allocation,
    AllocationState,
    NodeTaken,
    charge_postings,
    charge_to,
    check_balance,
    check_count,
    check_move,
    check_node_free,
    check_term,
    first_second,
    least_balance_micro,
    price_micro_per_hour,
)
from engine.errors import IllegalMove, NotAllowed, NotFound
from engine.ids import new_id
from engine.nodes import Node, tenant_name
from engine.notices import NoticeKind, about_allocation
from engine.policy import allow
from engine.ports import Transaction
from engine.rates import RateCard, valid_cards
from engine.services.notices import tell
from engine.services.wallets import owners_of
from engine.ssh_keys import parse_public_key
from engine.users import Action, Person
from engine.wallets import project_of, wallet_name

PROVISION_JOB, RELEASE_JOB = "node.provision", "node.release"


def card_for(tx: Transaction, wallet: str) -> RateCard:
    """The rate card that prices nodes for a wallet: its payer's tier, a project's own card, else the site's default tier."""
    valid = valid_cards(tx.rates.book(), tx.now)
    project = project_of(wallet)
    payer = next((one for one in tx.payers.all() if one.name == wallet), None)
    lines = [f"project:{project}"] if project else []
    for line in [*lines, payer.tier if payer else tx.settings.default_tier]:
        card = next((one for one in valid if one.line == line), None)
        if card:
            return card
    raise NodeTaken("No rate card is valid for this wallet: an admin has to publish one.")


def request_allocation(tx: Transaction, node_name: str, key_text: str, wallet: str, by: Person, request_key: str,
                       until: datetime | None = None, idle_minutes: int | None = None) -> Allocation:
    """Take a free node, to be paid by `wallet` as it runs. Its charges begin when it is set up and not before. The same
    `request_key` (made when a form was drawn) twice is one allocation."""
    allow(by, Action.RENT)
    made = tx.allocations.of_request(f"{by.id}:{request_key}")
    if made is not None:
        return made
    if wallet not in owners_of(tx, by):
        raise NotAllowed(f"The wallet of {wallet} is not yours to use.")
    key = parse_public_key(key_text)
    check_term(tx.now, until)
    node = _locked_node(tx, node_name)
    made = tx.allocations.of_request(f"{by.id}:{request_key}")      # once more: the other click may have been first to the node
    if made is not None:
        return made
    check_node_free(node)
    card = card_for(tx, wallet)
    price = price_micro_per_hour(card, node)
    tx.ledger.lock([wallet_name(wallet, card.currency)])
    _check_may_have(tx, node, by)
    check_balance(tx.wallets.get(wallet, card.currency), least_balance_micro(node, price, tx.settings.node_minimum_minutes))
    asked = Allocation(
        id=new_id("alc", int(tx.now.timestamp() * 1000)), node_id=node.id, user_id=by.id, holder=by.name, wallet=wallet,
        currency=card.currency, tenant=tenant_name(by.name, by.id), public_key=key.line, rate_card=card.name,
        price_micro_per_hour=price, interval_seconds=tx.settings.billing_interval_seconds, state=AllocationState.REQUESTED, reason="",
        requested_at=tx.now, until_at=until, idle_minutes=idle_minutes)
    tx.allocations.add(asked, f"{by.id}:{request_key}")
    tx.outbox.add(PROVISION_JOB, asked.id, {"allocation": asked.id})
    tx.audit.record("allocation.requested", f"allocation:{asked.id}", node=node.address.name, wallet=wallet, tenant=asked.tenant,
                    price_micro_per_hour=price, currency=asked.currency, rate_card=card.name)
    return asked


def _locked_node(tx: Transaction, name: str) -> Node:
    node = tx.nodes.get(name, lock=True)
    if node is None:
        raise NotFound(f"No node {name!r}.")
    return node


def _check_may_have(tx: Transaction, node: Node, by: Person) -> None:
    if tx.allocations.on_node(node.id) is not None:
        raise NodeTaken(f"{node.address.name} is in somebody's hands: choose another one.")
    check_count(tx.allocations.held(by.id), tx.settings.nodes_per_user)
    if node.per_user is not None:
        check_count(tx.allocations.held(by.id, node.rate_model), node.per_user, node.rate_model)


def get_allocation(tx: Transaction, id: str, by: Person, lock: bool = False) -> Allocation:
    """One by its id; to whoever may not see it, it does not exist."""
    found = tx.allocations.get(id, lock)
    if found is None or not ((found.user_id == by.id and by.may(Action.SEE_OWN)) or by.may(Action.SEE_NODES)):
        raise NotFound(f"No allocation {id!r}.")
    return found


def release_allocation(tx: Transaction, id: str, by: Person, reason: str = "") -> Allocation:
    """End one's own, or anybody's with a reason: charged to this second and no further; its node is cleaned by a sidecar. One that
    is ending already stays as it is."""
    found = get_allocation(tx, id, by, lock=True)
    if found.user_id != by.id:
        allow(by, Action.MANAGE_NODES)
        if len(reason.strip()) < 10:
            raise IllegalMove("Say why: its holder is told, with at least 10 characters.")
    if found.state in (AllocationState.STOPPING, AllocationState.CLEANUP_FAILED, AllocationState.RELEASED):
        return found
    stopped = stop_allocation(tx, found, reason.strip() or f"released by {by.name}")
    if stopped.user_id != by.id:
        node = tx.nodes.get(stopped.node_id)
        assert node is not None
        tell(tx, stopped.user_id, NoticeKind.ENDED, about_allocation(id),
             {"node": node.address.name, "charged": str(stopped.charged), "reason": stopped.reason})
    return stopped


def retry_cleanup(tx: Transaction, id: str, by: Person) -> Allocation:
    """Have the clean-up of a node tried now instead of after its pause."""
    allow(by, Action.MANAGE_NODES)
    found = get_allocation(tx, id, by, lock=True)
    if found.state not in (AllocationState.STOPPING, AllocationState.CLEANUP_FAILED):
        raise IllegalMove(f"Allocation {found.id} is {found.state.replace('_', ' ')}: there is nothing to clean.")
    if not tx.outbox.replay_of(RELEASE_JOB, id):
        raise IllegalMove(f"A sidecar has the clean-up of {found.id} in hand.")
    tx.audit.record("allocation.cleanup_retried", f"allocation:{id}", state=str(found.state))
    return found


def stop_allocation(tx: Transaction, allocation: Allocation, reason: str, at: datetime | None = None) -> Allocation:
    """End a locked one: what is open up to `at` (now) is charged as far as the wallet goes, no further than its node was seen and the
    clock is trusted, and the clean-up of its node is queued."""
    check_move(allocation, AllocationState.STOPPING)
    charged = settle_allocation(tx, allocation, _seen_until(tx, allocation, min(at, tx.now) if at else tx.now))
    stopped = tx.allocations.move(charged, AllocationState.STOPPING, reason, stopped_at=charged.charged_to or first_second(tx.now))
    tx.outbox.add(RELEASE_JOB, stopped.id, {"allocation": stopped.id})
    tx.audit.record("allocation.stopped", f"allocation:{stopped.id}", reason=reason, charged_micro=stopped.charged_micro,
                    currency=stopped.currency, billed_seconds=stopped.billed_seconds)
    return stopped


def _seen_until(tx: Transaction, allocation: Allocation, at: datetime) -> datetime:
    watch = tx.nodes.watch(allocation.node_id) if allocation.state is AllocationState.ACTIVE else None
    return watch.seen_until(at) if watch else at


def settle_allocation(tx: Transaction, allocation: Allocation, until: datetime) -> Allocation:
    """Charge a locked one up to the whole second before `until`, as far as its wallet goes; where the billing loop is stopped, to its
    last turn at the most."""
    until = tx.billing.loop().trusted_until(until)
    wallet = wallet_name(allocation.wallet, allocation.currency)
    tx.ledger.lock([wallet, allocation.income])
    charge = charge_to(allocation, until, tx.wallets.get(allocation.wallet, allocation.currency).available_micro)
    if charge is None:
        return allocation
    tx.allocations.charge([charge])
    if charge.amount_micro:
        tx.ledger.post(charge.key, f"{allocation.id} to {charge.ends_at:%Y-%m-%d %H:%M:%S} UTC",
                       charge_postings(allocation, charge.amount_micro))
    return replace(allocation, charged_to=charge.ends_at, billed_seconds=allocation.billed_seconds + charge.billed_seconds,
                   charged_micro=allocation.charged_micro + charge.amount_micro)


def change_terms(tx: Transaction, id: str, by: Person, until: datetime | None, idle_minutes: int | None) -> Allocation:
    """Agree another end, or none, and another patience with idle GPUs."""
    found = get_allocation(tx, id, by, lock=True)
    if found.user_id != by.id:
        allow(by, Action.MANAGE_NODES)
    if found.stopped_at or not found.live:
        raise IllegalMove(f"Allocation {found.id} is over: take the node anew.")
    check_term(tx.now, until)
    changed = replace(found, until_at=until, idle_minutes=idle_minutes)
    tx.allocations.keep_terms(changed)
    tx.audit.record("allocation.terms_changed", f"allocation:{id}", until=until.isoformat() if until else None, idle_minutes=idle_minutes)
    return changed
