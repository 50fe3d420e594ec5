"""What scaling needs, on this machine: Spark (tests on it are skipped where it is not), and an S3 service."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from data.analytics import spark as spark_engine
from data.postgres.store import Store, connect
from data.settings import Settings

ACCESS = {"COREHOURS_S3_KEY_ID": "key", "COREHOURS_S3_SECRET": "secret", "COREHOURS_S3_REGION": "eu-west-1"}


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A Spark session on two cores."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: ./corehours test --spark installs it and runs these tests")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or newer: apt-get install openjdk-17-jre-headless")
    session = spark_engine.session("local[2]")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """Address of an S3 service on this machine."""
    from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(service: str, database_url: str) -> str:
    """A bucket of this test's own; its name."""
    name = sa.make_url(database_url).database.replace("_", "-")
    assert requests.put(f"{service}/{name}", timeout=10).ok
    return name


@pytest.fixture
def environment(installation_env: dict[str, str], service: str, bucket: str) -> dict[str, str]:
    """What a worker on any machine is told: one database, one bucket."""
    return {**installation_env, **ACCESS, "COREHOURS_S3_ENDPOINT": service, "COREHOURS_LAKE": f"s3://{bucket}/lake"}


@pytest.fixture
def remote(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of this process on that database and bucket."""
    with monkeypatch.context() as told:
        for name, value in environment.items():
            told.setenv(name, value)
        settings = Settings()
    assert settings.database_url is not None
    engine = connect(settings.database_url.get_secret_value())
    store = Store(engine, settings)
    yield store
    store.lake.close()
    engine.dispose()
