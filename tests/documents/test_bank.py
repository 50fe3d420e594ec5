"""Money by bank transfer: a QR code, a statement that somebody brings, and a person who says whose each line is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as some

from dashboard.wallet_parts import counts_once, waited_for
from data.postgres.store import Store
from data.settings import Settings
from engine.bank import BadLine, LineState, NewLine, keyed, references
from engine.bank_csv import read_statement, statement_amount, statement_day
from engine.emv import fields
from engine.errors import DomainError, IllegalMove, NotAllowed, NotFound
from engine.payments import BadEvent, BadSignature, Outcome, Payment, PaymentStatus, ProviderTrouble
from engine.policy import OPERATOR
from engine.refunds import RefundOrder
from engine.services.bank import apply_line, bring, bring_one, proposal, set_aside, take_up
from engine.services.payments import start_payment
from tests.conftest import Corehours
from tests.documents.test_issuing import golden, site
from tests.flows.examples import ALICE, books, broken
from tests.payments.conftest import SidecarThread
from webhooks.providers import load_providers
from webhooks.providers.bank_qr import BankQrProvider

ON = date(2026, 11, 27)
BILLER = "biller:099400015837800"


@pytest.fixture
def lab(store: Store) -> Store:
    """A site that takes PromptPay."""
    return site(store, promptpay_id=BILLER, payment_provider="bank_qr")


def asked(lab: Store) -> Payment:
    """Alice is asked for 60.60 THB by bank transfer."""
    receipt = golden(lab)
    return lab.run(lambda tx: start_payment(tx, receipt.id, ALICE)).payment


def line(lab: Store, text: str, minor: int = 6060, currency: str = "THB") -> int:
    """One line of a statement; its number."""
    lab.run(lambda tx: bring_one(tx, NewLine(ON, minor * 10_000, currency, text), OPERATOR))
    return lab.read(lambda tx: tx.bank.listed()[0].id)


def apply(lab: Store, id: int, reference: str) -> str:
    return str(lab.run(lambda tx: apply_line(tx, id, reference, OPERATOR), actor="operator").step)


def test_a_transfer_pays_its_receipt(lab: Store) -> None:
    payment = asked(lab)
    found = line(lab, f"TRANSFER FROM MISS ALICE REF {payment.reference.replace('_', '')}")
    named = lab.read(lambda tx: proposal(tx, tx.bank.listed()[0]))
    assert named is not None and named.reference == payment.reference
    assert apply(lab, found, payment.reference) == "succeeded"
    assert books(lab) == {"clearing:bank_qr": 60_600_000, "income:cpu": 12_600_000, "income:gpu": 20_000_000, "income:mem": 28_000_000}
    assert broken(lab) == []


def test_a_line_is_applied_once_whoever_presses_at_once(lab: Store) -> None:
    payment = asked(lab)
    found = line(lab, payment.reference)

    def press(_: int) -> bool:
        try:
            apply(lab, found, payment.reference)
        except IllegalMove:
            return False
        return True
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(press, range(8))) == [False] * 7 + [True]
    assert books(lab)["clearing:bank_qr"] == 60_600_000 and broken(lab) == []


@pytest.mark.parametrize(("minor", "wallet"), [(7000, 9_400_000), (6000, 60_000_000)])
def test_too_much_and_too_little_go_where_every_providers_do(lab: Store, minor: int, wallet: int) -> None:
    payment = asked(lab)
    apply(lab, line(lab, payment.reference, minor), payment.reference)
    assert books(lab)["wallet:alice"] == wallet and broken(lab) == []


def test_the_same_payer_twice_fills_the_wallet_with_the_second(lab: Store) -> None:
    """Two transfers of the same words and amount on one day are two."""
    payment = asked(lab)
    twice = keyed([NewLine(ON, 60_600_000, "THB", payment.reference)] * 2)
    lab.run(lambda tx: bring(tx, twice, "november.csv", OPERATOR))
    for one in lab.read(lambda tx: tx.bank.listed()):
        apply(lab, one.id, payment.reference)
    assert books(lab)["wallet:alice"] == 60_600_000 and broken(lab) == []


def test_money_for_nobody_is_kept_in_sight(lab: Store) -> None:
    apply(lab, line(lab, "no idea what this is"), "")
    assert books(lab) == {"clearing:bank_qr": 60_600_000, "unapplied:bank_qr": 60_600_000}
    assert broken(lab) == []


def test_what_is_no_payers_is_set_aside_and_taken_up_again(lab: Store) -> None:
    found = line(lab, "interest")
    with pytest.raises(IllegalMove, match="Say what it is"):
        lab.run(lambda tx: set_aside(tx, found, " ", OPERATOR))
    lab.run(lambda tx: set_aside(tx, found, "interest of the bank", OPERATOR))
    with pytest.raises(IllegalMove, match="set aside already"):
        apply(lab, found, "")
    lab.run(lambda tx: take_up(tx, found, OPERATOR))
    assert lab.read(lambda tx: tx.bank.get(found).state) is LineState.WAITING  # type: ignore[union-attr]
    assert books(lab) == {} and broken(lab) == []


def test_what_cannot_be_said_of_a_line(lab: Store) -> None:
    payment = asked(lab)
    found = line(lab, payment.reference)
    with pytest.raises(NotFound):
        apply(lab, found, "TXN_0000000000000000")
    with pytest.raises(NotFound):
        apply(lab, 999, payment.reference)
    with pytest.raises(NotAllowed):
        lab.run(lambda tx: apply_line(tx, found, payment.reference, ALICE))
    with pytest.raises(NotAllowed):
        lab.run(lambda tx: bring_one(tx, NewLine(ON, 1_000_000, "THB", "x"), ALICE))
    for wrong in (NewLine(ON, 0, "THB", "x"), NewLine(ON, -1_000_000, "THB", "x"), NewLine(ON, 1_005_000, "THB", "x"),
                  NewLine(ON, 1_000_000, "THB", "x" * 501)):
        with pytest.raises(DomainError):
            lab.run(lambda tx, wrong=wrong: bring_one(tx, wrong, OPERATOR))


def test_another_currency_stays_in_sight(lab: Store) -> None:
    payment = asked(lab)
    assert apply(lab, line(lab, payment.reference, currency="EUR"), payment.reference) == "unapplied"
    assert broken(lab) == []


# the statement


THAI = "วันที่,รายการ,ฝาก,ถอน\n27/11/2569,โอนจาก น.ส.อลิซ TXN0123456789ABCDEF,\"1,234.56\",\n28/11/2569,ค่าธรรมเนียม,,10.00\n"
GERMAN = "Booking Date;Amount;Currency;Remittance Information\n27.11.2026;1.234,56;EUR;CH-2026-000001\n28.11.2026;-5,00;EUR;fee\n"


def test_a_thai_and_a_german_statement() -> None:
    thai, german = read_statement(THAI.encode("utf-8-sig"), "THB"), read_statement(GERMAN.encode(), "THB")
    assert [(one.booked_on, one.amount_micro, one.currency) for one in (*thai.lines, *german.lines)] == [
        (ON, 1_234_560_000, "THB"), (ON, 1_234_560_000, "EUR")]
    assert (thai.outgoing, german.outgoing, thai.problems, german.problems) == (1, 1, (), ())
    assert references(thai.lines[0].text) == ["TXN_0123456789ABCDEF"]


def test_what_cannot_be_read_is_named_by_its_line() -> None:
    read = read_statement(b"date,amount,text\n2026-11-27,1.234,x\n31/02/2026,1.00,x\n27/11/2026,five,x\n2026-11-27,1.00,good\n", "THB")
    assert [line.text for line in read.lines] == ["good"]
    assert [problem.split(":")[0] for problem in read.problems] == ["Line 2", "Line 3", "Line 4"]


@pytest.mark.parametrize(("data", "why"), [
    (b"\xff\xfe", "not UTF-8"), (b"", "names the columns"), (b"a,b\n1,2\n", "names the columns"), (b"date,amount\n\"x", "no CSV"),
    (b"x" * (5 * 1024 * 1024 + 1), "bytes")])
def test_a_file_that_is_no_statement_is_refused_whole(data: bytes, why: str) -> None:
    with pytest.raises(BadLine, match=why):
        read_statement(data, "THB")


@pytest.mark.parametrize(("text", "micro"), [("1234.5", 1_234_500_000), ("1,234.56", 1_234_560_000), ("1.234,56", 1_234_560_000),
                                             ("12,5", 12_500_000), ("-5.00", -5_000_000), ("7", 7_000_000)])
def test_amounts_as_banks_write_them(text: str, micro: int) -> None:
    assert statement_amount(text) == micro


@pytest.mark.parametrize("text", ["1,234", "1.234", "", "1e3", "NaN", "1.2.3", "12.345", "١٢٣", "--1"])
def test_amounts_that_could_be_anything(text: str) -> None:
    with pytest.raises(BadLine):
        statement_amount(text)


def test_days_as_banks_write_them() -> None:
    assert {statement_day(text) for text in ("2026-11-27", "27/11/2026", "27.11.2026", "27/11/2569", "2569-11-27")} == {ON}


@settings(max_examples=60, deadline=None)
@given(some.binary(max_size=200))
def test_no_file_breaks_the_reader(data: bytes) -> None:
    try:
        read_statement(b"date,amount,text\n" + data, "THB")
    except BadLine:
        pass


def test_statements_that_overlap_bring_a_line_once(lab: Store) -> None:
    first = read_statement(b"date,amount,text\n2026-11-26,1.00,a\n2026-11-27,2.00,b\n2026-11-27,2.00,b\n", "THB")
    second = read_statement(b"date,amount,text\n2026-11-27,2.00,B \n2026-11-27,2.00,b\n2026-11-28,3.00,c\n", "THB")
    brought = [lab.run(lambda tx, one=one: bring(tx, one.lines, "x.csv", OPERATOR)) for one in (first, first, second)]
    assert [(one.new, one.known) for one in brought] == [(3, 0), (0, 3), (1, 2)]


def test_a_line_that_the_bank_names_is_known_by_that_name(lab: Store) -> None:
    """On Friday the bank wrote few words; on Monday the same transfer has the payer's name too, and stands in the file twice."""
    friday = read_statement(b"id,date,amount,text\nFT26331,2026-11-27,2.00,TRANSFER\n", "THB")
    monday = read_statement(b"id,date,amount,text\nFT26331,2026-11-27,2.00,TRANSFER SOMCHAI\nFT26331,2026-11-27,2.00,TRANSFER SOMCHAI\n"
                            b"FT26332,2026-11-27,2.00,TRANSFER\n", "THB")
    brought = [lab.run(lambda tx, one=one: bring(tx, one.lines, "x.csv", OPERATOR)) for one in (friday, monday)]
    assert [(one.new, one.known) for one in brought] == [(1, 0), (1, 2)]


