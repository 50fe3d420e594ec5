"""Whole numbers beyond 64 bits in frames of any engine: products that must not wrap, and division that must not round.

polars and DuckDB have 128-bit integers. Spark has none, and divides in floating point: there the same numbers are
decimals of 38 digits and a quotient is taken in two digits, each small enough to be exact. Casts are strict. What is
too large for the wide type is an error of DuckDB and Spark, but polars wraps: who multiplies there looks first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw

DIGIT = 2**32                   # a quotient below 2**63 has two such digits; a double holds each exactly


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How one engine counts in wide whole numbers."""

    decimals: bool
    narrow: bool = False            # 64 bits hold every product: whoever says so has looked

    def wide(self, expression: nw.Expr) -> nw.Expr:
        """`expression`, a whole number, in the engine's widest type."""
        if self.narrow:
            return expression.cast(nw.Int64)
        return expression.cast(nw.Decimal(38, 0) if self.decimals else nw.Int128)

    def floor(self, numerator: nw.Expr, denominator: nw.Expr) -> nw.Expr:
        """`numerator` / `denominator` cut to a whole Int64; both wide, the first >= 0, the second > 0."""
        if not self.decimals:
            return (numerator // denominator).cast(nw.Int64)
        upper = self.wide(denominator * DIGIT)
        rest = numerator % upper
        return _exact(numerator - rest, upper) * DIGIT + _exact(rest - rest % denominator, denominator)


def arithmetic(frame: nw.DataFrame[Any] | nw.LazyFrame[Any]) -> Arithmetic:
    """The arithmetic of the engine that `frame` is of."""
    return Arithmetic(frame.implementation.is_spark_like())


def _exact(multiple: nw.Expr, of: nw.Expr) -> nw.Expr:
    """How often `of` goes into a multiple of it, at most DIGIT times."""
    return (multiple / of).cast(nw.Int64)
