"""Lines of bank statements, and the payments they may speak of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.bank import NAME, BankLine, LineState, NewLine

_COLUMNS = ", ".join(BankLine.__slots__)


class BankShelf(Shelf):
    """Rows of bank_line."""

    def known(self, keys: Collection[str]) -> set[str]:
        """Which of these lines were brought before."""
        return {row.line_key for row in self.rows("select line_key from bank_line where line_key = any(:keys)", keys=list(keys))}

    def add(self, lines: Sequence[NewLine], source: str, by: str) -> int:
        """Keep lines; those that were brought before are passed over. How many were new."""
        return sum(self.execute(
            "insert into bank_line (line_key, booked_on, amount_micro, currency, text, bank_ref, source, brought_by)"
            " values (:key, :on, :amount, :currency, :text, :ref, :source, :by) on conflict do nothing",
            key=line.key, on=line.booked_on, amount=line.amount_micro, currency=line.currency, text=line.text, ref=line.bank_ref,
            source=source, by=by) for line in sorted(lines, key=lambda line: line.key))

    def get(self, id: int, lock: bool = False) -> BankLine | None:
        """One line."""
        return _line(self.one(f"select {_COLUMNS} from bank_line where id = :id{' for update' if lock else ''}", id=id))  # noqa: S608

    def listed(self, state: str = "", text: str = "", most: int = 500) -> list[BankLine]:
        """The newest lines in a state, holding these words."""
        pattern = "".join(f"\\{letter}" if letter in r"\%_" else letter for letter in text.strip())
        rows = self.rows(f"select {_COLUMNS} from bank_line where (:state = '' or state = :state)"  # noqa: S608
                         r" and (:holds = '%%' or text ilike :holds escape '\' or bank_ref ilike :holds escape '\')"
                         " order by booked_on desc, id desc limit :most", state=state, holds=f"%{pattern}%", most=most)
        return [line for row in rows if (line := _line(row))]

    def counts(self) -> dict[str, int]:
        """How many lines are in each state."""
        return {row.state: int(row.lines) for row in self.rows("select state, count(*) as lines from bank_line group by state")}

    def decide(self, line: BankLine, to: LineState, payment_id: str | None, note: str, by: str | None, at: datetime | None) -> None:
        """What became of it."""
        self.execute("update bank_line set state = :to, payment_id = :payment, note = :note, decided_by = :by, decided_at = :at"
                     " where id = :id", id=line.id, to=str(to), payment=payment_id, note=note, by=by, at=at)

    def awaited(self) -> list[str]:
        """References of transfers that were asked for and have not come, newest first."""
        return [row.reference for row in self.rows(
            "select reference from payment where provider = :name and received_micro = 0 order by created_at desc limit 1000", name=NAME)]


def _line(row: sa.Row[Any] | None) -> BankLine | None:
    if row is None:
        return None
    values = {name: getattr(row, name) for name in BankLine.__slots__}
    return BankLine(**values | {"state": LineState(row.state)})
