"""The words of a document in English and Thai, and how each writes a day. Thai years are those of the Buddhist era.

A receipt is what is owed, so its Thai name is the one for a statement of charges; the Thai word for receipt (ใบเสร็จรับเงิน) is
kept for the document that says the money came.
"""

from __future__ import annotations

from datetime import date

from engine.documents import DocumentKind, Language

BUDDHIST_ERA = 543
MONTHS = {
    Language.ENGLISH: ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
                       "December"),
    Language.THAI: ("มกราคม", "กุมภาพันธ์", "มีนาคม", "เมษายน", "พฤษภาคม", "มิถุนายน", "กรกฎาคม", "สิงหาคม", "กันยายน", "ตุลาคม",
                    "พฤศจิกายน", "ธันวาคม"),
}
SHORT_MONTHS = {
    Language.ENGLISH: ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    Language.THAI: ("ม.ค.", "ก.พ.", "มี.ค.", "เม.ย.", "พ.ค.", "มิ.ย.", "ก.ค.", "ส.ค.", "ก.ย.", "ต.ค.", "พ.ย.", "ธ.ค."),
}
TITLES = {
    DocumentKind.RECEIPT: ("Receipt", "ใบแจ้งค่าบริการ"),
    DocumentKind.PAYMENT_RECEIPT: ("Payment receipt", "ใบเสร็จรับเงิน"),
    DocumentKind.CREDIT_NOTE: ("Credit note", "ใบลดหนี้"),
    DocumentKind.DEBIT_NOTE: ("Debit note", "ใบเพิ่มหนี้"),
}
WORDS = {
    "number": ("Number", "เลขที่"),
    "date": ("Date", "วันที่"),
    "due": ("Due", "ครบกำหนดชำระ"),
    "period": ("Jobs that ended", "งานที่สิ้นสุดระหว่าง"),
    "tax_id": ("Tax ID", "เลขประจำตัวผู้เสียภาษี"),
    "billed_to": ("Billed to", "เรียกเก็บจาก"),
    "received_from": ("Received from", "ได้รับเงินจาก"),
    "credited_to": ("Credited to", "คืนเงินให้"),
    "debited_to": ("Debited to", "เพิ่มหนี้ให้"),
    "what": ("Description", "รายการ"),
    "quantity": ("Quantity", "จำนวน"),
    "unit": ("Unit", "หน่วย"),
    "price": ("Price per unit", "ราคาต่อหน่วย"),
    "amount": ("Amount", "จำนวนเงิน"),
    "cpu": ("CPU core-hours", "ชั่วโมงซีพียู (คอร์)"),
    "gpu": ("GPU hours", "ชั่วโมงจีพียู"),
    "mem": ("Memory GiB-hours", "หน่วยความจำ (GiB-ชั่วโมง)"),
    "node": ("Node-hours", "ชั่วโมงโหนด"),
    "billing": ("Billing-unit hours", "ชั่วโมงหน่วยคิดเงิน"),
    "adjustment": ("Adjustment: job {job} corrected", "ปรับปรุง: แก้ไขงาน {job}"),
    "minimum": ("Minimum of {month}, {card}", "ค่าบริการขั้นต่ำของ {month}, {card}"),
    "minimum_adjustment": ("Adjustment: minimum of {month}, {card}", "ปรับปรุง: ค่าบริการขั้นต่ำของ {month}, {card}"),
    "rounding_jobs": ("Rounding of the jobs", "ปัดเศษรายงาน"),
    "payment_of": ("Payment of receipt {of}", "ชำระค่าบริการตามใบแจ้ง {of}"),
    "topup_of": ("Paid into wallet {of}", "เติมเงินเข้ากระเป๋า {of}"),
    "credit_of": ("Refund of receipt {of}", "คืนเงินตามใบแจ้ง {of}"),
    "credit_of_wallet": ("Refund from wallet {of}", "คืนเงินจากกระเป๋า {of}"),
    "credit_of_payment": ("Refund of payment {of}", "คืนเงินของรายการชำระ {of}"),
    "debit_of": ("Credit note {of} taken back: the refund did not arrive", "ยกเลิกใบลดหนี้ {of} เนื่องจากการคืนเงินไม่สำเร็จ"),
    "subtotal": ("Subtotal", "รวมเป็นเงิน"),
    "tax": ("{name} {percent}%", "{name} {percent}%"),
    "tax_included": ("{name} {percent}% included", "รวม {name} {percent}% แล้ว"),
    "net": ("Net of {name}", "มูลค่าก่อน {name}"),
    "rounding": ("Rounding", "ปัดเศษ"),
    "total": ("Total", "รวมทั้งสิ้น"),
    "total_paid": ("Received", "รับชำระแล้ว"),
    "total_credited": ("Given back", "ยอดคืนเงิน"),
    "total_debited": ("Taken back", "ยอดที่ยกเลิก"),
    "provider": ("Paid through", "ช่องทางชำระ"),
    "reference": ("Reference", "เลขอ้างอิง"),
    "reason": ("Reason", "เหตุผล"),
    "pay_promptpay": ("Pay by PromptPay", "ชำระผ่านพร้อมเพย์"),
    "pay_epc": ("Pay by bank transfer", "ชำระด้วยการโอนเงิน"),
    "to": ("To", "ถึง"),
    "state_reference": ("Write {number} as the reference of the transfer.", "โปรดระบุเลขที่ {number} เป็นหมายเหตุการโอน"),
    "details": ("Jobs", "รายละเอียดงาน"),
    "details_by_day": ("Jobs by day", "รายละเอียดงานรายวัน"),
    "job": ("Job", "งาน"),
    "jobs": ("Jobs", "จำนวนงาน"),
    "name": ("Name", "ชื่องาน"),
    "project": ("Project", "โครงการ"),
    "ended": ("Ended", "สิ้นสุด"),
    "void": ("VOID: nothing is owed.", "ยกเลิกแล้ว: ไม่มียอดค้างชำระ"),
    "paid": ("PAID", "ชำระแล้ว"),
    "refunded": ("REFUNDED", "คืนเงินแล้ว"),
    "page": ("Page", "หน้า"),
    "of": ("of", "จาก"),
}
UNITS = {"cpu": ("core-h", "คอร์-ชม."), "gpu": ("GPU-h", "GPU-ชม."), "mem": ("GiB-h", "GiB-ชม."), "node": ("unit-h", "หน่วย-ชม."),
         "billing": ("unit-h", "หน่วย-ชม."), "": ("", "")}


