# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's program: what is in it, and that it runs on a node that has nothing else of the project."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.config import Probe, render
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.entry import unpacked
from ansible_collections.firstlight.cluster.plugins.plugin_utils.agent_program import MODULE_UTILS, files, program

from tests.unit.health.health_factory import node_class

PLAIN_PYTHON = getattr(sys, "_base_executable", sys.executable)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "firstlight-health"
    path.write_bytes(program())
    path.chmod(0o755)
    return path


def test_it_holds_what_judges_a_node_and_nothing_that_it_does_not_import() -> None:
    held = set(files())
    for folder in ("judge", "observe", "catalog/health"):
        own = {str(path.relative_to(MODULE_UTILS)) for path in (MODULE_UTILS / folder).glob("*.py")}
        # Of what a BMC tells, a node knows nothing.
        assert own - held <= {"judge/bmc.py", "judge/boot.py", "observe/block_devices.py"}
    assert not [name for name in held if name.startswith(("maas", "lifecycle", "fabric", "due", "documents"))]
    for name in held:
        assert not re.search(r"^\s*(from|import) ansible", (MODULE_UTILS / name).read_text(), re.MULTILINE), name


def test_the_same_files_give_the_same_bytes() -> None:
    assert program() == program()
    with zipfile.ZipFile(io.BytesIO(program())) as stream:
        assert {entry.date_time for entry in stream.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert stream.namelist() == sorted(stream.namelist())


@pytest.mark.parametrize("cached", [False, True])
def test_it_runs_alone(archive: Path, tmp_path: Path, cached: bool) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    environment = {"PATH": os.environ["PATH"]} | ({"CACHE_DIRECTORY": str(cache)} if cached else {})
    config = tmp_path / "health.json"
    config.write_text(render(node_class(), [], Probe([], 8192, 2**30, 86400, [])))
    done = subprocess.run(
        [PLAIN_PYTHON, "-I", str(archive), "--config", str(tmp_path / "none.json"), "show"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "none.json. Remedy: run configure.yml with --tags node_agent." in done.stderr
    assert bool([*cache.rglob("*.pyc")]) is cached
    script = (
        "import sys, json; sys.path.insert(0, sys.argv[1]);"
        "from firstlight.agent.main import _run; from firstlight.agent.config import load;"
        "from firstlight.judge.node import JUDGES; print(json.dumps([len(JUDGES), load(__import__('pathlib').Path("
        "sys.argv[2])).class_sha256]))"
    )
    loaded = subprocess.run(
        [PLAIN_PYTHON, "-I", "-c", script, str(archive), str(config)],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    checks, known = json.loads(loaded.stdout)
    assert (checks > 90, known) == (True, json.loads(config.read_text())["class_sha256"])


def test_a_new_program_takes_the_place_of_the_old_one_in_the_cache(archive: Path, tmp_path: Path) -> None:
    cache, mine = tmp_path / "cache", tmp_path / "program"
    cache.mkdir()
    mine.write_bytes(archive.read_bytes())
    first = unpacked(mine, cache)
    assert unpacked(mine, cache) == first
    os.utime(mine, (1, 1))
    second = unpacked(mine, cache)
    assert second != first
    assert [*cache.iterdir()] == [second]
