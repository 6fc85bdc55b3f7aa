# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an image is built, and what a build leaves. A program that says it is mmdebstrap stands in for the real one."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.image import build as image
from ansible_collections.firstlight.cluster.plugins.module_utils.image.build import BuildError, Tarball, build, due
from ansible_collections.firstlight.cluster.plugins.module_utils.image.recipe import Recipe
from test_recipe import options

STAND_IN = """#!/bin/sh
folder=$(pwd)
echo build >> "$folder/../builds"
case "$(cat "$folder/../behaviour" 2>/dev/null)" in
    fail) echo "E: Unable to locate package nope"; mkdir "$folder/mmdebstrap.x"; exit 25 ;;
    hang) exec sleep 60 ;;
esac
echo "$SOURCE_DATE_EPOCH $SECRET" > "$folder/part.tar.gz"
echo "base-files 12.4" > "$folder/manifest"
"""


@pytest.fixture
def tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tarball:
    tool = tmp_path / "bin" / "mmdebstrap"
    tool.parent.mkdir()
    tool.write_text(STAND_IN)
    tool.chmod(0o755)
    monkeypatch.setattr(
        image,
        "command",
        lambda recipe, folder, part: [str(tool), *(str(script) for script in sorted(folder.iterdir()))],
    )
    monkeypatch.setenv("SECRET", "hidden-word")
    return Tarball(tmp_path / "images" / "node.tgz")


RECIPE = Recipe.from_options(options())


def files(tarball: Tarball) -> list[str]:
    return sorted(path.name for path in tarball.path.parent.iterdir() if not path.name.endswith(".lock"))


def builds(tarball: Tarball) -> int:
    return len((tarball.path.parent / "builds").read_text().splitlines())


def test_an_image_is_built_once_and_again_only_when_something_has_changed(tarball: Tarball) -> None:
    assert due(tarball, RECIPE) == ["there is none yet"]
    build(tarball, RECIPE, 60)
    assert due(tarball, RECIPE) == []
    assert files(tarball) == ["builds", "node.tgz", "node.tgz.json", "node.tgz.log", "node.tgz.manifest"]
    assert tarball.path.read_text() == "1795392000 \n", "the environment of the host is not the image's"
    build(tarball, RECIPE, 60)
    assert builds(tarball) == 1
    other = Recipe.from_options(options(hooks=[]))
    assert due(tarball, other) == ["changed: hooks"]
    build(tarball, other, 60)
    assert builds(tarball) == 2


@pytest.mark.parametrize("content", [b"", b"1795392000", b"1795392001 \n"])
def test_a_tarball_that_was_cut_off_or_altered_is_noticed(tarball: Tarball, content: bytes) -> None:
    build(tarball, RECIPE, 60)
    tarball.path.write_bytes(content)
    assert due(tarball, RECIPE) == ["the file is not the one that was built"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"recipe": 1, "sha256": ""}'])
def test_a_damaged_stamp_is_none(tarball: Tarball, content: str) -> None:
    build(tarball, RECIPE, 60)
    tarball.stamp.write_text(content)
    assert due(tarball, RECIPE) == ["it is not known what it was built from"]


def test_a_build_that_fails_leaves_what_was_there_and_nothing_half_built(tarball: Tarball) -> None:
    build(tarball, RECIPE, 60)
    before = {name: (tarball.path.parent / name).read_bytes() for name in ("node.tgz", "node.tgz.json")}
    (tarball.path.parent / "behaviour").write_text("fail")
    with pytest.raises(BuildError, match="no repository has nope") as failure:
        build(tarball, Recipe.from_options(options(suite="trixie")), 60)
    assert str(tarball.log) in str(failure.value)
    assert {name: (tarball.path.parent / name).read_bytes() for name in before} == before
    assert not list(tarball.path.parent.glob(".node.tgz.build-*"))


def test_a_build_that_hangs_is_ended(tarball: Tarball) -> None:
    tarball.path.parent.mkdir()
    (tarball.path.parent / "behaviour").write_text("hang")
    with pytest.raises(BuildError, match="did not end within 1 s"):
        build(tarball, RECIPE, 1)
    assert not list(tarball.path.parent.glob(".node.tgz.build-*"))


def test_what_a_killed_build_has_left_is_taken_away(tarball: Tarball) -> None:
    left = tarball.path.parent / f"{tarball.prefix}dead" / "mmdebstrap.x" / "etc"
    left.mkdir(parents=True)
    build(tarball, RECIPE, 60)
    assert not left.parents[1].exists()


def test_a_build_that_is_still_running_is_waited_for(tarball: Tarball, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_POLL", 0.01)
    tarball.path.parent.mkdir()
    with tarball.lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BuildError, match="another build of"):
            build(tarball, RECIPE, 0)


def test_nothing_is_removed_below_which_something_is_mounted(tarball: Tarball, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tarball.path.parent / f"{tarball.prefix}dead" / "proc"
    left.mkdir(parents=True)
    table = f"1 2 0:1 / {left} rw - proc proc rw\n"
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **more: table if self.name == "mountinfo" else real(self, **more)
    )
    with pytest.raises(BuildError, match="is mounted"):
        build(tarball, RECIPE, 60)
    assert left.is_dir()


def test_without_mmdebstrap_it_says_what_to_install(tarball: Tarball, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "command", lambda recipe, folder, part: ["mmdebstrap-that-is-not-there"])
    with pytest.raises(BuildError, match="is not installed"):
        build(tarball, RECIPE, 60)
    assert files(tarball) == ["node.tgz.log"]