def test_a_statement_on_the_command_line(lab: Store, corehours: Corehours, tmp_path: Path) -> None:
    payment = asked(lab)
    file = tmp_path / "november.csv"
    file.write_text(f"date,amount,text\n2026-11-27,60.60,from alice {payment.reference}\n", encoding="utf-8")
    seen = json.loads(corehours("bank", "import", str(file), "--preview", "--json").stdout)
    assert (len(seen["lines"]), seen["problems"]) == (1, [])
    assert json.loads(corehours("bank", "import", str(file), "--json").stdout) == {"new": 1, "known": 0}
    [listed] = json.loads(corehours("bank", "list", "--json").stdout)
    assert (listed["state"], listed["proposed"]) == ("waiting", payment.reference)
    done = corehours("bank", "apply", str(listed["id"]), payment.reference)
    assert done.returncode == 0 and "succeeded" in done.stdout, done.stderr
    assert broken(lab) == []


# the provider


@pytest.fixture
def bank(tmp_path: Path) -> BankQrProvider:
    """A bank, as payments see it."""
    return BankQrProvider(Settings(home=tmp_path, promptpay_id=BILLER, payment_provider="bank_qr"))


def test_it_is_switched_on_by_an_account(tmp_path: Path) -> None:
    assert list(load_providers(Settings(home=tmp_path, promptpay_id=BILLER, payment_provider="bank_qr"))) == ["bank_qr"]
    assert "bank_qr" not in Settings(home=tmp_path).payment_providers
    with pytest.raises(ValueError, match="bank_qr needs an account"):
        load_providers(Settings(home=tmp_path, payment_provider="bank_qr"))


