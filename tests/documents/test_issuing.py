"""What happened becomes a document, once: frozen facts, numbers without gaps, nobody else's to see."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa
from pypdf import PdfReader

from data.documents.pdf import pdf
from data.postgres.health import figures
from data.postgres.store import PostgresTransaction, Store
from engine.documents import DocumentKind, Language
from engine.emv import fields
from engine.errors import IllegalMove, NotFound
from engine.money import Money
from engine.payments import EventKind, ProviderEvent
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.refunds import Refund
from engine.services import users
from engine.services.documents import (
    documents_about,
    documents_of_wallet,
    get_document,
    issue_document,
    list_documents,
    receipt_document,
)
from engine.services.events import apply_event
from engine.services.payers import set_tier
from engine.services.payments import start_payment
from engine.services.project_wallets import open_project_wallet, share_project_wallet
from engine.services.receipts import mark_paid, revert_paid
from engine.services.refunds import request_refund
from engine.services.wallets import start_topup
from engine.users import Role
from tests.engine.usage_frames import run
from tests.flows.examples import ALICE, AUDITOR, BOB, LATER, bill, books, broken, keep_runs
from webhooks.metrics import Metrics
from webhooks.outbox import HANDLERS, OutboxWorker


def site(store: Store, **knobs: object) -> Store:
    """The same books with other settings."""
    return Store(store.engine, store.settings.model_copy(update=knobs))


def golden(store: Store) -> Receipt:
    """The receipt of 60.60 THB at tier gov."""
    keep_runs(store, run())
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR))
    return bill(store)


def paid(store: Store, receipt: Receipt) -> str:
    """Settled by hand; the id of the payment."""
    store.run(lambda tx: mark_paid(tx, receipt.id, "bank transfer of 3 October", OPERATOR), actor="operator")
    return store.read(lambda tx: tx.payments.of_receipt(receipt.id)[0].id)


def test_a_receipt_is_handed_out_under_its_own_number(store: Store) -> None:
    here = site(store, site_name="ศูนย์คอมพิวเตอร์", site_tax_id="0994000158378", promptpay_id="0994000158378")
    receipt = golden(here)
    document, _ = here.run(lambda tx: receipt_document(tx, receipt.number, ALICE))
    facts = document.facts
    assert (document.number, document.payer, facts.total_micro, facts.currency) == (receipt.number, "alice", 60_600_000, "THB")
    assert [(line.what, line.amount_micro) for line in facts.lines] == [("cpu", 12_600_000), ("gpu", 20_000_000), ("mem", 28_000_000)]
    assert [(detail.job, detail.cost_micro) for detail in facts.details] == [("1", 60_600_000)]
    assert dict(fields(facts.ways_to_pay[0].payload))["54"] == "60.60"
    text = PdfReader(io.BytesIO(pdf(facts, Language.THAI))).pages[0].extract_text()
    assert "ศูนย์คอมพิวเตอร์" in text and "60.60" in text
    assert broken(here) == []


def test_what_was_handed_out_does_not_change_with_the_settings(store: Store) -> None:
    receipt = golden(store)
    first, _ = site(store, site_name="Old name").run(lambda tx: receipt_document(tx, receipt.id, ALICE))
    again, _ = site(store, site_name="New name").run(lambda tx: receipt_document(tx, receipt.id, ALICE))
    assert again == first and again.facts.issuer.name == "Old name"
    assert pdf(again.facts, Language.ENGLISH) == pdf(first.facts, Language.ENGLISH)


def test_issuing_is_queued_with_the_receipt_and_with_the_payment(store: Store) -> None:
    receipt = golden(store)
    payment = paid(store, receipt)
    jobs = store.read(lambda tx: [(job.kind, job.key) for job in tx.outbox.newest()])
    assert jobs == [("document.issue", f"payment_receipt:{payment}"), ("document.issue", f"receipt:{receipt.id}")]


def test_a_payment_has_a_receipt_of_its_own(store: Store) -> None:
    receipt = golden(store)
    payment = paid(store, receipt)
    document = store.run(lambda tx: issue_document(tx, DocumentKind.PAYMENT_RECEIPT, payment))
    assert document.number == f"PR-{document.issued_at.year}-000001"
    assert (document.facts.total_micro, document.facts.lines[0].of) == (60_600_000, receipt.number)
    assert store.read(lambda tx: documents_about(tx, receipt.number, ALICE)) == [document]
    assert store.read(lambda tx: documents_of_wallet(tx, "alice", ALICE)) == [], "it was cash: her wallet had nothing to do with it"
    assert broken(store) == []


def test_what_was_not_paid_has_none(store: Store) -> None:
    """And what is refused takes no number."""
    receipt = golden(store)
    payment = paid(store, receipt)
    store.run(lambda tx: revert_paid(tx, receipt.id, "the wrong receipt", OPERATOR), actor="operator")
    with pytest.raises(IllegalMove, match="reverted: there is no receipt for it"):
        store.run(lambda tx: issue_document(tx, DocumentKind.PAYMENT_RECEIPT, payment))
    again = paid(store, receipt)
    document = store.run(lambda tx: issue_document(tx, DocumentKind.PAYMENT_RECEIPT, again))
    assert document.number.endswith("-000001") and broken(store) == []


def test_numbers_have_no_gap_whoever_asks_at_once_and_whatever_fails(store: Store) -> None:
    """Eight at a time issue the receipts of twelve payments, each asked for twice, a third of the attempts break off."""
    payments = []
    for number in range(12):
        keep_runs(store, run(100 + number))
        payments.append(paid(store, bill(store)))

    def one(at: int) -> str:
        def work(tx: PostgresTransaction) -> str:
            document = issue_document(tx, DocumentKind.PAYMENT_RECEIPT, payments[at % 12])
            if at % 3 == 0 and at < 12:
                raise RuntimeError("the power went")
            return document.number
        try:
            return store.run(work)
        except RuntimeError:
            return ""
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(one, [*range(24), *range(12, 24)]))
    assert sorted({number[-6:] for number in numbers if number}) == [f"{number:06d}" for number in range(1, 13)]
    assert broken(store) == []


def test_the_database_keeps_what_was_handed_out(store: Store) -> None:
    receipt = golden(store)
    store.run(lambda tx: receipt_document(tx, receipt.id, ALICE))
    for statement in ("update document set payer = 'bob'", "delete from document", "truncate document cascade"):
        with pytest.raises(sa.exc.DBAPIError, match="written once"), store.engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_money_that_was_given_back_has_a_credit_note(store: Store) -> None:
    """6.42 of 64.84 THB: its tax is what the ledger took back, 4.24 in the same proportion."""
    here = site(store, tax_ppm=70_000)
    receipt = golden(here)
    paid(here, receipt)
    refund = here.run(lambda tx: request_refund(tx, receipt.number, Money(6_420_000, "THB"), "one job ran twice", OPERATOR))
    document = here.run(lambda tx: issue_document(tx, DocumentKind.CREDIT_NOTE, refund.id))
    facts = document.facts
    assert (document.number, document.payer, facts.total_micro) == (f"CN-{document.issued_at.year}-000001", "alice", 6_420_000)
    assert [(line.what, line.of, line.amount_micro) for line in facts.lines] == [("credit_of", receipt.number, 6_420_000)]
    assert (facts.tax.micro, facts.about["reason"]) == (419_815, "one job ran twice")
    assert "document.issue" in {job.kind for job in here.read(lambda tx: tx.outbox.newest()) if refund.id in job.key}
    assert broken(here) == []


def test_a_refund_that_comes_back_after_all_has_its_credit_note_taken_back(store: Store) -> None:
    """6.42 were given back and came back: CN-000001 stays as it was handed out, DN-000001 says that it counts no more."""
    here = site(store, tax_ppm=70_000)
    receipt, refund = given_back(here)
    credited = here.run(lambda tx: issue_document(tx, DocumentKind.CREDIT_NOTE, refund.id))
    with pytest.raises(IllegalMove, match="nothing to take back"):
        here.run(lambda tx: issue_document(tx, DocumentKind.DEBIT_NOTE, refund.id))
    told(here, refund, EventKind.REFUND_FAILED)
    assert [job.key for job in here.read(lambda tx: tx.outbox.newest()) if "debit" in job.key] == [f"debit_note:{refund.id}"]
    assert broken(here) == [], "a debit note that is about to be issued is not missing"

    document = here.run(lambda tx: issue_document(tx, DocumentKind.DEBIT_NOTE, refund.id))
    facts = document.facts
    assert (document.number, document.payer, facts.total_micro) == (f"DN-{document.issued_at.year}-000001", "alice", 6_420_000)
    assert [(line.what, line.of, line.amount_micro) for line in facts.lines] == [("debit_of", credited.number, 6_420_000)]
    assert facts.tax == credited.facts.tax and facts.about["reason"] == "the card is closed"
    text = PdfReader(io.BytesIO(pdf(facts, Language.ENGLISH))).pages[0].extract_text()
    assert "Debit note" in text and f"Credit note {credited.number} taken back" in text
    assert "ใบเพิ่มหนี้" in PdfReader(io.BytesIO(pdf(facts, Language.THAI))).pages[0].extract_text()
    numbers = here.read(lambda tx: [one.number for one in documents_about(tx, receipt.number, ALICE)])
    assert numbers == [credited.number, document.number] and broken(here) == []


def test_what_failed_before_its_credit_note_was_issued_has_none(store: Store) -> None:
    """Both jobs are in the queue; each is done with, and no number is spent."""
    _, refund = given_back(store)
    told(store, refund, EventKind.REFUND_FAILED)
    worker = OutboxWorker(store, {}, Metrics([], lambda: figures(store)), {"document.issue": HANDLERS["document.issue"]})
    while worker.step():
        pass
    outcomes = {job.key.split(":")[0]: (job.state, job.outcome) for job in store.read(lambda tx: tx.outbox.newest()) if refund.id in job.key
                and job.kind == "document.issue"}
    assert outcomes == {"credit_note": ("done", f"Refund {refund.id} is failed: there is no credit note for it."),
                        "debit_note": ("done", f"Refund {refund.id} is failed and has no credit note: there is nothing to take back.")}
    assert broken(store) == []


def test_a_missing_debit_note_is_found(store: Store) -> None:
    _, refund = given_back(store)
    store.run(lambda tx: issue_document(tx, DocumentKind.CREDIT_NOTE, refund.id))
    told(store, refund, EventKind.REFUND_FAILED)
    for state in ("state = 'working', leased_until = now()", "state = 'done', done_at = now(), leased_until = null"):
        store.run(lambda tx, state=state: tx.outbox.execute(f"update outbox set {state} where key ~ 'debit_note'"))  # type: ignore[misc]
    [(name, _)] = broken(store)
    assert name == "a credit note whose refund failed is taken back by a debit note, or is about to be; no other is"


def given_back(store: Store) -> tuple[Receipt, Refund]:
    """6.42 of a receipt that was paid through the provider, arrived there."""
    receipt = golden(store)
    payment = store.run(lambda tx: start_payment(tx, receipt.id, ALICE), actor="alice").payment
    came = ProviderEvent("dummy", "evt_1", EventKind.SUCCEEDED, False, payment.reference, "ch_1", payment.amount_micro // 10_000, "THB")
    store.run(lambda tx: apply_event(tx, came, LATER), actor="worker")
    money = Money(6_420_000, "THB")
    refund = store.run(lambda tx: request_refund(tx, receipt.number, money, "one job ran twice", OPERATOR), actor="operator")
    told(store, refund, EventKind.REFUND_SUCCEEDED)
    return receipt, refund


def told(store: Store, refund: Refund, kind: EventKind) -> None:
    """The provider's word about it."""
    event = ProviderEvent("dummy", f"evt_{kind}", kind, False, "", "ch_1", 642, "THB", "re_1", refund.id, "the card is closed")
    store.run(lambda tx: apply_event(tx, event, LATER), actor="worker")


