# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to what mmdebstrap is told, and from its log to a remedy."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.image.recipe import (
    Recipe,
    RecipeError,
    command,
    explain,
    scripts,
)

DEBIAN = {
    "name": "debian",
    "uris": ["http://head01/debian"],
    "suites": ["bookworm"],
    "components": ["main"],
    "signed_by": "/usr/share/keyrings/debian-archive-keyring.gpg",
}
KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBF\n-----END PGP PUBLIC KEY BLOCK-----\n"
FLAT = {"name": "nvidia", "uris": ["http://head01/nvidia"], "suites": ["./"], "components": [], "signed_by": KEY}
FOLDER = PurePosixPath("/images/.x.tgz.build-1")


def options(**changes: Any) -> dict[str, Any]:
    return {
        "suite": "bookworm",
        "architecture": "amd64",
        "variant": "minbase",
        "repositories": [DEBIAN],
        "packages": [{"name": "linux-image-6.1.0-50-amd64", "version": "6.1.176-1"}, {"name": "cloud-init"}],
        "hooks": [{"name": "marker", "content": "#!/bin/sh\n"}],
        "source_date_epoch": 1795392000,
        **changes,
    }


def test_pinned_packages_are_asked_for_by_version_and_held() -> None:
    told = command(Recipe.from_options(options()), FOLDER, "part.tar.gz")
    assert "--include=linux-image-6.1.0-50-amd64=6.1.176-1,cloud-init" in told
    [held] = [word for word in told if "--set-selections" in word]
    assert held.startswith("--customize-hook=printf '%s hold\\n' linux-image-6.1.0-50-amd64 |")
    assert told[-3:] == ["bookworm", f"{FOLDER}/part.tar.gz", f"{FOLDER}/sources/firstlight-debian.sources"]


def test_nothing_is_held_where_nothing_is_pinned() -> None:
    told = command(Recipe.from_options(options(packages=[])), FOLDER, "part.tar.gz")
    assert not [word for word in told if "--set-selections" in word or word.startswith("--include")]


def test_hooks_run_in_their_order_and_before_what_makes_the_image_reproducible() -> None:
    hooks = [{"name": name, "content": "#!/bin/sh\n"} for name in ("zebra", "ant")]
    told = command(Recipe.from_options(options(hooks=hooks)), FOLDER, "part.tar.gz")
    run = [word.partition("=")[2] for word in told if word.startswith("--customize-hook=")]
    assert [run[0], run[1], run[-1]] == [f"{FOLDER}/hooks/zebra", f"{FOLDER}/hooks/ant", f"{FOLDER}/finish"]


def test_sources_are_written_as_apt_reads_them() -> None:
    recipe = Recipe.from_options(options(repositories=[DEBIAN, FLAT]))
    files = {script.name: script.content for script in scripts(recipe)}
    assert files["sources/firstlight-debian.sources"].splitlines() == [
        "Types: deb",
        "URIs: http://head01/debian",
        "Suites: bookworm",
        "Components: main",
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
    ]
    # A key is folded: an empty line of it is a dot, and every line begins with a blank.
    assert (
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END"
        in (files["sources/firstlight-nvidia.sources"])
    )


def test_only_what_has_changed_is_told() -> None:
    one = Recipe.from_options(options()).parts()
    other = Recipe.from_options(options(packages=[], source_date_epoch=1)).parts()
    assert [key for key in one if one[key] != other[key]] == ["packages", "source_date_epoch"]
    assert one == Recipe.from_options(options()).parts()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"suite": "book worm"}, "suite"),
        ({"repositories": []}, "repositories"),
        ({"repositories": [{**DEBIAN, "uris": ["http://a/ http://b/"]}]}, "debian"),
        ({"repositories": [DEBIAN, DEBIAN]}, "debian"),
        ({"repositories": [{**DEBIAN, "name": "../debian"}]}, "../debian"),
        ({"packages": [{"name": "apt-"}]}, "apt-"),
        ({"packages": [{"name": "curl", "version": "7.*"}]}, "curl"),
        ({"packages": [{"name": "curl", "version": "7,wget"}]}, "curl"),
        ({"packages": [{"name": "curl"}, {"name": "curl", "version": "7"}]}, "curl"),
        ({"hooks": [{"name": "a/b", "content": ""}]}, "a/b"),
        ({"hooks": [{"name": "a", "content": ""}, {"name": "a", "content": ""}]}, "hooks"),
        ({"source_date_epoch": -1}, "source_date_epoch"),
    ],
)
def test_what_apt_would_take_for_something_else_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(RecipeError, match=named.replace(".", r"\.")):
        Recipe.from_options(options(**changes))


LOGS = {
    "E: Version '9.9' for 'curl' was not found\n": ["no repository has curl 9.9", "http://head01/debian"],
    "E: Unable to locate package linux-image-9\n": ["no repository has linux-image-9", "Correct"],
    "E: Package 'doca' has no installation candidate\n": ["no repository has doca"],
    "tar: write error: No space left on device\n": ["no room left in /images"],
    "W: GPG error: http://x NO_PUBKEY 0E98404D386FA1D9\n": ["NO_PUBKEY 0E98404D386FA1D9", "signed_by"],
    "E: The repository 'http://head01/debian trixie Release' does not have a Release file.\n": ["could not be fetched"],
    "The following packages have unmet dependencies:\n curl : Depends: libcurl4 (= 7) but 8 is\nE: x\n": [
        "do not fit together: curl : Depends: libcurl4 (= 7) but 8 is"
    ],
    f"I: running --customize-hook directly: {FOLDER}/hooks/marker /x\nsh: 3: nope: not found\n": [
        "the hook marker failed",
        "nope: not found",
    ],
    "\n".join(map(str, range(20))): ["mmdebstrap failed: 14 / 15 / 16 / 17 / 18 / 19"],
}


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log[:30])
def test_a_failure_is_told_with_its_remedy(log: str) -> None:
    told = explain(log, Recipe.from_options(options()), Path(FOLDER))
    assert [part for part in LOGS[log] if part not in told] == [], told


def test_a_hook_that_was_followed_by_others_did_not_fail() -> None:
    log = (
        f"I: running --customize-hook directly: {FOLDER}/hooks/marker /x\nI: running --customize-hook in shell: y\nno\n"
    )
    assert "hook" not in explain(log, Recipe.from_options(options()), FOLDER).partition(":")[0]
