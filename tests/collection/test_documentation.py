# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation as a site: built without a warning, complete, and readable without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.collection.artefact import BIN, ROOT

HTML = ROOT / "docs" / "_build" / "html"
LOADED = re.compile(r"<(?:script|img|iframe)[^>]* src=\"(https?:)?//|<link[^>]* href=\"(https?:)?//")


@pytest.fixture(scope="module")
def built() -> str:
    """What `make docs` prints."""
    command = [sys.executable, ROOT / "docs" / "generate.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_says_where_it_is_and_has_a_page_for_everything(built: str) -> None:
    assert built == "Documentation: docs/_build/html/index.html\n"
    wanted = {f"reference/{path.stem}_module.html" for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")}
    wanted |= {f"reference/{path.parent.parent.name}_role.html" for path in (ROOT / "roles").glob("*/meta/main.yml")}
    wanted |= {f"reference/roles/{path.parent.name}.html" for path in (ROOT / "roles").glob("*/README.md")}
    wanted |= {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    wanted |= {"reference/maas_inventory.html", "reference/progress_callback.html"}
    assert {name for name in wanted if not (HTML / name).is_file()} == set()


def test_no_page_loads_anything_from_elsewhere(built: str) -> None:
    pages = sorted(HTML.rglob("*.html"))
    assert len(pages) > 20
    assert [page.name for page in pages if LOADED.search(page.read_text(encoding="utf-8"))] == []


def test_no_page_shows_an_error_of_the_theme(built: str) -> None:
    assert [page.name for page in sorted(HTML.rglob("*.html")) if 'class="contents' in page.read_text("utf-8")] == []


def test_the_markup_of_the_documentation_refers_to_what_exists() -> None:
    """O(), V() and the like name options and plugins that are there."""
    command = [BIN / "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self"]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_LOG_PATH": ""}
    done = subprocess.run(
        [*command, ROOT], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
