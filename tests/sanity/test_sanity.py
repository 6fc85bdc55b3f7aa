# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test sanity` on what the collection ships.

ansible-test wants the collection in a directory of the right name and outside any git repository; elsewhere it finds
"no tests applicable" and ends with 0. So the archive is built and unpacked first, and what was run is counted.
Its virtual environments are kept in .cache/ansible-test of the clone; nothing is written to the home directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.collection.artefact import BIN, ROOT, build, unpack

HOME = ROOT / ".cache" / "ansible-test"
RUNNING = re.compile(r'^Running sanity test "([a-z0-9-]+)"', re.MULTILINE)
# ansible-test fetches get-pip.py from a host of its own; Python has brought pip along.
GET_PIP = "import ensurepip\n\nensurepip.bootstrap()\n"
# The first run fills the virtual environments from the package index.
TIMEOUT = 900


def _get_pip() -> Path:
    """Where this release of ansible-test looks for get-pip.py before it fetches one: its name has pip's version."""
    package = find_spec("ansible_test")
    assert package and package.submodule_search_locations
    source = Path(package.submodule_search_locations[0], "_internal", "python_requirements.py").read_text("utf-8")
    versions = set(re.findall(r"pip='([0-9.]+)'", source))
    assert len(versions) == 1, f"ansible-test names other versions of pip than expected: {versions}"
    return HOME / ".ansible" / "test" / "cache" / f"get_pip_{versions.pop().replace('.', '_')}.py"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as shipped, and the configuration of ansible-test, which is not."""
    place = tmp_path_factory.mktemp("sanity")
    root = unpack(build(place), place)
    (root / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "config.yml", root / "tests")
    shim = _get_pip()
    shim.parent.mkdir(parents=True, exist_ok=True)
    shim.write_text(GET_PIP, encoding="utf-8")
    return root


def _sanity(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [BIN / "ansible-test", "sanity", "--local", "--python", version, "--color", "no", *arguments]
    environment = os.environ | {
        "HOME": str(HOME),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        # Where a person's pip.conf is: it may name the only package index that can be reached.
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(Path.home() / ".config")),
    }
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def test_every_test_of_ansible_test_is_run_and_passes(stage: Path) -> None:
    expected = _sanity(stage, "--list-tests").stdout.split()
    assert {"validate-modules", "import", "pylint", "action-plugin-docs", "yamllint"} < {*expected}
    done = _sanity(stage)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert sorted(RUNNING.findall(told)) == sorted(expected), told
    assert "Skipping" not in told, told
    assert not list((ROOT / "tests" / "sanity").glob("ignore-*.txt")), "nothing is to be left out"


@pytest.mark.parametrize("test", ["validate-modules", "pylint"])
def test_a_planted_defect_is_found(stage: Path, test: str) -> None:
    planted = stage / "plugins" / "modules" / "planted.py"
    planted.write_text("#!/usr/bin/python\n\n\ndef main(seen=[]):\n    seen.append(1)\n", encoding="utf-8")
    try:
        done = _sanity(stage, "--test", test)
    finally:
        planted.unlink()
    assert done.returncode != 0
    assert "ERROR: plugins/modules/planted.py" in done.stdout + done.stderr
