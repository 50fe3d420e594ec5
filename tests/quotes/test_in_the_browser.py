"""In real Chromium: a link is a quote, a field changes it and the address, a script is uploaded, and nothing in it is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenAs, new_page, open_as, settled, site  # noqa: F401  fixtures

pytestmark = pytest.mark.browser
SCRIPT = """#!/bin/bash
#SBATCH --job-name="<img src=x onerror=alert(1)> [link](https://example.org)"
#SBATCH -c 16 --gres=gpu:a100:2,**nvme**:1
#SBATCH --mem=128G --time=2-00:00:00
"""


def test_a_link_a_field_and_an_upload(open_as: OpenAs, tmp_path: Path) -> None:    # noqa: F811
    page = open_as("researcher", "/quote?cpus=16&gpus=2&model=a100&mem=128G&time=2-00:00:00")
    total = page.get_by_test_id("stMetricValue")
    expect(total).to_have_text("4,320.00")
    expect(page.get_by_role("link", name="Add funds")).to_have_attribute("href", re.compile(r"top-up\?owner=researcher$"))
    page.get_by_role("textbox", name="Memory").fill("32G")
    page.get_by_role("textbox", name="Memory").press("Enter")
    expect(total).to_have_text("2,016.00")
    assert "mem=32G" in page.url
    page.get_by_role("textbox", name="Memory").fill("64Q")
    page.get_by_role("textbox", name="Memory").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("'64Q' is no size such as 512M, 128G or 1T")
    page.get_by_role("radio", name="Script").or_(page.get_by_role("button", name="Script", exact=True)).first.click()
    expect(page.get_by_text("Paste or upload a job script")).to_be_visible()
    file = tmp_path / "job.sh"
    file.write_text(SCRIPT)
    page.get_by_role("button", name="Upload a script").click()
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(file)
    expect(total).to_have_text("4,320.00")
    settled(page)
    expect(page.get_by_text("The script, line 3: **nvme**:1 has no price here.")).to_be_visible()
    assert not page.get_by_role("link", name="link").count() and "by=Script" in page.url
