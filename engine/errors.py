"""Refusals. One class per refusal; its docstring is the plain sentence a person sees.

`code` is for logs and JSON, `status` for HTTP. A refusal says what, where and how to mend it; what is
particular to this case is the `detail`. Bugs are not refusals: they stay loud as ordinary exceptions.
"""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """The request was refused."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The docstring's first line, then what is particular to this case."""
        head = (type(self).__doc__ or "").strip().splitlines()[0]
        return f"{head} {self.detail}".strip()


class NotAllowed(DomainError):
    """Your role does not allow this."""

    code, status = "not_allowed", 403


class NotFound(DomainError):
    """There is no such thing here."""

    code, status = "not_found", 404


class MoneyError(DomainError):
    """This amount of money cannot be used."""

    code = "money"


class IllegalMove(DomainError):
    """This step is not possible in the present state."""

    code, status = "illegal_move", 409


class RateError(DomainError):
    """The rate card cannot be used."""

    code = "rates"


class NothingToBill(DomainError):
    """There is nothing to bill."""

    code, status = "nothing_to_bill", 409


class BatchRefused(DomainError):
    """The whole batch was set aside and nothing was loaded."""

    code, status = "batch_refused", 422
