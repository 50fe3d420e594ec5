"""Spark on this machine, for the tests that rate on it; they are skipped where it is not."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A Spark session on two cores."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: ./corehours test --spark installs it and runs these tests")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or newer: apt-get install openjdk-17-jre-headless")
    from pyspark.sql import SparkSession
    session = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
               .config("spark.sql.session.timeZone", "UTC").config("spark.sql.shuffle.partitions", "4").getOrCreate())
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
