# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.page.browser import Browser

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    absent = [program for program in ("chromium", "pdftotext", "pdfinfo") if shutil.which(program) is None]
    if absent:
        told = f"not installed: {', '.join(absent)}; `python -m lab packages tests/host_packages.txt` installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    return Browser("chromium", tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where pictures and prints are kept for people to look at."""
    folder = ROOT / "artifacts" / "page"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
