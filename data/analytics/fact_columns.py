"""Facts as columns of whole numbers, some hundred thousand at a time: what pricing millions of runs anew reads of them.

Parquet in a folder is read as it is, each file by its row groups; a lake in a bucket, or one whose files are not all of the
table, is asked through DuckDB. Memory is bounded by how many pieces are read at once. Refuses to know prices.
"""
# ruff: noqa: S608  statements are put together from constants and days; every value is bound

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from sys import intern

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.analytics.lake import Lake
from engine.quick_hours import Ints
from engine.quick_prices import Runs

PIECE = 150_000                 # rows from which row groups are read together
LARGEST = 31 * 2**20            # bytes: more than any column of a piece, and what glibc still learns from
KEYS = ("tier", "account_name", "payer")
TEXTS = (*KEYS, "alloc_tres", "run_key")
NUMBERS = {"elapsed": "elapsed_seconds", "cpus": "alloc_cpus", "gpus": "alloc_gpus", "mem_mib": "alloc_mem_mib",
           "cpu_used": "cpu_used_core_seconds", "mem_used": "mem_used_mib_seconds"}
INSTANTS = ("start_at", "end_at")
FOOTERS = 2048                  # files whose footers are remembered, pieces whose texts are
FEW = 500                       # texts of AllocTRES up to which those of a piece are
_known_texts: dict[tuple[str, tuple[int, ...]], set[str]] = {}
ALWAYS_READ = ("jobs", "cost_micro", "day", "end_at", *KEYS)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some facts of one month: row groups of a file, or the answer of a statement. `spans` has for row groups the smallest and
    largest of INSTANTS, Unix seconds up to a second wide, `same` the columns that are one number throughout; where the file says."""

    path: str
    groups: tuple[int, ...] = ()
    sql: str = ""
    spans: Mapping[str, tuple[int, int]] | None = None
    same: Mapping[str, int] = field(default_factory=dict)

    def on_one_side(self, instants: Iterable[int]) -> bool:
        """Whether of each of these all facts ended before, or none did."""
        if not self.spans:
            return False
        first, last = self.spans["end_at"]
        return all(instant <= first or instant > last for instant in instants)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which facts: those that ended in [since, until), Unix seconds; and what is read of them. Of a job's end `sides` are all that
    matters: whether it ended before each of them; None where the end itself is needed."""

    since: int | None
    until: int | None
    columns: tuple[str, ...]
    texts: Mapping[str, int]    # the place of every text of AllocTRES
    sides: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece's facts in the period. `jobs` is -1 where one takes another back; `cost` is what stands, taken `jobs` times."""

    runs: Runs
    jobs: Ints
    cost: Ints
    day: Ints                   # since 1970
    keys: Mapping[str, tuple[Ints, list[str]]]      # of KEYS: each row's place in the names
    run_key: pl.Series | None

    def named(self, key: str, name: str) -> NDArray[np.bool_]:
        """Of which facts the key is `name`."""
        places, names = self.keys[key]
        return np.array([*(known == name for known in names), False]).take(places)


def keep_memory() -> None:
    """Have the system's memory kept from piece to piece. glibc gives back what is freed above a bound and takes it anew page by
    page, a third of all CPU time; the bound grows to the largest array that it has seen freed."""
    np.empty(LARGEST, np.uint8)


def pieces(lake: Lake, since: datetime | None, until: datetime | None) -> dict[date, list[Piece]]:
    """What must be read for jobs that ended in [since, until), by month of the site, in order. Raises duckdb.Error."""
    first = since.date() - timedelta(1) if since else None
    last = until.date() + timedelta(2) if until else None
    months = lake.fact_files.months(first, last)
    if months is None:
        return {month: [Piece("", sql=_of_month(month))] for month in _months(lake, first, last)}
    cut = _whole if lake.remote else _by_groups
    return {month: [piece for path in paths for piece in cut(path)] for month, paths in months.items()}


def span(pieces_: Sequence[Piece]) -> tuple[int, int] | None:
    """No job of these facts began before the first of these Unix seconds, or ended after the last; None where that is not known."""
    known = [piece.spans for piece in pieces_ if piece.spans]
    if len(known) < len(pieces_) or not known:
        return None
    return min(min(one[name][0] for name in INSTANTS) for one in known), max(one["end_at"][1] for one in known)


