"""How a figure, an instant and a state are said. The only place that knows the site's zone in words and which
colour a state has; reads nothing and draws nothing.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from data import settings
from engine.money import amount_text

NOTHING = "–"

METERS = ("cpu", "gpu", "mem", "extra", "llm", "access", "minimum")
METER_NAMES = {"cpu": "CPU", "gpu": "GPU", "mem": "Memory", "extra": "Nodes", "llm": "LLM", "access": "Access",
               "minimum": "Minimums"}
METER_UNITS = {"cpu": "core-h", "gpu": "GPU-h", "mem": "GiB-h", "extra": "unit-h"}
UNIT_SIZE = {"cpu": 3600, "gpu": 3600, "mem": 1024 * 3600, "extra": 3600}      # seconds (of a MiB) in one unit

STATE_COLOURS = {
    **dict.fromkeys(("active", "paid", "free", "available", "billed", "matched", "verified", "settled", "complete", "succeeded",
                     "taken", "confirmed", "credited", "applied", "processed", "done", "won"), "green"),
    **dict.fromkeys(("allocated", "running", "submitted", "processing", "working"), "blue"),
    **dict.fromkeys(("pending", "draining", "maintenance", "held", "unapplied", "late", "scheduled",
                     "requested", "received", "queued", "open", "waiting", "suspended"), "orange"),
    **dict.fromkeys(("provisioning", "stopping"), "violet"),
    **dict.fromkeys(("failed", "quarantined", "cleanup_failed", "overdue", "broken", "refused", "rejected",
                     "dead", "differs", "lost"), "red"),
    **dict.fromkeys(("draft", "unbilled", "void", "released", "expired", "refunded", "archived", "disabled",
                     "withdrawn", "set_aside", "retired"), "gray"),
}


@lru_cache(maxsize=1)
def zone() -> ZoneInfo:
    """The site's zone: instants are UTC everywhere and become local only in words."""
    return settings.load().zone


def money(micro: int | None, currency: str = "", decimals: int | None = None) -> str:
    """`1,234.56`, with ` THB` behind when a currency is named; – when there is none."""
    if micro is None:
        return NOTHING
    text = amount_text(micro, currency or "THB", decimals)
    return f"{text} {currency}".strip()


def quantity(amount: int | None, meter: str) -> str:
    """A measured quantity in the meter's unit with two decimals: 34.94 core-h from core-seconds; – when unknown."""
    if amount is None:
        return NOTHING
    return amount_text(in_units_micro(amount, meter))


def in_units_micro(amount: int, meter: str) -> int:
    """Millionths of the meter's unit, rounded half up: what `quantity` shows, for sums that must agree."""
    size = UNIT_SIZE[meter]
    return (2 * amount * 1_000_000 + size) // (2 * size)


def hours(seconds: int | None) -> str:
    """Seconds as hours with two decimals: `2.00`."""
    return quantity(seconds, "cpu")


