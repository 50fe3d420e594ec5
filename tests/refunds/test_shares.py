"""How a part of a receipt is taken back: exact, in its proportions, and nothing left when all of it is back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.ledger import Kind, LedgerName, Posting, receipt_postings
from engine.money import Money
from engine.refunds import BadRefund, Sources, credit_note, divide, shares, wanted


def parts(**micro: int) -> list[Posting]:
    return [Posting(LedgerName(Kind.INCOME, name, "THB"), amount) for name, amount in micro.items()]


def test_a_third_of_a_receipt_goes_to_the_largest_remainders() -> None:
    """100 of 10 + 20 + 70, of which 33 come back: 3.3, 6.6 and 23.1; the odd one goes to 6.6."""
    assert [part.amount_micro for part in shares(33, parts(cpu=10, gpu=20, mem=70))] == [3, 7, 23]


def test_equal_remainders_go_to_the_first() -> None:
    assert [part.amount_micro for part in shares(2, parts(cpu=1, gpu=1, mem=1))] == [1, 1, 0]


def test_a_credit_note_takes_meters_tax_and_rounding() -> None:
    """A receipt of 100 + 7 % VAT: half of it takes 50 of income and 3.50 of tax."""
    issued = receipt_postings("alice", "THB", {"cpu": 60_000_000, "gpu": 40_000_000}, 7_000_000, 0)
    half = {posting.account.kind + posting.account.owner: posting.amount_micro for posting in credit_note(issued, [], 53_500_000)}
    assert half == {"incomecpu": 30_000_000, "incomegpu": 20_000_000, "tax": 3_500_000}


@given(some.lists(some.integers(-10**9, 10**12), min_size=1, max_size=6), some.integers(0, 300), some.data())
def test_whatever_is_given_back_in_parts_leaves_nothing(amounts: list[int], tax: int, data: some.DataObject) -> None:
    """Refunds that fail in between are as if they never were."""
    income = {f"meter{number}": amount for number, amount in enumerate(amounts)}
    if (total := sum(amounts) + tax) <= 0:
        return
    issued, standing, rest = receipt_postings("alice", "THB", income, tax, 0), [], total
    while rest:
        amount = data.draw(some.integers(1, rest)) if len(standing) < 5 else rest
        note = credit_note(issued, [posting for taken in standing for posting in taken], amount)
        assert sum(posting.amount_micro for posting in note) == amount
        if len(standing) < 5 and data.draw(some.booleans()) and amount != rest:
            continue                                # it failed
        standing.append(note)
        rest -= amount
    left: dict[LedgerName, int] = {}
    for posting in [*issued, *(posting for taken in standing for posting in taken)]:
        left[posting.account] = left.get(posting.account, 0) + posting.amount_micro
    assert {account.kind: micro for account, micro in left.items() if micro} == {Kind.RECEIVABLE: total}


@given(some.integers(1, 100), some.integers(0, 50), some.integers(0, 50), some.integers(-10, 60))
def test_a_refund_is_taken_from_the_wallet_then_from_the_receipt(amount: int, receipt: int, wallet: int, spendable: int) -> None:
    found = divide(amount, Sources(receipt, wallet), spendable)
    assert found.total_micro == amount and min(found.receipt_micro, found.wallet_micro, found.write_off_micro) >= 0
    assert found.receipt_micro <= receipt and found.wallet_micro <= min(wallet, max(0, spendable))
    assert not found.write_off_micro or found.receipt_micro == receipt


@pytest.mark.parametrize(("amount", "words"), [
    (Money(60_610_000, "THB"), "60.61 THB is more than the 60.60 THB that are left"), (Money(0, "THB"), "above zero"),
    (Money(-1_000_000, "THB"), "above zero"), (Money(1_000_000, "USD"), "made in THB, not in USD"),
    (Money(1, "THB"), "no whole number of THB minor units")])
def test_amounts_that_are_refused(amount: Money, words: str) -> None:
    with pytest.raises(Exception, match=words):
        wanted(amount, Sources(60_600_000), "THB")


def test_nothing_left_is_said_so() -> None:
    with pytest.raises(BadRefund, match="Nothing of this payment is left"):
        wanted(None, Sources(), "THB")
    assert wanted(None, Sources(60_600_000), "THB") == Money(60_600_000, "THB")