def test_documents_of_a_project_s_wallet_are_its_members(store: Store) -> None:
    """The lab's wallet is filled: alice, who shares it, reads the payment receipt; bob does not, until he shares it too."""
    for name in ("alice", "bob"):
        store.run(lambda tx, name=name: users.add(tx, name, Role.RESEARCHER, "no password", by=OPERATOR))  # type: ignore[misc]
    store.run(lambda tx: open_project_wallet(tx, "physics", "alice", OPERATOR))
    alice, bob = (store.read(lambda tx, name=name: users.find(tx, name)) for name in ("alice", "bob"))  # type: ignore[misc]
    payment = store.run(lambda tx: start_topup(tx, "project:physics", Money(500_000_000, "THB"), alice), actor="alice").payment
    event = ProviderEvent("dummy", "evt_1", EventKind.SUCCEEDED, False, payment.reference, "ch_1", 50_000, "THB")
    store.run(lambda tx: apply_event(tx, event, LATER), actor="worker")
    document = store.run(lambda tx: issue_document(tx, DocumentKind.PAYMENT_RECEIPT, payment.id))
    assert document.payer == "project:physics"
    assert store.read(lambda tx: get_document(tx, document.number, alice)) == document
    assert store.read(lambda tx: documents_of_wallet(tx, "project:physics", alice)) == [document]
    for refused in (lambda tx: get_document(tx, document.number, bob), lambda tx: documents_of_wallet(tx, "project:physics", bob)):
        with pytest.raises(NotFound):
            store.run(refused)
    named_so = replace(bob, payer="project:physics")
    with pytest.raises(NotFound):
        store.run(lambda tx: get_document(tx, document.number, named_so))
    store.run(lambda tx: share_project_wallet(tx, "physics", "bob", alice))
    assert store.read(lambda tx: list_documents(tx, bob)) == [document]