def texts_of(lake: Lake, piece: Piece, since: int | None, until: int | None) -> set[str]:
    """Every text of AllocTRES among facts that ended in [since, until)."""
    whole = piece.on_one_side(instant for instant in (since, until) if instant is not None)
    if whole and (known := _known_texts.get((piece.path, piece.groups))) is not None:
        return known
    columns = ("alloc_tres",) if whole else ("end_at", "alloc_tres")
    table = _table(lake, piece, columns)
    table = table if whole else _inside(table, since, until)[0]
    found = {intern(text) for text in table.column("alloc_tres").unique().to_pylist() if text is not None}
    if whole and len(found) <= FEW and len(_known_texts) < FOOTERS:
        _known_texts[piece.path, piece.groups] = found
    return found


def read(lake: Lake, piece: Piece, asked: Asked) -> Chunk:
    """The columns that are asked for; others are zero. Where only a side of an instant matters, all have the end of one of them."""
    alike = asked.sides is not None and piece.on_one_side(asked.sides)
    table = _table(lake, piece, [name for name in asked.columns if name not in piece.same and not (alike and name == "end_at")])
    if alike:
        assert piece.spans is not None
        end = _throughout(piece.spans["end_at"][0], table.num_rows)
    else:
        table, end = _inside(table, asked.since, asked.until)
    known = {name: piece.same[name] for name in asked.columns if name in piece.same}
    jobs = _numbers(table, "jobs", known)
    numbers = {name: _numbers(table, column, known) for name, column in NUMBERS.items()}
    numbers["elapsed"] = np.abs(numbers["elapsed"]) if (jobs < 0).any() else numbers["elapsed"]
    runs = Runs(**numbers, end=end, begin=_begin(table, end), text=_texts(table, asked.texts))
    coded = {key: _coded(table.column(key)) for key in KEYS}
    key = pl.Series(table.column("run_key")) if "run_key" in asked.columns else None
    return Chunk(runs, jobs, _numbers(table, "cost_micro", known), _numbers(table, "day", known), coded, key)


def run_keys(lake: Lake, piece: Piece, asked: Asked, rows: Ints) -> pl.Series:
    """Of some facts in the period."""
    table, _ = _inside(_table(lake, piece, ("end_at", "run_key")), asked.since, asked.until)
    return pl.Series(table.column("run_key").take(pa.array(rows))).cast(pl.String)


def payers_in(lake: Lake, piece: Piece) -> int:
    """How many payers some facts are of; by the dictionaries, so of all that lie beside them at the most."""
    return len(_coded(_table(lake, piece, ("payer",)).column("payer"))[1])


@lru_cache(maxsize=FOOTERS)
def _footer(path: str) -> pq.FileMetaData:
    """What the file says of itself: no file is ever written twice."""
    return pq.read_metadata(path)


@lru_cache(maxsize=FOOTERS)
def _by_groups(path: str) -> tuple[Piece, ...]:
    footer, held, rows, found = _footer(path), list[int](), 0, list[Piece]()
    for group in range(footer.num_row_groups):
        held, rows = [*held, group], rows + footer.row_group(group).num_rows
        if rows >= PIECE or group == footer.num_row_groups - 1:
            found.append(Piece(path, tuple(held), spans=_spans(footer, held), same=_same(footer, held)))
            held, rows = [], 0
    return tuple(found)


def _spans(footer: pq.FileMetaData, groups: Sequence[int]) -> dict[str, tuple[int, int]] | None:
    told = {name: _told(footer, groups, name) for name in INSTANTS}
    if not all(told.values()):
        return None
    return {name: (min(int(one.min.timestamp()) for one in some), max(int(one.max.timestamp()) + 1 for one in some))
            for name, some in told.items()}


def _same(footer: pq.FileMetaData, groups: Sequence[int]) -> dict[str, int]:
    found = {}
    for name in ("jobs", "day", *NUMBERS.values()):
        told = _told(footer, groups, name)
        ends = {number for one in told for number in (one.min_raw, one.max_raw)}
        if len(ends) == 1 and not any(one.null_count for one in told):
            found[name] = ends.pop()
    return found


