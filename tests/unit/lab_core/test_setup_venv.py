# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make setup` empties the environment that it makes anew, and no other."""

from __future__ import annotations

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "lab" / "setup_venv.sh"


def test_an_environment_that_is_a_link_is_refused_and_kept(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "kept").touch()
    link = tmp_path / ".venv"
    link.symlink_to(shared)
    done = subprocess.run(["bash", str(SCRIPT), str(link)], capture_output=True, text=True, check=False)
    assert (done.returncode, [path.name for path in shared.iterdir()]) == (1, ["kept"])
    assert "is a link" in done.stderr and "Remedy" in done.stderr
