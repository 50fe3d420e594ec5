"""Tables as files: CSV that opens harmlessly in a spreadsheet, Parquet as it is.

Money leaves as exact decimals in text form, instants as ISO 8601 in UTC, names as they are.
"""

from __future__ import annotations

from io import BytesIO

import polars as pl

FORMULA = r"^[=+\-@＝＋－＠\x00-\x1f\x7f]"         # full-width signs and control characters too


def csv(rows: pl.DataFrame) -> bytes:
    """UTF-8 with a byte order mark; a text a spreadsheet would run as a formula begins with an apostrophe."""
    safe = [pl.when(pl.col(name).str.contains(FORMULA)).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
            for name, dtype in rows.schema.items() if dtype == pl.String]
    return rows.with_columns(safe).write_csv(include_bom=True, datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()


def parquet(rows: pl.DataFrame) -> bytes:
    """Parquet, columns and types as they are."""
    out = BytesIO()
    rows.write_parquet(out)
    return out.getvalue()


def exact(name: str) -> pl.Expr:
    """A column of micro-units as a decimal with six places: 60.600000, summable without loss."""
    return (pl.col(name).cast(pl.Decimal(38, 6)) / pl.lit(1_000_000, pl.Decimal(38, 6))).cast(pl.Decimal(38, 6))
