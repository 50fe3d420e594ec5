"""The copy priced on Apache Spark, one machine or many: for when one is too small (docs/scale.md).

Spark is optional (requirements-spark.txt, Java 17 or newer). A lake in a bucket is read by pyarrow in Spark's Python
workers, which reaches S3 without any jar of Hadoop's; a lake in a folder by Spark itself.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import narwhals as nw
import polars as pl

from data.analytics.files import COLUMNS, Facts, as_usage
from data.analytics.rated import Frame, too_large, totals
from data.settings import Settings
from engine.errors import DomainError
from engine.rate_frames import Book
from engine.rates import NODE_TIER

Session = Any                       # pyspark.sql.SparkSession, which need not be there
_CONFIG = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.session.timeZone": "UTC",
           "spark.sql.ansi.enabled": "true"}       # an overflow is an error, never a null
_LOCAL = {"spark.sql.shuffle.partitions": "8"}
_SCHEMA = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())


class NoSpark(DomainError):
    """Spark is not there."""

    code, status = "spark", 503


def session(master: str = "local[*]") -> Session:
    """A Spark session; whatever spark-submit or SPARK_CONF_DIR says besides counts. Raises NoSpark."""
    if importlib.util.find_spec("pyspark") is None:
        raise NoSpark("pyspark is not installed: pip install -r requirements-spark.txt, with the pip of this environment.")
    if shutil.which("java") is None:
        raise NoSpark("Spark needs Java 17 or newer: apt-get install openjdk-17-jre-headless.")
    from pyspark.sql import SparkSession
    builder, here = SparkSession.builder.master(master).appName("corehours"), master.startswith("local")
    if here:                            # the workers' Python; the first python3 on the path would lack pyarrow
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for name, value in (_CONFIG | (_LOCAL if here else {})).items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")            # what goes wrong is raised
    return made


def by_spark(spark: Session, settings: Settings, facts: Facts, book: Book) -> pl.DataFrame:
    """`totals` (data/analytics/rated.py), by Spark."""
    from pyspark.errors import ArithmeticException

    def side(_: str, table: pl.DataFrame) -> Frame:
        frame: Frame = nw.from_native(spark.createDataFrame(table.to_arrow()))
        return frame
    try:
        return totals(nw.from_native(usage(spark, settings, facts)), side, facts, book)
    except ArithmeticException as error:
        raise too_large(error) from None


def usage(spark: Session, settings: Settings, facts: Facts) -> Any:
    """The facts as usage, a Spark DataFrame."""
    rows = _read(spark, settings, facts)
    rows = rows.where(rows.tier != NODE_TIER)
    if facts.begin:
        rows = rows.where(rows.end_at >= facts.begin)
    if facts.until:
        rows = rows.where(rows.end_at < facts.until)
    return rows.selectExpr(*as_usage("unix_timestamp({})", "date_format(day, 'yyyy-MM')"))


def _read(spark: Session, settings: Settings, facts: Facts) -> Any:
    if not facts.files:
        return spark.createDataFrame([], _SCHEMA)
    if not settings.lake_path.startswith("s3://"):
        return spark.read.schema(_SCHEMA).parquet(*facts.files)
    files = spark.createDataFrame([(file.removeprefix("s3://"),) for file in facts.files], "file string")
    return files.repartition(max(1, len(facts.files))).mapInArrow(_reader(settings), _SCHEMA)


def _reader(settings: Settings) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Reads the files it is told in a worker, which knows nothing of this project: all it needs is handed over by value."""
    scheme, _, host = settings.s3_endpoint.partition("://")
    told = {"access_key": settings.s3_key_id, "secret_key": _plain(settings.s3_secret), "session_token": _plain(settings.s3_session_token),
            "region": settings.s3_region, "endpoint_override": host, "scheme": scheme}
    access, columns = {name: value for name, value in told.items() if value}, list(COLUMNS)

    def read(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow.parquet as pq
        from pyarrow.fs import S3FileSystem
        bucket = S3FileSystem(**access)
        for batch in batches:
            for file in batch.column(0).to_pylist():
                with bucket.open_input_file(file) as opened:
                    yield from pq.ParquetFile(opened).iter_batches(columns=columns)
    return read


def _plain(secret: Any) -> str:
    return secret.get_secret_value() if secret else ""
