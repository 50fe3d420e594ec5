"""Documents on the command line, and the sidecar that issues them after the commit."""

from __future__ import annotations

import io
import json
from pathlib import Path

from pypdf import PdfReader

from data.postgres.store import Store
from tests.conftest import Corehours
from tests.documents.test_issuing import golden, paid
from webhooks.metrics import Metrics
from webhooks.outbox import OutboxWorker


def drain(store: Store) -> None:
    """Do whatever the outbox holds for documents."""
    worker = OutboxWorker(store, {}, Metrics({}, dict))
    while worker.step():
        pass


def test_a_receipt_becomes_a_file(corehours: Corehours, store: Store, tmp_path: Path) -> None:
    receipt = golden(store)
    file = tmp_path / "receipt.pdf"
    for language, words in (("en", "Receipt"), ("th", "ใบแจ้งค่าบริการ")):
        done = corehours("documents", "pdf", receipt.number, "--language", language, "-o", str(file), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["bytes"] == file.stat().st_size
        assert words in PdfReader(io.BytesIO(file.read_bytes())).pages[0].extract_text()


def test_what_goes_wrong_is_said_in_a_sentence(corehours: Corehours, store: Store) -> None:
    receipt = golden(store)
    missing = corehours("documents", "pdf", "CH-2026-999999")
    assert (missing.returncode, missing.stderr.strip()) == (1, "There is no such thing here. No document 'CH-2026-999999'.")
    nowhere = corehours("documents", "pdf", receipt.number, "-o", "/nowhere/x.pdf")
    assert (nowhere.returncode, nowhere.stderr.strip()) == (
        1, "The file could not be written. /nowhere/x.pdf: No such file or directory.")


def test_the_sidecar_issues_what_was_queued(corehours: Corehours, store: Store) -> None:
    receipt = golden(store)
    paid(store, receipt)
    drain(store)
    listed = json.loads(corehours("documents", "list", "--json").stdout)
    assert [(one["number"][:2], one["kind"], one["payer"], one["total_micro"]) for one in listed] == [
        ("PR", "payment_receipt", "alice", 60_600_000), ("CH", "receipt", "alice", 60_600_000)]
    assert json.loads(corehours("documents", "show", listed[0]["number"], "--json").stdout)["lines"][0]["of"] == receipt.number
    assert all(job.outcome.endswith("is issued") for job in store.read(lambda tx: tx.outbox.newest()))
