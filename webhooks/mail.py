"""Mail by SMTP: one message to one recipient in one conversation, and what is known of it when that breaks off.

Before the message's last line nothing was sent: again. A permanent no is not asked again. When the line goes dead after it, nobody
knows: the same message goes again under the same Message-ID, byte for byte, which mail systems know how to treat as one.
"""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from engine.mail import Letter
from engine.outbox import JobTrouble
from engine.payments import Outcome

SECONDS = 20.0
HERE = ("localhost", "127.0.0.1", "::1")        # nobody listens on the way to these


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server from smtp://user:password@host:587 or smtps://host; STARTTLS wherever it is offered."""

    host: str
    port: int
    tls: bool
    user: str = ""
    password: str = ""

    @classmethod
    def from_url(cls, url: str) -> Server:
        """The server that the settings name."""
        parts = urlsplit(url)
        tls = parts.scheme == "smtps"
        return cls(parts.hostname or "localhost", parts.port or (465 if tls else 587 if parts.username else 25), tls,
                   unquote(parts.username or ""), unquote(parts.password or ""))


def message(letter: Letter, sender: str, at: datetime, paper: bytes) -> bytes:
    """The mail as it goes over the line, with its document if there is one: the same letter makes the same bytes."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, letter.recipient, letter.subject
    mail["Date"], mail["Message-ID"] = format_datetime(at), letter.message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.body, cte="base64")
    if paper:
        mail.add_attachment(paper, maintype="application", subtype="pdf", filename=f"{letter.document}-{letter.language}.pdf")
        mail.set_boundary(f"=_{letter.message_id.strip('<>').replace('@', '_')[:60]}")
    return mail.as_bytes()


def send(server: Server, sender: str, recipient: str, wire: bytes) -> None:
    """Hand the message over; raises JobTrouble that says whether to ask again."""
    try:
        connection = _open(server)
    except smtplib.SMTPException as error:
        raise _trouble(error) from None
    except OSError as error:
        raise JobTrouble(f"{server.host}: {error}.") from None
    try:
        _hand_over(connection, server, sender, recipient, wire)
    finally:
        connection.close()


def _open(server: Server) -> smtplib.SMTP:
    if server.tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(server.host, server.port, timeout=SECONDS)


def _hand_over(connection: smtplib.SMTP, server: Server, sender: str, recipient: str, wire: bytes) -> None:
    try:
        secret = server.tls or server.host in HERE
        connection.ehlo()
        if not server.tls and connection.has_extn("starttls"):
            connection.starttls(context=ssl.create_default_context())
            connection.ehlo()
            secret = True
        if server.user and not secret:
            raise JobTrouble(f"{server.host} offers no TLS, and the password is not sent in the clear: is smtps:// meant?")
        if server.user:
            connection.login(server.user, server.password)
        _said(connection.mail(sender))
        _said(connection.rcpt(recipient))
        _said(connection.docmd("DATA"), wanted=3)
    except smtplib.SMTPException as error:
        raise _trouble(error) from None
    except OSError as error:
        raise JobTrouble(f"{server.host} broke off before the message: {error}.") from None
    try:
        connection.send(_dotted(wire))
        _said(connection.getreply())
    except smtplib.SMTPResponseException as error:
        raise _trouble(error) from None
    except (smtplib.SMTPException, OSError) as error:
        raise JobTrouble(f"{server.host} broke off after the message: {error}. It may have it.", Outcome.UNKNOWN) from None


def _dotted(wire: bytes) -> bytes:
    body = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in wire.split(b"\r\n"))
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _said(answer: tuple[int, bytes], wanted: int = 2) -> None:
    code, text = answer
    if code == -1:
        raise smtplib.SMTPServerDisconnected("the line went dead")
    if code // 100 != wanted:
        raise smtplib.SMTPResponseException(code, text)


def _trouble(error: smtplib.SMTPException) -> JobTrouble:
    """4xx may pass, 5xx will not; a line that went dead before the message sent nothing."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error if isinstance(error.smtp_error, str) else error.smtp_error.decode("utf-8", "replace")
        refused = error.smtp_code >= 500
        return JobTrouble(f"The mail server says {error.smtp_code} {text[:200]}.", Outcome.REFUSED if refused else Outcome.NOT_DONE)
    return JobTrouble(f"{error}.")


def keep(folder: Path, letter: Letter, wire: bytes) -> Path:
    """In development without a server: the mail as a file, the same one each time."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{letter.message_id.strip('<>')}.eml"
    file.write_bytes(wire)
    return file
