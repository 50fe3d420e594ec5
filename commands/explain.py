"""Why a job costs what it costs, or why it was not charged."""

from __future__ import annotations

import argparse
import json

from commands.installation import installation
from engine.explain_json import as_json
from engine.explain_text import lines
from engine.policy import OPERATOR
from engine.services.explain import explain_job

HELP = "explain JOB: the price with every factor and record behind it, or why there is none"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `explain`."""
    parser.add_argument("job", metavar="JOB", help="a job id (12, 12_3, 12+1), a raw id or a run key; every run of it is explained")
    parser.add_argument("--cluster", default="", metavar="C", help="only on this cluster")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Explain and print; exit 1 when the books and the rating function disagree."""
    with installation() as store:
        answer = store.read(lambda tx: explain_job(tx, args.job, OPERATOR, args.cluster))
        said = json.dumps(as_json(answer), ensure_ascii=False) if args.json else "\n".join(lines(answer, store.settings.zone))
    print(said)
    return 1 if any(one.disagrees for one in answer.runs) else 0
