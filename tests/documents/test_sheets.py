"""Facts survive being kept, and the sheet of each kind says what happened in both languages."""

from __future__ import annotations

import json
from datetime import date

import pytest

from engine.document_sheets import sheet
from engine.document_words import WORDS, day, short_day
from engine.documents import (
    BadDocument,
    DocumentKind,
    Facts,
    Language,
    Tax,
    credit_note,
    from_json,
    payment_receipt,
    to_json,
    ways_to_pay,
)
from engine.emv import intact
from engine.money import Money
from engine.receipt_lines import CREDIT_OF, PAYMENT_OF, TOPUP_OF, Line
from tests.documents.facts import GOLDEN, THAI_SITE, taxed

ON = date(2026, 2, 28)
PAID = {"provider": "stripe", "reference": "TXN_0123456789ABCDEF"}


def came(micro: int, *more: Line) -> Facts:
    """A payment receipt for `micro` of a receipt, and more."""
    lines = [Line(PAYMENT_OF, micro, of="CH-2026-000001"), *more]
    return payment_receipt("PR-2026-000001", ON, THAI_SITE, "alice", "THB", lines, PAID, Tax())


@pytest.mark.parametrize("facts", [
    GOLDEN, taxed(True), came(1_000_000)])
def test_facts_are_kept_as_json_and_come_back_the_same(facts: object) -> None:
    assert from_json(json.loads(json.dumps(to_json(facts)))) == facts  # type: ignore[arg-type]


def test_a_thai_day_is_of_the_buddhist_era() -> None:
    assert (day(ON, Language.THAI), short_day(ON, Language.THAI)) == ("28 กุมภาพันธ์ 2569", "28 ก.พ. 2569")
    assert (day(ON, Language.ENGLISH), short_day(ON, Language.ENGLISH)) == ("28 February 2026", "28 Feb 2026")


def test_every_word_is_said_in_both_languages() -> None:
    for word, pair in WORDS.items():
        assert all(pair), word
        assert {part for part in pair[0].split() if part.startswith("{")} == {
            part for part in pair[1].split() if part.startswith("{")}, word


def test_a_payment_receipt_says_what_was_paid_and_how() -> None:
    page = sheet(came(60_600_000), Language.ENGLISH)
    assert (page["title"], page["party"], page["total"]) == ("Payment receipt", ["Received from", "alice"], ["Received, THB", "60.60"])
    assert page["rows"] == [["Payment of receipt CH-2026-000001", "", "", "", "60.60"]]
    assert page["notes"] == [["Paid through", "stripe"], ["Reference", "TXN_0123456789ABCDEF"]] and page["ways"] == []


def test_what_a_receipt_did_not_need_is_said_to_be_in_the_wallet() -> None:
    page = sheet(came(60_600_000, Line(TOPUP_OF, 9_400_000, of="project:lab")), Language.THAI)
    assert [(row[0], row[4]) for row in page["rows"]] == [("ชำระค่าบริการตามใบแจ้ง CH-2026-000001", "60.60"),
                                                         ("เติมเงินเข้ากระเป๋า project:lab", "9.40")]
    assert page["total"][1] == "70.00"


def test_a_credit_note_says_why_and_how_much_of_it_is_tax() -> None:
    facts = credit_note("CN-2026-000001", ON, THAI_SITE, "alice", "THB", [Line(CREDIT_OF, 10_700_000, of="CH-2026-000001")],
                        {"reason": "job ran twice"}, Tax("VAT", 70_000, 700_000, included=True))
    page = sheet(facts, Language.ENGLISH)
    assert (facts.kind, page["title"], page["rows"][0][0]) == (DocumentKind.CREDIT_NOTE, "Credit note", "Refund of receipt CH-2026-000001")
    assert page["sums"] == [["Net of VAT", "10.00"], ["VAT 7% included", "0.70"]] and page["notes"] == [["Reason", "job ran twice"]]


@pytest.mark.parametrize("micro", [0, -1_000_000, 1_005_000])
def test_nothing_is_handed_out_for_what_nobody_paid(micro: int) -> None:
    with pytest.raises(BadDocument):
        came(micro)


def test_ways_to_pay_follow_the_currency_and_the_sites_accounts() -> None:
    baht, euro = Money(60_600_000, "THB"), Money(60_600_000, "EUR")
    [way] = ways_to_pay(baht, "CH-2026-000001", "081-234-5678", "DE71110220330123456789", "", "Lab")
    assert (way.scheme, way.payee) == ("promptpay", "0812345678") and intact(way.payload)
    [way] = ways_to_pay(euro, "CH-2026-000001", "081-234-5678", "DE71 1102 2033 0123 4567 89", "", "Lab")
    assert way.scheme == "epc" and "EUR60.60" in way.payload
    assert ways_to_pay(baht, "x", "", "DE71110220330123456789", "", "Lab") == ()
    for total in (euro, Money(0, "THB"), Money(-10_000, "THB")):
        assert ways_to_pay(total, "x", "0812345678", "", "", "Lab") == ()
