"""A document on paper: what can be read out of the PDF, that it is always the same file, and that no name is markup."""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import replace

import pytest
from pypdf import PdfReader

from data.documents.pdf import pdf
from engine.document_text import BREAK, clean
from engine.documents import Detail, Facts, Issuer, Language, WayToPay, broken_down
from engine.receipts import ReceiptStatus
from tests.documents.facts import GOLDEN, jobs, taxed

ENGLISH, THAI = Language.ENGLISH, Language.THAI


def read(facts: Facts, language: Language = ENGLISH, standing: ReceiptStatus | None = None) -> list[str]:
    """The text of every page, as a reader's copy-and-paste gives it, blanks as one."""
    pages = PdfReader(io.BytesIO(pdf(facts, language, standing))).pages
    return [re.sub(r"\s+", " ", page.extract_text().replace(BREAK, "")) for page in pages]


def solid(text: str) -> str:
    """Without any blank: a line that ended within a name has none of its own."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFC", text))


def test_the_golden_receipt_in_english() -> None:
    [page] = read(GOLDEN)
    for words in ("Receipt", "CH-2026-000001", "28 November 2026", "28 December 2026", "3 Oct 2026 – 5 Oct 2026", "Billed to", "alice",
                  "CPU core-hours 4.20 core-h 3.00 12.60", "Memory GiB-hours 28.00 GiB-h 1.00 28.00", "Total, THB", "60.60",
                  "Pay by PromptPay", "Tax ID 0994000158378", "Page 1 of 1", "train"):
        assert words in page, words


def test_the_golden_receipt_in_thai() -> None:
    """Thai comes out whole and in order, marks above marks included, years of the Buddhist era."""
    page = solid(read(GOLDEN, THAI)[0])
    for words in ("ใบแจ้งค่าบริการ", "28พฤศจิกายน2569", "ครบกำหนดชำระ", "เลขประจำตัวผู้เสียภาษี0994000158378", "ศูนย์คอมพิวเตอร์สมรรถนะสูง",
                  "แขวงจตุจักรกรุงเทพฯ10900", "หน่วยความจำ(GiB-ชั่วโมง)", "ชำระผ่านพร้อมเพย์", "รวมทั้งสิ้น,THB60.60", "หน้า1จาก1"):
        assert words in page, words


@pytest.mark.parametrize("language", Language)
def test_the_same_facts_make_the_same_bytes(language: Language) -> None:
    assert pdf(GOLDEN, language) == pdf(GOLDEN, language)
    assert pdf(GOLDEN, language) != pdf(replace(GOLDEN, payer="bob"), language)


def test_the_only_time_in_it_is_the_documents_own() -> None:
    info = PdfReader(io.BytesIO(pdf(GOLDEN, ENGLISH))).metadata
    assert info is not None and info.title == "Receipt CH-2026-000001"
    dates = set(re.findall(r"D:\d{14}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", pdf(GOLDEN, ENGLISH).decode("latin-1")))
    assert dates <= {"D:20261128000000", "2026-11-28T00:00:00"}


def test_tax_on_top_and_tax_within() -> None:
    on_top, within = read(taxed(included=False))[0], read(taxed(included=True))[0]
    assert "Subtotal 60.60 VAT 7% 4.24 Total, THB 64.84" in on_top
    assert "Net of VAT 56.64 VAT 7% included 3.96 Total, THB 60.60" in within


def test_only_what_is_owed_asks_to_be_paid() -> None:
    assert "Pay by PromptPay" in read(GOLDEN, standing=ReceiptStatus.PENDING)[0]
    for standing, said in ((ReceiptStatus.VOID, "VOID: nothing is owed."), (ReceiptStatus.PAID, "PAID"),
                           (ReceiptStatus.REFUNDED, "REFUNDED")):
        page = read(GOLDEN, standing=standing)[0]
        assert said in page and "PromptPay" not in page


def test_a_long_receipt_repeats_its_head_on_every_page() -> None:
    pages = read(replace(GOLDEN, details=broken_down(jobs(300))))
    assert len(pages) > 3 and all("core-h GPU-h GiB-h THB" in page and f"of {len(pages)}" in page for page in pages[1:])
    assert "job 299" in pages[-1]


def test_a_very_long_one_is_broken_down_by_day() -> None:
    details = broken_down(jobs(2000))
    assert (len(details), sum(day.cost_micro for day in details), sum(day.jobs for day in details)) == (50, 2_000_000_000, 2000)
    text = " ".join(read(replace(GOLDEN, details=details)))
    assert "Jobs by day" in text and "1 Oct 2026 40 40.00 0.00 40.00 40.00" in text


HOSTILE = {
    "markup": "*bold* _it_ #set text(99pt) `raw` $x^2$ = Head <label> @ref // no /* comment */ \\ ~ -- --- ...",
    "code": '#import "x.typ" #read("/etc/passwd") #sys.inputs #image("x")] ) } "',
    "html": "<script>alert(1)</script> &amp; ![x](http://x)",
    "json": '"},{"x": "\\u0041',
    "braces": "{job} {0} {number.__class__} %s",
    "thai": "น้ำซึ้งปู่ ผู้ใช้ กี่ครั้ง ฿ ๑๒๓",
    "arabic": "فاتورة الحوسبة",
    "hebrew": "קבלה על חישוב",
    "greek and cyrillic": "Ωμέγα Ньютон",
    "long": "x" * 300,
    "long words": "ab cd " * 60,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_never_markup(name: str) -> None:
    """Whatever is typed stands on the paper as it was typed, wherever it is printed, and pushes nothing off the page."""
    text = HOSTILE[name]
    facts = replace(GOLDEN, payer=text, issuer=Issuer(text, f"{text}\n{text}", text),
                    details=(Detail(GOLDEN.on, 60_600_000, 1, 1, 1, text, text, text),))
    for language in Language:
        page = solid(" ".join(read(facts, language)))
        if name in ("arabic", "hebrew"):                # a reader is free to give back right-to-left in drawn order
            assert all(letter in page for letter in solid(text))
        else:
            assert page.count(solid(clean(text)).replace(BREAK, "")) >= 3
        assert "60.60" in page


@pytest.mark.parametrize(("typed", "printed"), [
    ("a\x00b\x07c", "a�b�c"), ("a\nb\tc", "a b c"), ("amount \u202e00.1\u202c", "amount 00.1"), ("\u2066x\u2069\ufeff\u200b", "x"),
    ("\ud800", "�"), ("\ue000", "�"), ("นำ้", "นำ้"), ("é", "é"), ("a b", "a b"), (" ", ""), ("x" * 301, None)])
def test_signs_that_would_mislead_are_gone(typed: str, printed: str | None) -> None:
    if printed is None:
        assert clean(typed).replace(BREAK, "") == "x" * 299 + "…"
    else:
        assert clean(typed) == printed
    assert "60.60" in read(replace(GOLDEN, payer=typed))[0]


@pytest.mark.parametrize("text", ["計算センター", "🙂🙃", "ᚠᛇᚻ"])
def test_letters_that_no_font_of_ours_has_do_not_stop_a_document(text: str) -> None:
    assert "60.60" in read(replace(GOLDEN, payer=text))[0]


def test_the_qr_code_is_drawn_from_the_payload() -> None:
    other = replace(GOLDEN, ways_to_pay=(WayToPay("epc", "BCD\n002\n1\nSCT", "DE71"),))
    assert pdf(other, ENGLISH) != pdf(GOLDEN, ENGLISH)
    assert "Pay by bank transfer" in read(other)[0]
