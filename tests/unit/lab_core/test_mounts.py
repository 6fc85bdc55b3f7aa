# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from lab import mounts
from lab.errors import LabError


def test_what_somebody_else_unmounts_meanwhile_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman unmounts its storage when its last container ends, which may be while a lab goes down."""
    seen = iter([[tmp_path / "gone"], []])
    monkeypatch.setattr(mounts, "below", lambda directory: next(seen))
    mounts.unmount_below(tmp_path)


def test_a_mount_that_stays_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "below", lambda directory: [tmp_path / "stays"])
    with pytest.raises(LabError, match="stays"):
        mounts.unmount_below(tmp_path)