def test_what_a_bank_cannot_do_it_does_not_pretend_to(bank: BankQrProvider) -> None:
    now = datetime.now(UTC)
    order = RefundOrder("rfnd_1", "TXN_0123456789ABCDEF", "line_1", 6060, "THB", "refund:rfnd_1", "why")
    payment = Payment("pay_1", "TXN_0123456789ABCDEF", "rcpt_1", "bank_qr", False, 60_600_000, "THB", PaymentStatus.PENDING, None, None,
                      "alice", now, now, None)
    with pytest.raises(BadSignature):
        bank.read_event({}, b"{}", now)
    with pytest.raises(BadEvent):
        bank.parse_event(b"{}")
    for call in (lambda: bank.refund(order), lambda: bank.movements(now, now)):
        with pytest.raises(ProviderTrouble) as trouble:
            call()
        assert trouble.value.outcome is Outcome.REFUSED
    assert bank.look_up(payment) is None and bank.find_refund(order) is None
    assert bank.checkout(payment, "http://x") == bank.checkout(payment, "http://y")


def test_a_currency_no_account_takes_is_refused(bank: BankQrProvider) -> None:
    now = datetime.now(UTC)
    payment = Payment("pay_1", "TXN_0123456789ABCDEF", "rcpt_1", "bank_qr", False, 1_000_000, "USD", PaymentStatus.PENDING, None, None,
                      "alice", now, now, None)
    with pytest.raises(ProviderTrouble, match="PromptPay takes THB"):
        bank.checkout(payment, "http://x")