def say(word: str, language: Language, **about: str) -> str:
    """The word or sentence in that language; `{job}` and the like stand for text that is cleaned already."""
    return _of(WORDS[word], language).format(**about)


def title(kind: DocumentKind, language: Language) -> str:
    """What the document is called."""
    return _of(TITLES[kind], language)


def unit(meter: str, language: Language) -> str:
    """The meter's unit, short."""
    return _of(UNITS[meter], language)


def day(on: date, language: Language) -> str:
    """`28 November 2026`, `28 พฤศจิกายน 2569`."""
    return f"{on.day} {MONTHS[language][on.month - 1]} {year(on, language)}"


def month(first: date, language: Language) -> str:
    """`November 2026`, `พฤศจิกายน 2569`."""
    return f"{MONTHS[language][first.month - 1]} {year(first, language)}"


def short_day(on: date, language: Language) -> str:
    """`28 Nov 2026`, `28 พ.ย. 2569`."""
    return f"{on.day} {SHORT_MONTHS[language][on.month - 1]} {year(on, language)}"


def year(on: date, language: Language) -> int:
    """The year as the language counts it."""
    return on.year + (BUDDHIST_ERA if language is Language.THAI else 0)


def _of(pair: tuple[str, str], language: Language) -> str:
    return pair[language is Language.THAI]
