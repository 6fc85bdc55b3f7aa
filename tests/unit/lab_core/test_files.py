# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lab import files
from lab.errors import LabError


def test_a_secret_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (seen.append(self.stat().st_mode & 0o777), original(self, to))
    )
    files.write_text(tmp_path / "a" / "key", "secret", 0o600)
    assert seen == [0o600]
    assert (tmp_path / "a" / "key").stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    files.write_json(path, {"a": 1})

    def fail(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert files.read_json(path, "default") == "default"
    path.write_text("{")
    with pytest.raises(LabError, match=r"state\.json.*lab down"):
        files.read_json(path)


def test_lines_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    writers = [
        threading.Thread(target=lambda n=n: [files.append_json_line(path, {"n": n, "x": "y" * 500}) for _ in range(50)])
        for n in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = [json.loads(line)["n"] for line in path.read_text().splitlines()]
    assert sorted(lines) == [n for n in range(4) for _ in range(50)]
