"""Mail by SMTP against a real server that refuses, stutters and hangs up: one message each, whatever happens."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from data.postgres.store import Store
from engine.documents import Language
from engine.mail import message_id
from engine.outbox import JobState
from engine.policy import OPERATOR
from engine.services import users
from engine.users import BadAddress, Person, Role
from tests.documents.test_command import drain
from tests.documents.test_issuing import golden, paid
from webhooks import mail as handing_over


@dataclass
class Post:
    """A mail server that answers RCPT and DATA as a test likes; `taken` is what it has."""

    rcpt: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)           # an answer, or "hang up" after it has the message
    taken: list[bytes] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        answer = self.rcpt.pop(0) if self.rcpt else "250 ok"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.data.pop(0) if self.data else "250 taken"
        if answer == "hang up":
            self.taken.append(cast(bytes, envelope.original_content))
            cast(Any, server).transport.abort()
            return "250 too late"
        if answer.startswith("250"):
            self.taken.append(cast(bytes, envelope.original_content))
        return answer

    def mails(self) -> list[EmailMessage]:
        """What it has, read."""
        return [cast(EmailMessage, email.message_from_bytes(one, policy=default)) for one in self.taken]


@pytest.fixture
def post() -> Iterator[tuple[Post, str]]:
    """The server and its address."""
    taking = Post()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(taking, hostname="127.0.0.1", port=port)
    controller.start()
    yield taking, f"smtp://127.0.0.1:{port}"
    controller.stop()


def with_mail(store: Store, url: str) -> Store:
    """The same books with a mail server; alice has an address."""
    alice(store)
    knobs = {"smtp_url": SecretStr(url) if url else None, "mail_from": "Lab <billing@lab.example>"}
    return Store(store.engine, store.settings.model_copy(update=knobs))


def alice(store: Store, address: str = "alice@example.org", language: Language = Language.ENGLISH) -> Person:
    """Alice, whose documents go to `address`."""
    made = store.run(lambda tx: tx.users.by_name("alice") or users.add(tx, "alice", Role.RESEARCHER, "no password", by=OPERATOR))
    return store.run(lambda tx: users.set_mail(tx, address, language, made), actor="alice")


def again(store: Store) -> None:
    """Whatever waits is due now."""
    store.run(lambda tx: tx.outbox.execute("update outbox set due_at = now() - interval '1 second' where state = 'queued'"))
    drain(store)


def jobs(store: Store) -> list[tuple[JobState, str]]:
    """The mail jobs, oldest first."""
    return [(job.state, job.outcome) for job in reversed(store.read(lambda tx: tx.outbox.newest())) if job.kind == "mail.send"]


def test_a_receipt_is_mailed_with_its_pdf(store: Store, post: tuple[Post, str]) -> None:
    taking, url = post
    here = with_mail(store, url)
    receipt = golden(here)
    drain(here)
    [mail] = taking.mails()
    assert (mail["To"], mail["From"]) == ("alice@example.org", "Lab <billing@lab.example>")
    assert mail["Subject"] == f"Receipt {receipt.number}, Corehours"
    assert mail["Message-ID"] == message_id(receipt.number, "alice@example.org", "lab.example")
    body = mail.get_body()
    assert body is not None and "60.60 THB to be paid by" in body.get_content() and receipt.id in body.get_content()
    [paper] = mail.iter_attachments()
    assert paper.get_filename() == f"{receipt.number}-en.pdf" and cast(bytes, paper.get_content()).startswith(b"%PDF")
    assert [state for state, _ in jobs(here)] == [JobState.DONE]


def test_mail_in_thai(store: Store, post: tuple[Post, str]) -> None:
    taking, url = post
    here = with_mail(store, url)
    alice(here, language=Language.THAI)
    paid(here, golden(here))
    drain(here)
    subjects = sorted(str(mail["Subject"]) for mail in taking.mails())
    assert [subject.split()[0] for subject in subjects] == ["ใบเสร็จรับเงิน", "ใบแจ้งค่าบริการ"]


@pytest.mark.parametrize("fault", ["rcpt", "data"])
def test_a_stutter_is_waited_for(store: Store, post: tuple[Post, str], fault: str) -> None:
    taking, url = post
    getattr(taking, fault).append("451 come again")
    here = with_mail(store, url)
    golden(here)
    drain(here)
    [(state, why)] = jobs(here)
    assert (state, taking.taken) == (JobState.QUEUED, []) and "451 come again" in why
    again(here)
    assert [state for state, _ in jobs(here)] == [JobState.DONE] and len(taking.taken) == 1


def test_a_no_is_not_asked_again(store: Store, post: tuple[Post, str]) -> None:
    taking, url = post
    taking.rcpt.append("550 no such person")
    here = with_mail(store, url)
    golden(here)
    drain(here)
    again(here)
    [(state, why)] = jobs(here)
    assert (state, taking.taken) == (JobState.DEAD, []) and "550 no such person" in why


def test_nobody_listens(store: Store, post: tuple[Post, str]) -> None:
    """Another port: refused, so nothing was sent, and it is tried again."""
    here = with_mail(store, "smtp://127.0.0.1:1")
    golden(here)
    drain(here)
    [(state, why)] = jobs(here)
    assert state is JobState.QUEUED and "Connection refused" in why


def test_a_password_is_not_sent_in_the_clear(store: Store, post: tuple[Post, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody on the way cut STARTTLS out of what the server offers, and listens."""
    taking, url = post
    monkeypatch.setattr(handing_over, "HERE", ())
    here = with_mail(store, url.replace("//", "//billing:secret@"))
    golden(here)
    drain(here)
    [(state, why)] = jobs(here)
    assert (state, taking.taken) == (JobState.QUEUED, []) and "offers no TLS" in why and "secret" not in why


