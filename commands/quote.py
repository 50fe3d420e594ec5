"""What a job would cost: from options, from a batch script, or from a script with options in place of its own."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from commands.installation import installation
from commands.output import table
from engine.explain import decimal
from engine.money import amount_text, exact_text
from engine.policy import OPERATOR
from engine.quote_words import asked_words, cover_words, price_text, quantity_text
from engine.quotes import Quote, Step, time_lines
from engine.sbatch import MOST_BYTES, BadRequest, Option, Request, overridden, request, script_options, script_text
from engine.services.quotes import Owing, Quoted, Standing, make_quote

HELP = "what a job would cost, step by step, and what would be cheaper: --cpus N --time T, or job.sh"
STATED = {"cpus": "cpus", "gpus": "gpus", "gpu_model": "gpu-model", "mem": "mem-total", "time": "time", "nodes": "nodes",
          "start": "start", "account": "account", "count": "count", "billing": "billing"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `quote`; what is stated beside a script takes the place of what the script says."""
    parser.add_argument("script", nargs="?", metavar="job.sh", help="a batch script: its #SBATCH lines are read; - for standard input")
    parser.add_argument("--cpus", metavar="N", help="CPU cores of the whole job")
    parser.add_argument("--gpus", metavar="N", help="GPUs of the whole job; a100:2 names the model too")
    parser.add_argument("--gpu-model", metavar="MODEL", help="their model, such as a100")
    parser.add_argument("--mem", metavar="SIZE", help="memory of the whole job, such as 128G (a bare number is MiB)")
    parser.add_argument("-t", "--time", metavar="TIME", help="how long it runs at most: minutes, HH:MM:SS, D-HH:MM:SS")
    parser.add_argument("-N", "--nodes", metavar="N", help="nodes (1)")
    parser.add_argument("--start", metavar="TIME", help="when it starts, such as 2026-11-22T18:00 or now+2hours (now)")
    parser.add_argument("--count", metavar="N", help="how many such jobs")
    parser.add_argument("--billing", metavar="N", help="billing units Slurm counts for it, for cards that bill those")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("-u", "--user", default="", help="priced at this payer's tier, beside what they owe")
    who.add_argument("--tier", default="", help="priced at this tier")
    parser.add_argument("-A", "--account", metavar="PROJECT", help="the Slurm account it runs in")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Read the request, price it on one snapshot, print."""
    options = overridden(script_options(*_read(args.script)) if args.script else (), _stated(args))
    if not args.script and args.cpus is None:
        raise BadRequest("Say what it needs: --cpus 16 --mem 64G --time 12:00:00, or name a job script.")
    with installation() as store:
        zone = store.settings.zone
        asked = request(options, datetime.now(UTC), zone)
        made = store.read(lambda tx: make_quote(tx, asked, OPERATOR, args.user, args.tier))
    print(json.dumps(as_json(made)) if args.json else as_text(made, args.user, zone))
    return 0


def _stated(args: argparse.Namespace) -> tuple[Option, ...]:
    given = {name: getattr(args, name) for name in STATED}
    return tuple(Option(STATED[name], value, "On the command line") for name, value in given.items() if value is not None)


def _read(name: str) -> tuple[str, str]:
    try:
        raw = sys.stdin.buffer.read(MOST_BYTES + 1) if name == "-" else _bytes(Path(name))
    except (OSError, ValueError) as error:
        raise BadRequest(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    said = "the script" if name == "-" else name
    return script_text(raw, said), said


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def as_json(made: Quoted) -> dict[str, object]:
    """The quote as plain words and numbers; money in micro-units, instants in UTC."""
    quote, owing = made.quote, made.owing
    return {
        "currency": quote.card.currency, "rate_card": quote.card.name, "policy": str(quote.card.policy), "tier": quote.tier,
        "rounding": str(quote.card.rounding), "total_micro": quote.total_micro, "at_most": True,
        "start": _utc(quote.start), "end": _utc(quote.end), "request": _request(quote.request),
        "steps": [_step(step) for step in quote.steps], "time_factor": quote.factor.rstrip("…"),
        "times": [{"modifiers": list(part.modifiers), "factor": decimal(part.factor_ppm, 10**6), "seconds": part.seconds}
                  for part in quote.times],
        "alternatives": [{"what": one.what, "kind": one.kind, "total_micro": one.total_micro, "saves_micro": one.saves_micro,
                          "start": _utc(one.start), "request": _request(one.request)} for one in quote.alternatives],
        "owing": owing and {"payer": owing.payer, "open_receipts_micro": owing.open_receipts, "unbilled_micro": owing.unbilled,
                            "since": _utc(owing.since)},
        "wallets": [_standing(one) for one in made.wallets],
        "notes": list(quote.notes)}


def _standing(one: Standing) -> dict[str, object]:
    cover = one.cover
    return {"owner": cover.wallet.owner, "currency": cover.wallet.currency, "available_micro": cover.wallet.available_micro,
            "frozen_micro": cover.wallet.frozen_micro, "covers": cover.covers, "left_micro": cover.left_micro,
            "missing_micro": cover.missing_micro, "missing_with_owed_micro": cover.missing_with_owed_micro,
            "top_up": one.top_up or None}


def _step(step: Step) -> dict[str, object]:
    return {"meter": step.meter, "what": step.what, "unit": step.unit or None,
            "quantity": quantity_text(step.quantity_micro).replace(",", "") if step.unit else None, "price_micro": step.price_micro,
            "factor": step.factor.rstrip("…") or None, "amount_micro": step.amount_micro, "detail": step.detail or None}


def _request(asked: Request) -> dict[str, object]:
    return {"cpus": asked.cpus, "nodes": asked.nodes, "gpus": [{"model": model or None, "count": number} for model, number in asked.gpus],
            "mem_mib": asked.mem_mib, "seconds": asked.seconds, "count": asked.count, "at_once": asked.at_once or None,
            "account": asked.account or None}


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_text(made: Quoted, payer: str, zone: ZoneInfo) -> str:
    """The quote for people."""
    quote, currency = made.quote, made.quote.card.currency
    rows = [[step.what, f"{quantity_text(step.quantity_micro)} {step.unit}s" if step.unit else "",
             "" if step.price_micro is None else f"× {exact_text(step.price_micro)}", f"× {step.factor}" if step.unit else "",
             exact_text(step.amount_micro)] for step in quote.steps]
    rows.append(["At most", "", "", currency, _money(quote.total_micro, quote)])
    parts = [f"{asked_words(quote.request)}, from {_local(quote.start, zone)} to {_local(quote.end, zone)}",
             f"Tier {quote.tier}{f' of {payer}' if payer else ''}, card {quote.card.name}, policy {quote.card.policy}",
             "", table(["Meter", "Quantity", "Price", "Time", f"Cost, {currency}"], rows, right=(1, 2, 3, 4))]
    behind = [*(f"{step.what}: {step.detail}." for step in quote.steps if step.detail),
              *(f"{line}." for line in time_lines(quote, zone))]
    parts += ["", *behind] if behind else []
    if quote.alternatives:
        parts += ["", table(["Cheaper", "Start", f"Cost, {currency}", "Saves"], [
            [one.what, _local(one.start, zone), _money(one.total_micro, quote), _money(one.saves_micro, quote)]
            for one in quote.alternatives], right=(2, 3))]
    if made.owing:
        parts += ["", owing_words(made.owing), *map(standing_words, made.wallets)]
    return "\n".join(_plain(line) for line in [*parts, "", *quote.notes])


def standing_words(one: Standing) -> str:
    """What a wallet holds beside the quote; where something is missing, where to top it up."""
    place = f" Top up: {one.top_up}" if one.top_up and one.cover.missing_with_owed_micro else ""
    return f"Wallet of {one.cover.wallet.owner}: {cover_words(one.cover)}{place}"


def owing_words(owing: Owing) -> str:
    """What the payer owes already, by currency."""
    def sums(micro: dict[str, int]) -> str:
        return " and ".join(f"{amount_text(amount, currency)} {currency}" for currency, amount in sorted(micro.items())) or "nothing"
    return (f"{owing.payer}: open receipts {sums(dict(owing.open_receipts))}, unbilled so far this month "
            f"{sums(dict(owing.unbilled))}.")


def _money(micro: int, quote: Quote) -> str:
    return price_text(micro, quote.card.currency)


def _local(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).strftime("%a %d %b %H:%M")


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "·" for letter in text)
