"""Take usage in: from a file, from sacct, from slurmrestd, or from the configured chain of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from commands.installation import installation
from commands.output import table
from data.settings import Settings
from engine.money import amount_text
from engine.periods import parse_span
from engine.ports import UsageSource
from engine.usage import Rejection, UsageBatch
from ingest.chain import configured
from ingest.keep import Kept
from ingest.pricing import price_text
from ingest.run import FIRST, due, take
from ingest.sources.file import FileSource
from ingest.sources.sacct import SacctSource
from ingest.sources.slurmrestd import SlurmrestdSource

HELP = "take usage in: ingest slurm --file F, --sacct or --slurmrestd URL; or price a file without keeping it"
SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ingest`."""
    kinds = parser.add_subparsers(dest="kind", required=True)
    slurm = kinds.add_parser("slurm", help="Slurm accounting; without a source the configured ones in turn")
    source = slurm.add_mutually_exclusive_group()
    source.add_argument("--file", type=Path, metavar="F", help="sacct --parsable2 or --json, or an answer of slurmrestd")
    source.add_argument("--sacct", action="store_true", help="run sacct (COREHOURS_SACCT)")
    source.add_argument("--slurmrestd", metavar="URL", help="ask slurmrestd (token: COREHOURS_SLURMRESTD_TOKEN)")
    slurm.add_argument("--cluster", default="", metavar="NAME", help="the cluster, where the data names none")
    slurm.add_argument("-S", "--starttime", metavar="TIME", help="jobs that were there at or after this; default: all")
    slurm.add_argument("-E", "--endtime", metavar="TIME", help="jobs that were there before this; default: now")
    slurm.add_argument("--json", action="store_true")
    price = kinds.add_parser("price", help="price a file of sacct's into Parquet; nothing is kept")
    price.add_argument("--file", type=Path, metavar="F", required=True, help="sacct --parsable2")
    price.add_argument("--out", type=Path, metavar="F", required=True, help="the Parquet file to write, one row a run")
    price.add_argument("--tier", required=True, help="the tier whose cards price it")
    price.add_argument("--cluster", default="", metavar="NAME", help="the cluster, where the data names none")
    price.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Read, keep, tell. A batch that is refused ends with exit code 3."""
    return _price(args) if args.kind == "price" else _ingest(args)


def _price(args: argparse.Namespace) -> int:
    with installation() as store, _bar(args.json) as bar:
        book = store.read(lambda tx: tx.rates.book())
        priced = price_text(FileSource(args.file, args.cluster).material(), args.out, args.tier, book, bar.reading)
    totals = {currency: amount_text(micro, currency) for currency, micro in sorted(priced.cost_micro.items())}
    if args.json:
        rejected = [{"line": one.line, "reason": one.reason, "text": one.text} for one in priced.rejected]
        print(json.dumps({"lines": priced.lines, "runs": priced.runs, "cost_micro": priced.cost_micro, "rejected": rejected,
                          "notes": list(priced.notes), "out": str(args.out)}, ensure_ascii=False))
        return 0
    costs = ", ".join(f"{text} {currency}" for currency, text in totals.items()) or "nothing"
    print("\n".join([f"{_many(priced.lines, 'line')}, {_many(priced.runs, 'run')}: {costs}. Written to {args.out}.", *priced.notes,
                     *_rejections(priced.rejected)]))
    return 0


def _ingest(args: argparse.Namespace) -> int:
    with installation() as store, _bar(args.json) as bar:
        source = _source(args, store.settings)
        now = store.read(lambda tx: tx.now)
        window = _window(args, now, store.settings)
        if source.name == "chain" and window is None:
            window = store.read(due)
        kept, batch = take(store, source, window, bar.reading, bar.keeping, actor="operator")
    print(json.dumps(summary(kept, batch), ensure_ascii=False) if args.json else _told(kept, batch))
    return 0


def _source(args: argparse.Namespace, settings: Settings) -> UsageSource:
    cluster = args.cluster or settings.slurm_cluster
    if args.file:
        return FileSource(args.file, cluster)
    if args.sacct:
        return SacctSource(settings.sacct, cluster)
    if args.slurmrestd:
        return SlurmrestdSource(args.slurmrestd, settings.slurmrestd_token, settings.slurmrestd_user, cluster)
    return configured(settings.model_copy(update={"slurm_cluster": cluster}))


def _window(args: argparse.Namespace, now: datetime, settings: Settings) -> tuple[int, int] | None:
    """What -S and -E say; without them everything of sacct and slurmrestd, the whole of a file."""
    start, end = parse_span(args.starttime, args.endtime, now.astimezone(UTC), settings.zone)
    if start is None and end is None and not (args.sacct or args.slurmrestd):
        return None
    return (int(start.timestamp()) if start else FIRST, int((end or now).timestamp()))


def summary(kept: Kept, batch: UsageBatch) -> dict[str, object]:
    """What came, as JSON values."""
    return {"source": batch.source, "lines": batch.lines, "jobs": kept.jobs, "new": kept.new, "changed": kept.changed,
            "unchanged": kept.unchanged,
            "rejected": [{"line": one.line, "reason": one.reason, "text": one.text} for one in batch.rejected],
            "notes": [*kept.notes, *(f"Not taken: {why}" for why in batch.skipped)]}


def _told(kept: Kept, batch: UsageBatch) -> str:
    lines = [f"{batch.origin}: {_many(batch.lines, 'line')}, {_many(kept.jobs, 'job')}: {kept.new:,} new, "
             f"{kept.changed:,} changed, {kept.unchanged:,} unchanged.",
             *kept.notes, *(f"Not taken: {why}" for why in batch.skipped)]
    return "\n".join([*lines, *_rejections(batch.rejected)])


def _rejections(rejected: Sequence[Rejection]) -> list[str]:
    if not rejected:
        return []
    rows = [(one.line, one.reason, one.text[:60]) for one in rejected[:SHOWN]]
    return ["", f"Rejected, {_many(len(rejected), 'line')}:", table(("line", "reason", "text"), rows, right=(0,))]


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class _Bar:
    """A bar on stderr, for reading and then for keeping."""

    def __init__(self, shown: bool) -> None:
        self.shown, self.drawn = shown, ""

    def reading(self, share: float) -> None:
        self._draw("Reading", share)

    def keeping(self, share: float) -> None:
        self._draw("Keeping", share)

    def clear(self) -> None:
        if self.drawn:
            sys.stderr.write("\r\033[K")

    def _draw(self, what: str, share: float) -> None:
        full = round(share * 30)
        text = f"\r{what} {'█' * full}{'░' * (30 - full)} {share:4.0%}"
        if self.shown and text != self.drawn:
            self.drawn = text
            sys.stderr.write(text)
            sys.stderr.flush()


@contextmanager
def _bar(quiet: bool) -> Iterator[_Bar]:
    bar = _Bar(not quiet and sys.stderr.isatty())
    try:
        yield bar
    finally:
        bar.clear()
