# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab keeps its things, and that labs do not mix."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.site import Lab


def test_another_name_or_clone_is_another_lab() -> None:
    labs = [Lab("lab", Path("/a")), Lab("lab", Path("/b")), Lab("e2e", Path("/a"))]
    for part in ("marker", "tag", "directory", "runtime", "lock"):
        assert len({getattr(lab, part) for lab in labs}) == 3, part


def test_a_lab_is_found_again_by_its_directory() -> None:
    lab = Lab("e2e", Path("/a/b"))
    assert Lab.at(lab.directory) == lab


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "a/b", "..", "a b", "x" * 21, "cache", "lab\n"])
def test_a_name_that_would_not_do_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="LAB_NAME"):
        Lab(name, Path("/a"))


def test_the_environment_names_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_NAME", raising=False)
    assert Lab.from_environment().name == "lab"
    monkeypatch.setenv("LAB_NAME", "e2e")
    assert Lab.from_environment().name == "e2e"


def test_what_podman_is_given_is_short_enough_for_any_clone() -> None:
    lab = Lab("a" * 20, Path("/" + "long/" * 50))
    assert len(str(lab.runtime / "storage")) <= 50
