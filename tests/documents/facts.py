"""Facts by hand: the golden receipt of 60.60 THB, and what surrounds it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from engine.documents import Detail, DocumentKind, Facts, Issuer, Tax, ways_to_pay
from engine.money import Money
from engine.receipt_lines import Line

THAI_SITE = Issuer("ศูนย์คอมพิวเตอร์สมรรถนะสูง", "99/9 ถนนพหลโยธิน\nแขวงจตุจักร กรุงเทพฯ 10900", "0994000158378")
GOLDEN = Facts(
    DocumentKind.RECEIPT, "CH-2026-000001", date(2026, 11, 28), "THB", THAI_SITE, "alice", 60_600_000, subtotal_micro=60_600_000,
    due=date(2026, 12, 28), period=(date(2026, 10, 3), date(2026, 10, 5)),
    lines=(Line("cpu", 12_600_000, "cpu", 4_200_000, 3_000_000), Line("gpu", 20_000_000, "gpu", 2_000_000, 10_000_000),
           Line("mem", 28_000_000, "mem", 28_000_000, 1_000_000)),
    details=(Detail(date(2026, 10, 5), 60_600_000, 15_120, 7200, 28 * 1024 * 3600, "7", "train", "physics"),),
    ways_to_pay=ways_to_pay(Money(60_600_000, "THB"), "CH-2026-000001", "0994000158378", "", "", "x"))


def taxed(included: bool) -> Facts:
    """The golden receipt with 7 % VAT: 4.24 on top, or 3.96 in it."""
    if included:
        return replace(GOLDEN, tax=Tax("VAT", 70_000, 3_960_000, True))
    return replace(GOLDEN, tax=Tax("VAT", 70_000, 4_240_000), total_micro=64_840_000)


def jobs(count: int, first: date = date(2026, 10, 1)) -> tuple[Detail, ...]:
    """`count` jobs of 1.00 THB, forty a day."""
    return tuple(Detail(first + timedelta(days=number // 40), 1_000_000, 3600, 0, 1024 * 3600, str(1000 + number), f"job {number}", "lab")
                 for number in range(count))