def duration(seconds: int | None) -> str:
    """`2 d 04 h`, `9 h 12 m`, `4 m 10 s`, `12 s`."""
    if seconds is None:
        return NOTHING
    minutes, second = divmod(max(0, int(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    days, hour_of_day = divmod(hour, 24)
    if days:
        return f"{days} d {hour_of_day:02d} h"
    if hour:
        return f"{hour} h {minute:02d} m"
    return f"{minute} m {second:02d} s" if minute else f"{second} s"


def moment(instant: datetime | None, now: datetime | None = None) -> str:
    """`21 Nov 14:05` in the site's zone, with the year when it is not this one."""
    if instant is None:
        return NOTHING
    local, today = instant.astimezone(zone()), (now or datetime.now(UTC)).astimezone(zone())
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local.day} {local:%b}{year} {local:%H:%M}"


def day(value: date | datetime | None, now: datetime | None = None) -> str:
    """`21 Nov`, with the year when it is not this one; an instant is taken in the site's zone."""
    if value is None:
        return NOTHING
    local = value.astimezone(zone()).date() if isinstance(value, datetime) else value
    this_year = (now or datetime.now(UTC)).astimezone(zone()).year
    return f"{local.day} {local:%b}" + ("" if local.year == this_year else f" {local.year}")


def month(value: date) -> str:
    """`November 2026`."""
    return f"{value:%B %Y}"


def due(value: datetime | None, now: datetime) -> str:
    """`due 26 Nov 2026, in 5 days`, or `overdue since 26 Nov 2026`."""
    if value is None:
        return "no due date"
    when, today = value.astimezone(zone()).date(), now.astimezone(zone()).date()
    words = f"{when.day} {when:%b %Y}"
    left = (when - today).days
    if left < 0:
        return f"overdue since {words}"
    return f"due {words}, " + ("today" if left == 0 else f"in {count(left, 'day')}")


def span(first: datetime | None, last: datetime | None) -> str:
    """The days from one instant to another: `1–31 Oct 2026`, `30 Oct – 2 Nov 2026`, `14 Nov 2026`."""
    if first is None or last is None:
        return NOTHING
    begin, end = first.astimezone(zone()).date(), last.astimezone(zone()).date()
    tail = f"{end.day} {end:%b %Y}"
    if begin == end:
        return tail
    if (begin.year, begin.month) == (end.year, end.month):
        return f"{begin.day}–{tail}"
    return f"{begin.day} {begin:%b}{'' if begin.year == end.year else f' {begin.year}'} – {tail}"


def clock(left: timedelta) -> str:
    """Minutes and seconds that are left: `19:42`."""
    minutes, seconds = divmod(max(0, int(left.total_seconds())), 60)
    return f"{minutes}:{seconds:02d}"


def days_left(value: datetime, now: datetime) -> str:
    """The short form of `due` for a narrow column: `in 5 days`, `today`, `2 days late`."""
    left = (value.astimezone(zone()).date() - now.astimezone(zone()).date()).days
    if left < 0:
        return f"{count(-left, 'day')} late"
    return "today" if left == 0 else f"in {count(left, 'day')}"


def last_month(value: date) -> date:
    """The last day of the month before."""
    return value.replace(day=1) - timedelta(days=1)


def ago(instant: datetime | None, now: datetime | None = None) -> str:
    """`just now`, `4 min ago`, `3 h ago`, `2 days ago`."""
    if instant is None:
        return "never"
    seconds = int(((now or datetime.now(UTC)) - instant).total_seconds())
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 2 * 86400:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 86400} days ago"


def count(number: int, noun: str, nouns: str = "") -> str:
    """`1 job`, `1,204 jobs`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def state_colour(state: str) -> str:
    """Streamlit's colour name for a state; gray for one that has none."""
    return STATE_COLOURS.get(state, "gray")


def freshness(complete_up_to: datetime | None, now: datetime, promise: timedelta, failed: str = "") -> tuple[str, str, str]:
    """How far usage is known, as (words, icon, colour): green, orange when older than the promise, red when a source
    failed (`failed` names it) or nothing was ever loaded."""
    if failed:
        return f"{failed} failed, usage complete up to {_near(complete_up_to, now)}", ":material/error:", "red"
    if complete_up_to is None:
        return "No usage loaded yet", ":material/schedule:", "orange"
    if now - complete_up_to > promise:
        return f"Usage complete up to {_near(complete_up_to, now)}", ":material/schedule:", "orange"
    return f"Usage complete up to {_near(complete_up_to, now)}", ":material/check_circle:", "green"


def _near(instant: datetime | None, now: datetime) -> str:
    if instant is None:
        return NOTHING
    same_day = instant.astimezone(zone()).date() == now.astimezone(zone()).date()
    return f"{instant.astimezone(zone()):%H:%M}" if same_day else moment(instant, now)


JOINER = "\u2060"                         # no width: what is written with it looks the same and is no address


def plain(text: str) -> str:
    """Foreign text for a place that reads Markdown: every sign that could become a link, picture or colour is escaped.
    Addresses are found in the words themselves, escaped or not, so an invisible sign breaks them."""
    broken = re.sub(r"(?i)(https?:|www|@)", rf"\1{JOINER}", " ".join(text.split()))
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()<>#+-.!|:$~" else letter for letter in broken)