@pytest.fixture
def door(lab: Store) -> Iterator[SidecarThread]:
    """The sidecar of that site."""
    sidecar = SidecarThread(store=lab).start()
    yield sidecar
    sidecar.stop()


def test_the_payers_page_has_the_code_and_no_script(lab: Store, door: SidecarThread) -> None:
    payment = asked(lab)
    shown = requests.get(f"{door.url}/pay/{payment.reference}", timeout=20)
    assert shown.status_code == 200 and shown.url.endswith(f"/bank/{payment.reference}")
    assert "60.60 THB" in shown.text and payment.reference in shown.text and "<svg" in shown.text and "<script" not in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    bill = dict(fields(dict(fields(BankQrProvider(lab.settings).way(payment).payload))["30"]))  # type: ignore[union-attr]
    assert bill["02"] == payment.reference.replace("_", "")
    assert requests.get(f"{door.url}/bank/TXN_0000000000000000", timeout=20).status_code == 404


def test_a_transfer_is_not_promised_within_a_minute() -> None:
    """A provider tells by itself, a statement has to be brought: the pay card says which."""
    assert counts_once("A payment counts", "bank_qr").startswith("A payment counts once our bank has it on its statement and somebody")
    assert waited_for("bank_qr") == "Waiting for the transfer"
    assert counts_once("A payment counts", "stripe") == "A payment counts once the provider confirms it to us, usually within a minute."
