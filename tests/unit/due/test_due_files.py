# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are due, and what must or must not be in those of others."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.due.files import (
    Found,
    hash_of_text,
    look,
    merge_json,
    parse_mode,
    strangers,
    why_attributes_due,
    why_due,
    why_older,
    why_text_due,
)

FILE = Found("file", 0o644, "root", "root", sha256=hash_of_text("a"))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("u=rw,go=r", 0o644),
        ("u=rwx,g=rx,o=", 0o750),
        ("u=rw,go=", 0o600),
        ("a=rx", 0o555),
        ("0640", 0o640),
        ("750", 0o750),
        ("2755", 0o2755),
    ],
)
def test_modes(mode: str, expected: int) -> None:
    assert parse_mode(mode) == expected


@pytest.mark.parametrize("mode", ["u+x", "u=rwX", "rw", "", "8755", "u=rw;g=r"])
def test_a_mode_that_is_not_absolute_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="is no absolute mode"):
        parse_mode(mode)


@pytest.mark.parametrize(
    ("wanted", "found", "why"),
    [
        ({"sha256": hash_of_text("a"), "mode": "u=rw,go=r", "owner": "root", "group": "root"}, FILE, []),
        ({"sha256": hash_of_text("b")}, FILE, ["has another content"]),
        ({"mode": "u=rw,go="}, FILE, ["has mode 0644, wanted is 0600"]),
        ({"owner": "cluster"}, FILE, ["has the owner root, wanted is cluster"]),
        ({"group": "docker"}, FILE, ["has the group root, wanted is docker"]),
        ({}, Found("absent"), ["is missing"]),
        ({}, Found("directory", 0o755), ["is there, as a directory"]),
        ({"state": "directory"}, FILE, ["is there, as a file"]),
        ({"state": "directory", "mode": "u=rwx,go=rx"}, Found("directory", 0o755), []),
        ({"state": "link", "target": "/a"}, Found("link", target="/a"), []),
        ({"state": "link", "target": "/a"}, Found("link", target="/b"), ["leads to /b"]),
        ({"state": "link", "target": "/a"}, FILE, ["is there, as a file"]),
        ({"state": "absent"}, Found("absent"), []),
        ({"state": "absent"}, FILE, ["is there, as a file"]),
    ],
)
def test_what_is_due(wanted: dict[str, Any], found: Found, why: list[str]) -> None:
    assert why_due(wanted, found) == why


def test_only_attributes_that_are_wanted_count() -> None:
    assert why_attributes_due({"mode": None, "owner": None, "group": None}, FILE) == []


def test_a_look_at_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    file.chmod(0o640)
    (tmp_path / "link").symlink_to(file)
    found = look(str(file))
    assert (found.kind, found.mode, found.sha256) == ("file", 0o640, hash_of_text("a"))
    assert (found.owner, found.group) == (file.owner(), file.group())
    assert look(str(tmp_path / "link")) == found
    assert look(str(tmp_path / "link"), follow=False).target == str(file)
    assert look(str(tmp_path)).kind == "directory"
    assert look(str(tmp_path / "none")).kind == look(str(file / "below")).kind == "absent"
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "none")
    assert look(str(tmp_path / "link"), follow=False).kind == "link"


def test_owners_that_the_host_does_not_know() -> None:
    assert strangers({"owner": "root", "group": "nobody-knows-it"}) == ["group"]
    assert strangers({"owner": "nobody-knows-it"}) == ["owner"]
    assert strangers({"owner": None, "group": None}) == []


OURS = {"log-driver": "json-file", "log-opts": {"max-size": "100m"}}


def test_settings_are_merged() -> None:
    present = {"debug": True, "log-driver": "none", "log-opts": {"tag": "x"}, "hosts": ["a"]}
    merged = merge_json(json.dumps(present), {**OURS, "hosts": ["b"]})
    assert merged.due
    assert json.loads(merged.text) == {
        "debug": True,
        "log-driver": "json-file",
        "log-opts": {"tag": "x", "max-size": "100m"},
        "hosts": ["b"],
    }


@pytest.mark.parametrize("present", [None, "", "{}\n"])
def test_settings_where_there_are_none(present: str | None) -> None:
    merged = merge_json(present, OURS)
    assert merged.due
    assert merged.text.endswith("}\n")
    assert json.loads(merged.text) == OURS


def test_settings_that_say_the_same_stay_as_they_are_written() -> None:
    written = '{"log-opts":{"max-size":"100m"},"log-driver":"json-file"}'
    merged = merge_json(written, OURS)
    assert not merged.due
    assert merged.text == written
    assert merged.sha256 == merge_json(json.dumps(OURS, indent=8), OURS).sha256
    assert merged.sha256 != merge_json(json.dumps({**OURS, "debug": True}), OURS).sha256


def test_an_empty_file_that_nothing_is_wanted_of_is_made() -> None:
    assert merge_json(None, {}).due
    assert not merge_json("{}", {}).due


@pytest.mark.parametrize("present", ["[]", "{", '"text"', "null"])
def test_settings_that_cannot_be_merged_are_refused(present: str) -> None:
    with pytest.raises(ValueError, match="is not a JSON object, so its keys cannot be kept"):
        merge_json(present, OURS)


HOSTS = "# BEGIN\n10.0.0.1 head01\n# END\n127.0.0.1 localhost\n"


@pytest.mark.parametrize(
    ("wanted", "text", "why"),
    [
        ({"contains": ["# BEGIN\n10.0.0.1 head01\n# END\n"], "lacks": [r"^127\.0\.1\.1\s"]}, HOSTS, []),
        ({"contains": ["10.0.0.2", "head01"]}, HOSTS, ["lacks 1 of 2 parts"]),
        ({"lacks": [r"^127\.0\.0\.1\s"]}, HOSTS, [r"has what matches ^127\.0\.0\.1\s"]),
        ({"lacks": ["^localhost"]}, HOSTS, []),
        ({"equals": "node01"}, "node01\n", []),
        ({"equals": "node01"}, "node012\n", ["has another content"]),
        ({"equals": ""}, "", []),
        ({"equals": "node01"}, None, ["is missing"]),
        ({"contains": ["a"]}, None, ["is missing"]),
        ({"lacks": ["a"]}, None, []),
        ({"words": ["iommu=pt", "ro"]}, "root=/dev/vda2 ro iommu=pt\n", []),
        ({"words": ["iommu=pt", "ro"]}, "root=/dev/vda2 amd_iommu=pt quiet\n", ["lacks iommu=pt ro"]),
        ({"words": ["ro"]}, None, ["is missing"]),
    ],
)
def test_texts_of_others(wanted: dict[str, Any], text: str | None, why: list[str]) -> None:
    assert why_text_due(wanted, text) == why


def test_what_is_made_of_other_files_must_not_be_older(tmp_path: Path) -> None:
    made, source = tmp_path / "grub.cfg", tmp_path / "90.cfg"
    assert why_older(str(made), [str(source)]) == ["is missing"]
    made.touch()
    assert why_older(str(made), [str(source)]) == []
    source.touch()
    os.utime(made, ns=(5, 5))
    os.utime(source, ns=(5, 5))
    assert why_older(str(made), [str(source)]) == []
    os.utime(source, ns=(6, 6))
    assert why_older(str(made), [str(source)]) == [f"is older than {source}"]
