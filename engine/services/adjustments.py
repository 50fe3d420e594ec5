"""Change wallets by hand, with a reason: at once up to the site's limit, above it when a second person confirmed it.

One transaction each. Locks: the request, then ledger accounts in ascending id, the audit head last.
"""

from __future__ import annotations

from dataclasses import replace

from engine.errors import NotFound
from engine.ids import new_id
from engine.money import Money
from engine.policy import allow
from engine.ports import Transaction
from engine.services.wallets import currencies_of
from engine.users import Action, Person
from engine.wallets import (
    SPLITTING,
    Adjustment,
    AdjustmentStatus,
    InsufficientBalance,
    adjustment_postings,
    check_adjustment,
    check_decision,
    check_reason,
    check_repeated,
    needs_second,
    wallet_name,
)


def request_adjustment(tx: Transaction, owner: str, money: Money, reason: str, by: Person, key: str = "") -> Adjustment:
    """Change a wallet by `money` (negative: out of it). Up to the limit it moves at once; above, it waits for a second person.

    The same `key` (made when a form was drawn) twice is one adjustment.
    """
    allow(by, Action.ADJUST)
    if not tx.wallets.known(owner):
        raise NotFound(f"No wallet {owner!r}.")
    check_adjustment(money, currencies_of(tx, owner))
    postings = adjustment_postings(wallet_name(owner, money.currency), money.micro)
    tx.ledger.lock([posting.account for posting in postings])       # so that slices side by side are counted, too
    lately = tx.wallets.adjusted_lately_micro(tx.wallets.get(owner, money.currency), by.name, tx.now - SPLITTING)
    asked = Adjustment(
        id=f"adj_{key}" if key else new_id("adj", int(tx.now.timestamp() * 1000)), wallet=owner, currency=money.currency,
        amount_micro=money.micro, reason=check_reason(reason), status=AdjustmentStatus.REQUESTED,
        needs_second=needs_second(money, lately, tx.settings.adjustment_limit_micro), requested_by=by.name, requested_at=tx.now,
        decided_by=None, decided_at=None, decision="")
    if not tx.wallets.add_adjustment(asked):
        made = _locked(tx, asked.id)
        check_repeated(made, owner, money)
        return made
    tx.audit.record("adjustment.requested", f"adjustment:{asked.id}", wallet=owner, amount_micro=money.micro, currency=money.currency,
                    reason=asked.reason, needs_second=asked.needs_second)
    return asked if asked.needs_second else _decide(tx, asked, AdjustmentStatus.CONFIRMED, by, "within the limit")


def confirm_adjustment(tx: Transaction, id: str, by: Person) -> Adjustment:
    """Say yes to a large one, as the second person: the money moves."""
    allow(by, Action.CONFIRM_ADJUSTMENT)
    asked = _locked(tx, id)
    check_decision(asked, AdjustmentStatus.CONFIRMED, by.name)
    return _decide(tx, asked, AdjustmentStatus.CONFIRMED, by, "")


def reject_adjustment(tx: Transaction, id: str, reason: str, by: Person) -> Adjustment:
    """Say no to it, as the second person."""
    allow(by, Action.CONFIRM_ADJUSTMENT)
    asked = _locked(tx, id)
    check_decision(asked, AdjustmentStatus.REJECTED, by.name)
    return _decide(tx, asked, AdjustmentStatus.REJECTED, by, check_reason(reason))


def withdraw_adjustment(tx: Transaction, id: str, by: Person) -> Adjustment:
    """Take back what one asked for."""
    allow(by, Action.ADJUST)
    asked = _locked(tx, id)
    check_decision(asked, AdjustmentStatus.WITHDRAWN, by.name)
    return _decide(tx, asked, AdjustmentStatus.WITHDRAWN, by, "")


def _locked(tx: Transaction, id: str) -> Adjustment:
    found = tx.wallets.adjustment(id)
    if found is None:
        raise NotFound(f"No adjustment {id!r}.")
    return found


def _decide(tx: Transaction, asked: Adjustment, to: AdjustmentStatus, by: Person, decision: str) -> Adjustment:
    decided = replace(asked, status=to, decided_by=by.name, decided_at=tx.now, decision=decision)
    tx.wallets.decide_adjustment(decided)
    if to is AdjustmentStatus.CONFIRMED:
        _post(tx, decided)
    tx.audit.record(f"adjustment.{to}", f"adjustment:{decided.id}", wallet=decided.wallet, amount_micro=decided.amount_micro,
                    currency=decided.currency, reason=decision)
    return decided


def _post(tx: Transaction, adjustment: Adjustment) -> None:
    name = wallet_name(adjustment.wallet, adjustment.currency)
    postings = adjustment_postings(name, adjustment.amount_micro)
    tx.ledger.lock([posting.account for posting in postings])
    held = tx.wallets.get(adjustment.wallet, adjustment.currency).balance_micro
    if held + adjustment.amount_micro < 0:
        raise InsufficientBalance(f"{Money(-adjustment.amount_micro, adjustment.currency)} cannot be taken out of "
                                  f"{Money(held, adjustment.currency)}.")
    tx.ledger.post(f"adjust:{adjustment.id}", adjustment.reason, postings)
