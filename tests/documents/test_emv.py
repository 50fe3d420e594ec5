"""QR payloads: what others published, what no bank could read, and what must hold for any amount and name."""

from __future__ import annotations

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as some
from segno import helpers

from engine.emv import (
    EPC_MOST_MINOR,
    MOST_MINOR,
    BadQr,
    PromptPay,
    Target,
    check_iban,
    crc16,
    epc,
    field,
    fields,
    intact,
    promptpay,
    promptpay_id,
    sealed,
)

# EMVCo Merchant-Presented Mode, its own example.
EMVCO = ("00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST TRANSPORT6007BEIJING"
         "64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A60086670902ME91320016A0112233449988770708"
         "123456786304A13A")
QUICK = settings(max_examples=50, deadline=None)
LETTERS = some.characters(codec="utf-8", exclude_categories=["C", "Z"])


def test_the_checksum_is_the_one_everybody_computes() -> None:
    assert crc16(b"123456789") == 0x29B1


def test_emvcos_own_example_is_read_and_intact() -> None:
    assert intact(EMVCO)
    read = dict(fields(EMVCO))
    assert (read["59"], read["54"], read["53"], read["63"]) == ("BEST TRANSPORT", "23.72", "156", "A13A")
    assert dict(fields(read["64"])) == {"00": "ZH", "01": "最佳运输", "02": "北京"}, "lengths count characters"


@pytest.mark.parametrize(("payee", "minor", "payload"), [
    ("0801234567", None, "00020101021129370016A000000677010111011300668012345675802TH530376463046197"),
    ("080-123-4567", None, "00020101021129370016A000000677010111011300668012345675802TH530376463046197"),
    ("+66-89-123-4567", None, "00020101021129370016A000000677010111011300668912345675802TH5303764630429C1"),
    ("1111111111111", None, "00020101021129370016A000000677010111021311111111111115802TH530376463047B5A"),
    ("1-1111-11111-11-1", None, "00020101021129370016A000000677010111021311111111111115802TH530376463047B5A"),
    ("0123456789012", None, "00020101021129370016A000000677010111021301234567890125802TH530376463040CBD"),
    ("012345678901234", None, "00020101021129390016A00000067701011103150123456789012345802TH530376463049781"),
    ("000-000-0000", 422, "00020101021229370016A000000677010111011300660000000005802TH530376454044.226304E469"),
])
def test_promptpay_as_others_published_it(payee: str, minor: int | None, payload: str) -> None:
    assert promptpay(promptpay_id(payee), minor) == payload


def test_a_biller_is_told_the_reference() -> None:
    """A bill payment: application id of its own, biller, Ref1."""
    payload = promptpay(promptpay_id("biller:010555800000000"), 50_000, "TXN_0123456789ABCDEF")
    bill = dict(fields(dict(fields(payload))["30"]))
    assert bill == {"00": "A000000677010112", "01": "010555800000000", "02": "TXN0123456789ABCDEF"}
    with pytest.raises(BadQr, match="from 1 to 20 fit"):
        promptpay(promptpay_id("biller:010555800000000"), 50_000, "TXN_0123456789ABCDEF00")


@pytest.mark.parametrize("wrong", ["", "12345", "abcd", "812345678", "1234567890", "biller:0812345678", "๐๘๑๒๓๔๕๖๗๘", "081234567a"])
def test_what_is_no_promptpay_id(wrong: str) -> None:
    with pytest.raises(BadQr):
        promptpay_id(wrong)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "4", MOST_MINOR + 1])
def test_what_is_no_amount(wrong: object) -> None:
    with pytest.raises(BadQr):
        promptpay(promptpay_id("0801234567"), wrong)  # type: ignore[arg-type]


@QUICK
@given(some.sampled_from([PromptPay(Target.PHONE, "0812345678"), PromptPay(Target.BILLER, "010555800000000")]),
       some.integers(1, MOST_MINOR))
def test_every_amount_comes_back_to_the_satang(payee: PromptPay, minor: int) -> None:
    payload = promptpay(payee, minor, "CH-2026-000001")
    assert intact(payload)
    baht, satang = dict(fields(payload))["54"].split(".")
    assert int(baht) * 100 + int(satang) == minor and len(satang) == 2


@QUICK
@given(some.integers(1, MOST_MINOR), some.data())
def test_one_wrong_sign_is_noticed(minor: int, data: some.DataObject) -> None:
    payload = promptpay(promptpay_id("0812345678"), minor)
    at = data.draw(some.integers(0, len(payload) - 9))
    other = data.draw(some.sampled_from([sign for sign in "0123456789ABCDEF" if sign != payload[at]]))
    assert not intact(payload[:at] + other + payload[at + 1:])


@QUICK
@given(some.lists(some.tuples(some.integers(0, 99), some.text(LETTERS, min_size=1, max_size=30)), max_size=8))
def test_fields_are_read_as_they_were_written(pairs: list[tuple[int, str]]) -> None:
    wanted = [(f"{tag:02d}", value) for tag, value in pairs]
    body = "".join(field(tag, value) for tag, value in wanted)
    assert fields(body) == wanted
    assert intact(sealed(body))


@QUICK
@given(some.text(max_size=60))
def test_no_payload_breaks_the_reader(text: str) -> None:
    try:
        fields(text)
    except BadQr:
        pass


def test_a_transfer_is_what_segno_makes_of_it() -> None:
    """The same picture as segno's own EPC helper makes, which follows EPC069-12."""
    payload = epc("Franz Mustermänn", "DE71 1102 2033 0123 4567 89", 1234, "CH-2026-000001", "BHBLDEHHXXX")
    assert payload.split("\n") == ["BCD", "002", "1", "SCT", "BHBLDEHHXXX", "Franz Mustermänn", "DE71110220330123456789", "EUR12.34",
                                   "", "", "CH-2026-000001"]
    theirs = helpers.make_epc_qr("Franz Mustermänn", "DE71110220330123456789", 12.34, text="CH-2026-000001", bic="BHBLDEHHXXX",
                                 encoding=1)
    ours = segno.make_qr(payload, error="m", boost_error=False, encoding="utf-8")
    assert [bytes(row) for row in ours.matrix] == [bytes(row) for row in theirs.matrix]


@pytest.mark.parametrize("wrong", ["DE71110220330123456788", "DE7111022033", "", "XX00"])
def test_an_iban_is_checked(wrong: str) -> None:
    with pytest.raises(BadQr, match="check digits"):
        check_iban(wrong)


@pytest.mark.parametrize(("name", "text"), [
    ("", "x"), ("n" * 71, "x"), ("n", ""), ("n", "x" * 141), ("a\u202eb", "x"), ("ก" * 70, "ข" * 140)])
def test_what_does_not_fit_a_transfer_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadQr):
        epc(name, "DE71110220330123456789", 1, text)


@QUICK
@given(some.integers(1, EPC_MOST_MINOR), some.text(LETTERS, min_size=1, max_size=30), some.text(LETTERS, min_size=1, max_size=30))
def test_a_transfer_has_eleven_lines_whatever_the_names(minor: int, name: str, text: str) -> None:
    lines = epc(name, "DE71110220330123456789", minor, text).split("\n")
    assert len(lines) == 11 and lines[5] == name and lines[10] == text
    assert int(lines[7].removeprefix("EUR").replace(".", "")) == minor