def _told(footer: pq.FileMetaData, groups: Sequence[int], name: str) -> list[pq.Statistics]:
    """What the file says of a column of some row groups; nothing where it does not say it of all."""
    place = footer.schema.names.index(name)
    told = [footer.row_group(group).column(place).statistics for group in groups]
    return told if all(one is not None and one.has_min_max and one.has_null_count for one in told) else []


def _whole(path: str) -> Iterator[Piece]:
    yield Piece(path, sql="select {} from read_parquet($path, hive_partitioning = false)")


def _of_month(month: date) -> str:
    return f"select {{}} from lake.usage_fact where day >= '{month}'::date and day < '{month}'::date + interval 1 month"


def _months(lake: Lake, first: date | None, last: date | None) -> Sequence[date]:
    found = lake.ask("select distinct date_trunc('month', day)::date as month from lake.usage_daily where ($first::date is null or"
                     " day >= $first) and ($last::date is null or day < $last) order by 1", {"first": first, "last": last})
    return found["month"].to_list()


def _table(lake: Lake, piece: Piece, columns: Sequence[str]) -> pa.Table:
    if not piece.sql:
        with pa.OSFile(piece.path) as source, pq.ParquetFile(
                source, metadata=_footer(piece.path), read_dictionary=list(TEXTS[:4]), pre_buffer=False) as file:
            return file.read_row_groups(list(piece.groups), columns=list(columns), use_threads=False)
    with lake.cursor() as duck:
        values = {"path": piece.path} if piece.path else {}
        return duck.execute(piece.sql.format(", ".join(columns)), values).to_arrow_table()


def _inside(table: pa.Table, since: int | None, until: int | None) -> tuple[pa.Table, Ints]:
    """Those that ended in [since, until), and when."""
    end = _micros(table, "end_at") // 1_000_000
    early = since is not None and len(end) and end.min() < since
    late = until is not None and len(end) and end.max() >= until
    if not early and not late:
        return table, end
    kept = np.ones(len(end), bool)
    if since is not None:
        kept &= end >= since
    if until is not None:
        kept &= end < until
    return table.filter(pa.array(kept)), end[kept]


def _begin(table: pa.Table, end: Ints) -> Ints:
    """max(Start, Submit), no later than the end; without a start the end."""
    if "start_at" not in table.column_names:
        return _throughout(0, len(end))
    start = pc.fill_null(table.column("start_at").cast(pa.int64()), np.iinfo(np.int64).max).to_numpy()
    begin: Ints = np.minimum(np.maximum(start, _micros(table, "submit_at")) // 1_000_000, end)
    return begin


def _micros(table: pa.Table, name: str) -> Ints:
    return np.asarray(table.column(name).cast(pa.int64()).to_numpy(), np.int64)


def _numbers(table: pa.Table, name: str, known: Mapping[str, int]) -> Ints:
    if name not in table.column_names:
        return _throughout(known.get(name, 0), table.num_rows)
    column = table.column(name)
    if pa.types.is_date(column.type):
        column = column.cast(pa.int32()).cast(pa.int64())
    return np.asarray(column.to_numpy(), np.int64)


def _throughout(number: int, rows: int) -> Ints:
    return np.broadcast_to(np.array(number, np.int64), (rows,))


def _texts(table: pa.Table, texts: Mapping[str, int]) -> Ints:
    if "alloc_tres" not in table.column_names:
        return _throughout(len(texts), table.num_rows)
    places, names = _coded(table.column("alloc_tres"))
    known = np.array([*(texts.get(name, len(texts)) for name in names), len(texts)], np.int64)
    return np.asarray(known[places], np.int64)


def _coded(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Each row's place among the distinct texts; -1 for none."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    if not coded.num_chunks:
        return np.zeros(0, np.int64), []
    unified = coded.unify_dictionaries().chunks
    places = [np.asarray(pc.fill_null(chunk.indices, -1) if chunk.null_count else chunk.indices) for chunk in unified]
    return np.concatenate(places, dtype=np.int64), unified[0].dictionary.to_pylist()


def period(since: datetime | None, until: datetime | None) -> tuple[int | None, int | None]:
    """As Unix seconds; an instant between two seconds is after the first of them."""
    def up(instant: datetime) -> int:
        return -int(-instant.timestamp() // 1)
    return (up(since) if since else None), (up(until) if until else None)


