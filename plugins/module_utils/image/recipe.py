# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made of, as the options say it, and how mmdebstrap is told. Options in, texts out; no I/O."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

# Names and versions reach apt's command line, where +, -, *, / and = at the wrong place mean something else.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+](:[a-z0-9]+)?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~-]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RecipeError(Exception):
    """An option that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Repository:
    """A package source; `signed_by` is the text of a key, or the path of a key ring on the building host."""

    name: str
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str

    @property
    def file_name(self) -> str:
        """Name of the source file in the image, the one that the role common gives it on a host."""
        return f"firstlight-{self.name}.sources"

    def sources(self) -> str:
        """The source file, in deb822 format."""
        lines = ["Types: deb", f"URIs: {' '.join(self.uris)}", f"Suites: {' '.join(self.suites)}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        if self.signed_by.startswith("/"):
            lines.append(f"Signed-By: {self.signed_by.strip()}")
        else:
            lines.append("Signed-By:")
            lines += [f" {line.strip() or '.'}" for line in self.signed_by.strip().splitlines()]
        return "\n".join([*lines, ""])


@dataclass(frozen=True)
class Package:
    """A package beside those that every image of the suite has; an empty version is whichever apt prefers."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}={self.version}" if self.version else self.name


@dataclass(frozen=True)
class Hook:
    """A script that is run on the building host with the root of the image as its only argument."""

    name: str
    content: str


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is in the image."""

    suite: str
    architecture: str
    variant: str
    repositories: tuple[Repository, ...]
    packages: tuple[Package, ...]
    hooks: tuple[Hook, ...]
    source_date_epoch: int

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Recipe:
        """Raises RecipeError for what apt or mmdebstrap would take for something else."""
        recipe = cls(
            suite=options["suite"],
            architecture=options["architecture"],
            variant=options["variant"],
            repositories=tuple(_repository(item) for item in options["repositories"]),
            packages=tuple(Package(item["name"], item.get("version") or "") for item in options["packages"]),
            hooks=tuple(Hook(item["name"], item["content"]) for item in options["hooks"]),
            source_date_epoch=int(options["source_date_epoch"]),
        )
        recipe._check()
        return recipe

    def _check(self) -> None:
        if not _WORD.fullmatch(self.suite):
            raise RecipeError(
                f"suite: {self.suite!r} is no name of a suite. Write it as the repository does: bookworm."
            )
        if not self.repositories:
            raise RecipeError("repositories: there is none. Name the distribution's, the first of the list.")
        for repository in self.repositories:
            for value in (*repository.uris, *repository.suites, *repository.components):
                if not value or re.search(r"\s", value):
                    raise RecipeError(f"repositories: {repository.name}: {value!r} has white space. Make it a list.")
        for package in self.packages:
            if not _PACKAGE.fullmatch(package.name):
                raise RecipeError(f"packages: {package.name!r} is no name of a package. Correct it.")
            if package.version and not _VERSION.fullmatch(package.version):
                raise RecipeError(
                    f"packages: {package.name}: {package.version!r} is no version. "
                    "Write it whole, as `apt-cache madison` shows it, without patterns."
                )
        for what, names in {
            "repositories": [one.name for one in self.repositories],
            "packages": [one.name for one in self.packages],
            "hooks": [one.name for one in self.hooks],
        }.items():
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise RecipeError(f"{what}: given more than once: {', '.join(twice)}. Name each once.")
            wrong = [name for name in names if what != "packages" and not _WORD.fullmatch(name)]
            if wrong:
                raise RecipeError(f"{what}: {wrong[0]!r} becomes the name of a file: letters, digits and . _ - alone.")
        if self.source_date_epoch < 0:
            raise RecipeError(
                "source_date_epoch: is before 1970. Give seconds since then: `date -u -d 2026-01-01 +%s`."
            )

    def parts(self) -> dict[str, str]:
        """A hash of each part, so that it can be told which of them has changed."""
        return {
            key: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
            for key, value in asdict(self).items()
        }

    def pinned(self) -> list[str]:
        """Names of the packages whose version was given."""
        return [package.name for package in self.packages if package.version]


def _repository(item: Mapping[str, Any]) -> Repository:
    return Repository(
        item["name"], tuple(item["uris"]), tuple(item["suites"]), tuple(item["components"]), item["signed_by"]
    )


# Nothing that two machines must not share, and nothing that tells when the image was built. mmdebstrap itself empties
# the machine id, and takes away package lists, caches and the logs that it knows of.
FINISH = """#!/bin/sh
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/resolv.conf"
rm -f "$root/var/lib/systemd/random-seed" "$root/var/lib/systemd/credential.secret"
# Copies of files as they were before the last change of a package.
for file in passwd group shadow gshadow subuid subgid; do rm -f "$root/etc/$file-"; done
rm -f "$root"/var/lib/dpkg/*-old "$root"/var/cache/debconf/*-old
# The files stay, with their owners: services expect some of them.
find "$root/var/log" -type f -exec truncate --size 0 {} +
"""


@dataclass(frozen=True)
class Script:
    """A file of the build: its name in the folder of the build, and what is in it."""

    name: str
    content: str
    executable: bool = False


def scripts(recipe: Recipe) -> list[Script]:
    """Everything that mmdebstrap is given as a file."""
    return [
        *(Script(f"sources/{one.file_name}", one.sources()) for one in recipe.repositories),
        *(Script(f"hooks/{hook.name}", hook.content, executable=True) for hook in recipe.hooks),
        Script("finish", FINISH, executable=True),
    ]


def command(recipe: Recipe, folder: PurePath, tarball: str) -> list[str]:
    """The build, in a folder that holds `scripts`; it leaves `tarball` and a manifest of the packages there."""
    include = [f"--include={','.join(map(str, recipe.packages))}"] if recipe.packages else []
    hooks = [str(folder / "hooks" / hook.name) for hook in recipe.hooks]
    if recipe.pinned():
        # By dpkg: not every variant has apt in it.
        hold = 'dpkg --admindir="$1/var/lib/dpkg" --set-selections'
        hooks.append(f"printf '%s hold\\n' {shlex.join(recipe.pinned())} | {hold}")
    # In the image the sources are called as the roles call them, so that there they are the same ones.
    names = [one.file_name for one in recipe.repositories]
    hooks += [f'cd "$1/etc/apt/sources.list.d" && mv {number:04}{name} {name}' for number, name in enumerate(names)]
    hooks.append(f'dpkg-query --admindir="$1/var/lib/dpkg" --show > {shlex.quote(str(folder / "manifest"))}')
    hooks.append(str(folder / "finish"))
    return [
        # Whatever becomes of the build, its mounts end with its processes, and nobody else ever sees them.
        *("unshare", "--mount", "--propagation", "private", "--"),
        *("mmdebstrap", "--verbose", "--mode=root", f"--variant={recipe.variant}"),
        f"--architectures={recipe.architecture}",
        *include,
        *(f"--customize-hook={hook}" for hook in hooks),
        recipe.suite,
        str(folder / tarball),
        *(str(folder / "sources" / name) for name in names),
    ]


_ABSENT = (
    re.compile(r"^E: Version '(?P<version>[^']+)' for '(?P<name>[^']+)' was not found", re.MULTILINE),
    re.compile(r"^E: Unable to locate package (?P<name>\S+)", re.MULTILINE),
    re.compile(r"^E: Package '(?P<name>[^']+)' has no installation candidate", re.MULTILINE),
    re.compile(r"^E: Couldn't find any package by (?:glob|regex) '(?P<name>[^']+)'", re.MULTILINE),
)
_UNSIGNED = re.compile(r"NO_PUBKEY \S+|is not signed\.|signatures couldn't be verified|EXPKEYSIG \S+|BADSIG \S+")
_UNREACHED = re.compile(r"^(?:E|W|Err): (?:Failed to fetch (\S+)|The repository '([^']+)' does not have)", re.MULTILINE)
_UNMET = re.compile(r"unmet dependencies:\n((?: .*\n)+)")
_FULL = "No space left on device"


def explain(log: str, recipe: Recipe, folder: PurePath) -> str:
    """One sentence or two about why mmdebstrap failed, and the remedy; the end of its log where nothing is known."""
    absent = {match["name"]: match.groupdict().get("version") for one in _ABSENT for match in one.finditer(log)}
    places = ", ".join(uri for one in recipe.repositories for uri in one.uris)
    if absent:
        # apt names no version where it knows of no package of that name at all.
        told = ", ".join(f"{name} {version}" if version else name for name, version in sorted(absent.items()))
        return (
            f"no repository has {told} (asked: {places}). "
            "Correct name or version in the image's packages, or bring the package into a repository."
        )
    if _FULL in log:
        return f"there is no room left in {folder.parent}. Make some, or build in another directory."
    if match := _UNSIGNED.search(log):
        return f"a repository of {places} is not signed by the key of its signed_by ({match[0]}). Correct the key."
    if match := _UNREACHED.search(log):
        return f"{match[1] or match[2]} could not be fetched. See whether the repository answers, and its suites."
    if match := _UNMET.search(log):
        return f"the packages do not fit together: {' '.join(match[1].split())}. Choose versions that do."
    for hook in recipe.hooks:
        if _failed(log, str(folder / "hooks" / hook.name)):
            return f"the hook {hook.name} failed: {_last_words(log)}"
    return f"mmdebstrap failed: {_last_words(log)}"


def _failed(log: str, path: str) -> bool:
    started = log.rfind(f"running --customize-hook directly: {path} ")
    return started >= 0 and "running --customize-hook" not in log[started + 1 :]


def _last_words(log: str) -> str:
    lines: Sequence[str] = [line.strip() for line in log.splitlines() if line.strip()]
    return " / ".join(lines[-6:])