def test_a_lost_answer_brings_the_very_same_message(store: Store, post: tuple[Post, str]) -> None:
    """The server has it and hangs up: nobody knows. What comes again is the same message under the same name, byte for byte."""
    taking, url = post
    taking.data.append("hang up")
    here = with_mail(store, url)
    golden(here)
    drain(here)
    [(state, why)] = jobs(here)
    assert state is JobState.QUEUED and "It may have it." in why
    again(here)
    assert [state for state, _ in jobs(here)] == [JobState.DONE]
    assert len(taking.taken) == 2 and taking.taken[0] == taking.taken[1]


def test_what_a_server_has_taken_is_not_handed_over_again(store: Store, post: tuple[Post, str]) -> None:
    """The process died between the mail and its mark: the next worker finds it noted."""
    taking, url = post
    here = with_mail(store, url)
    golden(here)
    drain(here)
    here.run(lambda tx: tx.outbox.add("mail.send", "the same again", {
        "document": tx.documents.all()[0].number, "recipient": "alice@example.org", "language": "en"}))
    drain(here)
    assert len(taking.taken) == 1 and "was sent before" in jobs(here)[-1][1]


def test_without_a_server_it_is_kept_in_development(store: Store) -> None:
    here = with_mail(store, "")
    receipt = golden(here)
    drain(here)
    [file] = Path(here.settings.home / "mail").glob("*.eml")
    assert file.name.startswith(receipt.number.lower()) and b"application/pdf" in file.read_bytes()


def test_who_has_no_address_gets_none(store: Store, post: tuple[Post, str]) -> None:
    taking, url = post
    here = with_mail(store, url)
    alice(here, "")
    golden(here)
    drain(here)
    assert taking.taken == [] and jobs(here) == []


@pytest.mark.parametrize("wrong", ["alice", "a@b c", "a@b\nBcc: x@y", "<a@b>", "a@b,c@d", "ä@b.org", "a@" + "b" * 300])
def test_what_is_no_address(store: Store, wrong: str) -> None:
    with pytest.raises(BadAddress):
        alice(store, wrong)
