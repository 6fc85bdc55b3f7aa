# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for the whole session. The tests are steps of one story and run in the order of their files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab.site import Lab
from tests.e2e import host
from tests.e2e.session import ROOT, LabSession

NODES = ["node01", "node02", "node03", "node04"]
NAME = "e2e"


@pytest.fixture(scope="session")
def host_before() -> dict[str, Any]:
    return host.snapshot(Lab(NAME, ROOT))


@pytest.fixture(scope="session")
def lab(host_before: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSession]:
    """A lab that is up, its nodes not deployed yet. FIRSTLIGHT_KEEP_LAB=1 leaves it for a person to look at."""
    session = LabSession(NAME, ROOT / "artifacts" / "e2e")
    session.artifacts.mkdir(parents=True, exist_ok=True)
    session.lab("down")
    session.lab("up")
    yield session
    if not os.environ.get("FIRSTLIGHT_KEEP_LAB"):
        session.lab("down")


@pytest.fixture(scope="module")
def in_service(lab: LabSession) -> None:
    """Every node, as the tests before have left them, or as one run of site.yml does."""
    known = lab.ledger()["nodes"]
    if [known.get(node, {}).get("state") for node in NODES] != ["in_service"] * len(NODES):
        run = lab.playbook("site.yml")
        assert [run.state(node) for node in NODES] == ["admitted"] * len(NODES), run.output[-8000:]


@pytest.fixture(scope="session")
def valid_report() -> jsonschema.protocols.Validator:
    schema = ROOT / "plugins" / "module_utils" / "schemas" / "report.schema.json"
    return jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def artifacts() -> Path:
    return ROOT / "artifacts" / "e2e"