def test_who_may_see_a_document(store: Store) -> None:
    receipt = golden(store)
    document, _ = store.run(lambda tx: receipt_document(tx, receipt.id, ALICE))
    assert store.read(lambda tx: get_document(tx, document.number, AUDITOR)) == document
    assert store.read(lambda tx: list_documents(tx, BOB)) == []
    for refused in (lambda tx: get_document(tx, document.number, BOB), lambda tx: receipt_document(tx, receipt.id, BOB)):
        with pytest.raises(NotFound):
            store.run(refused)


def test_tax_within_the_prices(store: Store) -> None:
    """60.60 THB contain 3.96 THB of 7 % VAT: the payer owes what the jobs cost, the meters earn the rest in proportion."""
    here = site(store, tax_ppm=70_000, tax_included=True)
    receipt = golden(here)
    assert (receipt.total_micro, receipt.tax_micro, receipt.tax_included) == (60_600_000, 3_960_000, True)
    assert books(here) == {"receivable:alice": 60_600_000, "tax:": 3_960_000, "income:cpu": 11_776_634, "income:gpu": 18_693_069,
                           "income:mem": 26_170_297}
    document, _ = here.run(lambda tx: receipt_document(tx, receipt.id, ALICE))
    assert (document.facts.tax.micro, document.facts.tax.included) == (3_960_000, True)
    assert broken(here) == []
