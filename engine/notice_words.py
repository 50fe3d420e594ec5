"""The words of notices in English and Thai: a headline and a sentence, for pages and for mail. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo

from engine.document_words import short_day
from engine.documents import Language
from engine.mail import Letter, message_id
from engine.node_troubles import AWAY, BROKEN, FULL, STRANGE, TAKEN, UNDONE
from engine.node_watch import AGREED_END, IDLE, NO_ACCESS
from engine.notices import Notice, NoticeKind

Pair = tuple[str, str]
_RUNWAY: Pair = ("It holds {available}, and your nodes cost {burn} an hour. When it is empty they are released: add funds to keep them.",
                 "ยอดคงเหลือ {available} และโหนดของคุณใช้ชั่วโมงละ {burn} เมื่อเงินหมดโหนดจะถูกคืน โปรดเติมเงินหากต้องการใช้ต่อ")
HEADLINES: dict[NoticeKind, Pair] = {
    NoticeKind.RUNWAY_DAY: ("Wallet {wallet} lasts for less than a day", "กระเป๋า {wallet} ใช้ได้อีกไม่ถึงหนึ่งวัน"),
    NoticeKind.RUNWAY_HOUR: ("Wallet {wallet} lasts for less than an hour", "กระเป๋า {wallet} ใช้ได้อีกไม่ถึงหนึ่งชั่วโมง"),
    NoticeKind.RUNWAY_MINUTES: ("Wallet {wallet} lasts for less than ten minutes", "กระเป๋า {wallet} ใช้ได้อีกไม่ถึงสิบนาที"),
    NoticeKind.READY: ("{node} is ready", "{node} พร้อมใช้งาน"),
    NoticeKind.FAILED: ("{node} could not be set up", "ไม่สามารถเตรียม {node} ได้"),
    NoticeKind.DEPLETED: ("Wallet {wallet} is empty: {node} is released", "กระเป๋า {wallet} หมดแล้ว: คืน {node}"),
    NoticeKind.ENDING: ("{node} ends at {until}", "{node} จะสิ้นสุดเวลา {until}"),
    NoticeKind.ENDED: ("{node} has ended", "{node} สิ้นสุดแล้ว"),
    NoticeKind.IDLE: ("{node} does nothing", "{node} ไม่มีการใช้งาน"),
    NoticeKind.SUSPENDED: ("{node} is out of reach", "ติดต่อ {node} ไม่ได้"),
    NoticeKind.RESUMED: ("{node} is back", "{node} กลับมาแล้ว"),
    NoticeKind.RELEASED: ("{node} is released", "คืน {node} เรียบร้อยแล้ว"),
}
SENTENCES: dict[NoticeKind, Pair] = {
    NoticeKind.RUNWAY_DAY: _RUNWAY,
    NoticeKind.RUNWAY_HOUR: _RUNWAY,
    NoticeKind.RUNWAY_MINUTES: _RUNWAY,
    NoticeKind.READY: ("Log in with your key: ssh -p {port} {tenant}@{host}. It is charged from now on.",
                       "เข้าใช้งานด้วยกุญแจของคุณ: ssh -p {port} {tenant}@{host} เริ่มคิดค่าบริการแล้ว"),
    NoticeKind.FAILED: ("{why} Nothing was charged.", "{why} ไม่มีการคิดค่าบริการ"),
    NoticeKind.DEPLETED: ("It was charged {charged} in all. Your login is closed and what ran on it is ended.",
                          "คิดค่าบริการรวม {charged} ปิดการเข้าใช้งานและหยุดโปรแกรมทั้งหมดแล้ว"),
    NoticeKind.ENDING: ("Save what you need: at its end your login is closed and what runs on it is ended. You can agree a later end.",
                        "โปรดบันทึกงาน เมื่อถึงเวลา การเข้าใช้งานจะถูกปิดและโปรแกรมทั้งหมดจะหยุด คุณขยายเวลาได้"),
    NoticeKind.ENDED: ("{reason} It was charged {charged} in all.", "เหตุผล: {reason} คิดค่าบริการรวม {charged}"),
    NoticeKind.IDLE: ("Its GPUs have done nothing for {time}, and it is charged. {after}",
                      "จีพียูไม่ได้ทำงานมา {time} และยังคิดค่าบริการอยู่ {after}"),
    NoticeKind.SUSPENDED: ("It is not charged until it answers again. Nothing has to be done.",
                           "ไม่คิดค่าบริการจนกว่าจะติดต่อได้อีกครั้ง ไม่ต้องดำเนินการใด"),
    NoticeKind.RESUMED: ("It is charged again from now on; the {time} that it was away are free.",
                         "เริ่มคิดค่าบริการอีกครั้ง ช่วง {time} ที่ติดต่อไม่ได้ไม่คิดค่าบริการ"),
    NoticeKind.RELEASED: ("Nothing of it is left on the node. It was charged {charged} in all.",
                          "ไม่มีสิ่งใดค้างอยู่บนโหนด คิดค่าบริการรวม {charged}"),
}
STAYS: Pair = ("Release it if you do not need it.", "โปรดคืนหากไม่ได้ใช้")
GOES: Pair = ("It is released after {time} of that.", "จะถูกคืนเมื่อไม่ใช้งานครบ {time}")
THAI: dict[str, str] = {                    # sentences that travel as facts
    AWAY: "โหนดไม่ตอบสนอง", STRANGE: "โหนดไม่เป็นไปตามที่เรารู้จัก จึงถูกนำออก", TAKEN: "พบสิ่งอื่นอยู่บนโหนด", BROKEN: "โหนดทำไม่สำเร็จ",
    FULL: "ดิสก์ของโหนดเต็ม", UNDONE: "เตรียมไม่เสร็จทันเวลา", AGREED_END: "ถึงเวลาสิ้นสุดที่ตกลงไว้",
    IDLE: "จีพียูไม่ได้ทำงานนานตามที่ตกลงไว้", NO_ACCESS: "โหนดไม่ยอมให้เข้าใช้งานอีก",
}
UNITS: dict[str, tuple[Pair, Pair]] = {     # one of it, more of it
    "d": (("{n} day", "{n} วัน"), ("{n} days", "{n} วัน")),
    "h": (("{n} hour", "{n} ชั่วโมง"), ("{n} hours", "{n} ชั่วโมง")),
    "min": (("{n} minute", "{n} นาที"), ("{n} minutes", "{n} นาที")),
    "s": (("{n} second", "{n} วินาที"), ("{n} seconds", "{n} วินาที")),
}
SIZES = {"d": 86400, "h": 3600, "min": 60, "s": 1}


def headline(kind: NoticeKind, facts: Mapping[str, object], language: Language, zone: tzinfo) -> str:
    """What it is about, on one line."""
    return _of(HEADLINES[kind], language).format(**_texts(facts, language, zone))


def sentence(kind: NoticeKind, facts: Mapping[str, object], language: Language, zone: tzinfo) -> str:
    """What it says, after the headline."""
    return _of(SENTENCES[kind], language).format(**_texts(facts, language, zone))


def notice_letter(notice: Notice, recipient: str, language: Language, zone: tzinfo, site: str, domain: str, page: str) -> Letter:
    """The mail that tells it; `page` is where more can be seen. The same notice and recipient have the same Message-ID."""
    head = headline(notice.kind, notice.facts, language, zone)
    said = sentence(notice.kind, notice.facts, language, zone)
    return Letter(message_id(f"notice-{notice.id}", recipient, domain), recipient, f"{head}, {site}",
                  f"{head}.\n\n{said}\n\n{page}\n\n{site}\n", "", language)


def duration(seconds: int, language: Language) -> str:
    """In its two largest units: `1 day 3 hours`, `2 ชั่วโมง 5 นาที`."""
    left = max(0, seconds)
    parts: list[str] = []
    for name, size in SIZES.items():
        count, left = divmod(left, size)
        if count or (name == "s" and not parts):
            parts.append(_of(UNITS[name][count != 1], language).format(n=count))
        elif parts:
            break
    return " ".join(parts[:2])


def _texts(facts: Mapping[str, object], language: Language, zone: tzinfo) -> dict[str, str]:
    """Facts as they stand in a sentence, each on one line."""
    texts = {name: " ".join(_said(value, language).split()) for name, value in facts.items()}
    if "seconds" in facts:
        texts["time"] = duration(_int(facts["seconds"]), language)
    if "minutes" in facts:
        texts["time"] = duration(60 * _int(facts["minutes"]), language)
        texts["after"] = _after(facts.get("release_minutes"), language)
    if "until" in facts:
        texts["until"] = _instant(str(facts["until"]), language, zone)
    return texts


def _said(value: object, language: Language) -> str:
    return THAI.get(str(value), str(value)) if language is Language.THAI else str(value)


def _after(minutes: object, language: Language) -> str:
    return _of(STAYS, language) if minutes is None else _of(GOES, language).format(time=duration(60 * _int(minutes), language))


def _instant(text: str, language: Language, zone: tzinfo) -> str:
    at = datetime.fromisoformat(text).astimezone(zone)
    return f"{at:%H:%M}, {short_day(at.date(), language)}"


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _of(pair: Pair, language: Language) -> str:
    return pair[language is Language.THAI]
