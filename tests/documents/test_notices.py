"""Notices reach those they are for: on their pages and, where they have an address, by mail, once each."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from data.postgres.store import Store
from engine.documents import Language
from engine.mail import message_id
from engine.notice_words import duration, headline, sentence
from engine.notices import FACTS, News, NoticeKind
from engine.outbox import JobState
from engine.policy import OPERATOR
from engine.services import users
from engine.services.notices import tell, tell_many
from engine.users import Role
from tests.documents.test_command import drain
from tests.documents.test_mail import Post, alice, post, with_mail

__all__ = ["post"]
EXAMPLES: dict[str, object] = {
    "wallet": "alice", "available": "12.50 THB", "burn": "20.00 THB", "seconds": 4500, "node": "gpu-1", "host": "gpu-1.example",
    "port": 22, "tenant": "alice", "why": "Nothing answers at its address.", "charged": "30.01 THB",
    "until": "2026-11-28T17:00:00+00:00", "reason": "its agreed end came", "minutes": 30, "release_minutes": 120}


def facts(kind: NoticeKind) -> dict[str, object]:
    """What a notice of that kind needs and no more."""
    return {name: EXAMPLES[name] for name in FACTS[kind]}


def test_a_notice_is_mailed_once_to_who_has_an_address(store: Store, post: tuple[Post, str]) -> None:
    """Bob has none: he finds it on his pages only."""
    taking, url = post
    here = with_mail(store, url)
    her = alice(here, language=Language.THAI)
    here.run(lambda tx: users.add(tx, "bob", Role.RESEARCHER, "no password", by=OPERATOR))
    bob = here.read(lambda tx: tx.users.by_name("bob"))
    assert bob is not None
    news = [News(one, NoticeKind.READY, "allocation:alc_1", facts(NoticeKind.READY)) for one in (her.id, bob.id)]
    here.run(lambda tx: tell_many(tx, news))
    drain(here)
    [mail] = taking.mails()
    [notice] = here.read(lambda tx: tx.notices.of_user(her.id))
    assert here.read(lambda tx: len(tx.notices.of_user(bob.id))) == 1
    assert mail["To"] == "alice@example.org" and mail["Subject"] == "gpu-1 พร้อมใช้งาน, Corehours"
    assert mail["Message-ID"] == message_id(f"notice-{notice.id}", "alice@example.org", "lab.example")
    assert "ssh -p 22 alice@gpu-1.example" in mail.get_content() and not mail.is_multipart()


def test_a_lost_answer_brings_the_very_same_message(store: Store, post: tuple[Post, str]) -> None:
    taking, url = post
    taking.data.append("hang up")
    here = with_mail(store, url)
    her = alice(here)
    here.run(lambda tx: tell(tx, her.id, NoticeKind.FAILED, "allocation:alc_1", facts(NoticeKind.FAILED)))
    drain(here)
    here.run(lambda tx: tx.outbox.execute("update outbox set due_at = now() - interval '1 second' where state = 'queued'"))
    drain(here)
    [job] = here.read(lambda tx: tx.outbox.newest())
    assert (job.kind, job.state) == ("notice.send", JobState.DONE)
    assert len(taking.taken) == 2 and taking.taken[0] == taking.taken[1]


def test_without_what_its_words_are_made_of_it_is_not_told(store: Store) -> None:
    with pytest.raises(ValueError, match=r"a notice of allocation.ending is told with until"):
        News(1, NoticeKind.ENDING, "allocation:alc_1", {"node": "gpu-1"})


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_has_words_in_both_languages(kind: NoticeKind) -> None:
    for language in Language:
        said = [words(kind, facts(kind), language, ZoneInfo("Asia/Bangkok")) for words in (headline, sentence)]
        assert all(said) and not any(sign in "".join(said) for sign in "{}\n")


def test_how_it_reads() -> None:
    zone = ZoneInfo("Asia/Bangkok")
    assert headline(NoticeKind.ENDING, facts(NoticeKind.ENDING), Language.ENGLISH, zone) == "gpu-1 ends at 00:00, 29 Nov 2026"
    assert sentence(NoticeKind.RUNWAY_HOUR, facts(NoticeKind.RUNWAY_HOUR), Language.ENGLISH, zone).startswith(
        "It holds 12.50 THB, and your nodes cost 20.00 THB an hour.")
    assert sentence(NoticeKind.IDLE, facts(NoticeKind.IDLE) | {"release_minutes": None}, Language.ENGLISH, zone).endswith(
        "Release it if you do not need it.")
    assert [duration(seconds, Language.ENGLISH) for seconds in (0, 1, 60, 3661, 90061)] == [
        "0 seconds", "1 second", "1 minute", "1 hour 1 minute", "1 day 1 hour"]
