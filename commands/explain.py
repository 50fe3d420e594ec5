"""Why a job costs what it costs, or why it was not charged; and what a month costs at least."""

from __future__ import annotations

import argparse
import json
import re
from datetime import date

from commands.installation import installation
from data.postgres.store import PostgresTransaction, Store
from engine.commitment_text import nothing_lines, standing_json, standing_lines
from engine.errors import DomainError
from engine.explain_json import as_json
from engine.explain_text import lines
from engine.periods import TimeError
from engine.policy import OPERATOR
from engine.services.commitments import month_standing
from engine.services.explain import explain_job

HELP = "explain JOB: the price with every factor and record behind it, or why there is none; --month M -u USER: a month's minimum"


class NothingAsked(DomainError):
    """Say which job, or a month and a user."""

    code = "nothing_asked"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `explain`."""
    parser.add_argument("job", metavar="JOB", nargs="?", help="a job id (12, 12_3, 12+1), a raw id or a run key; every run of it is "
                        "explained")
    parser.add_argument("--cluster", default="", metavar="C", help="only on this cluster")
    parser.add_argument("--month", metavar="YYYY-MM", help="instead of a job: what that month costs a user at least, and why")
    parser.add_argument("-u", "--user", help="whose month")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Explain and print; exit 1 when the books and the rating function disagree."""
    if (args.job is None) != (args.month is not None and args.user is not None):
        raise NothingAsked("A job such as ./corehours explain 12, or ./corehours explain --month 2026-10 -u USER.")
    with installation() as store:
        if args.job is None:
            return _month(store, args)
        answer = store.read(lambda tx: explain_job(tx, args.job, OPERATOR, args.cluster))
        said = json.dumps(as_json(answer), ensure_ascii=False) if args.json else "\n".join(lines(answer, store.settings.zone))
    print(said)
    return 1 if any(one.disagrees for one in answer.runs) else 0


def _month(store: Store, args: argparse.Namespace) -> int:
    month = _first_day(args.month)

    def read(tx: PostgresTransaction) -> str:
        found = month_standing(tx, args.user, month, OPERATOR)
        if args.json:
            return json.dumps([standing_json(one) for one in found], ensure_ascii=False)
        said = [line for one in found for line in standing_lines(one, tx.now, tx.settings.zone)]
        return "\n".join(said or nothing_lines(args.user, month))
    print(store.read(read))
    return 0


def _first_day(text: str) -> date:
    found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", text)
    if not found or not int(found[1]):
        raise TimeError(f"{text!r} is not a month such as 2026-10.")
    return date(int(found[1]), int(found[2]), 1)
