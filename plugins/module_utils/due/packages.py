# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages are due, and which of the offered versions they get. Text of dpkg and apt in, decisions out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# One line a package: name, state of three letters (wanted, actual, error), version.
QUERY_FORMAT = "${Package} ${db:Status-Abbrev} ${Version}\n"
_INSTALLED = "i"
NOT_HELD = "is not held"


@dataclass(frozen=True)
class Wanted:
    """A package that must be there. An empty version is any; `repository` is named in messages."""

    name: str
    version: str = ""
    hold: bool = False
    repository: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Wanted:
        """Of the options of a module; what is None there is as if it were not given."""
        return cls(
            str(data["name"]),
            str(data.get("version") or ""),
            bool(data.get("hold")),
            str(data.get("repository") or ""),
        )


@dataclass(frozen=True)
class Found:
    """A package as dpkg knows it."""

    name: str
    held: bool
    state: str
    version: str

    @property
    def installed(self) -> bool:
        """Whether it is unpacked and configured."""
        return self.state == _INSTALLED


def parse_query(text: str) -> list[Found]:
    """Packages of `dpkg-query --show` in QUERY_FORMAT; several of one name where there are several architectures."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        # A package that was never there has no version: `name un`.
        if len(fields) >= 2 and len(fields[1]) >= 2:
            found.append(Found(fields[0], fields[1][0] == "h", fields[1][1:], fields[2] if len(fields) > 2 else ""))
    return found


def fits(wanted: str, version: str) -> bool:
    """Whether a version of apt is the wanted one, whatever its epoch.

    `570.172.08` takes any packaging of that very version (570.172.08-1). A `*` stands for any text: `20.10.*` takes any
    version of that series, `2.27.7-*+cuda12.*` any packaging of 2.27.7 for CUDA 12.
    """
    if not wanted:
        return True
    bare = r"(?:[0-9]+:)?"
    if "*" in wanted:
        return re.fullmatch(bare + ".*".join(map(re.escape, wanted.split("*"))), version) is not None
    return re.fullmatch(bare + re.escape(wanted) + "(?:[-+~].*)?", version) is not None


def why_due(wanted: Wanted, found: Iterable[Found]) -> list[str]:
    """Reasons why the package is not as wanted. One architecture of it that is as wanted is enough."""
    reasons: list[str] = ["is not installed"]
    for package in found:
        if package.name != wanted.name:
            continue
        reasons = _why_not(wanted, package)
        if not reasons:
            break
    return reasons


def _why_not(wanted: Wanted, package: Found) -> list[str]:
    if not package.installed:
        known = package.state[:1] not in ("", "n", "c")
        return [f"is half-configured ({package.state})" if known else "is not installed"]
    reasons = []
    if not fits(wanted.version, package.version):
        reasons.append(f"has version {package.version}, wanted is {wanted.version}")
    if wanted.hold and not package.held:
        reasons.append(NOT_HELD)
    return reasons


def held_by_former_names(wanted: Iterable[Wanted], found: Iterable[Found]) -> list[str]:
    """Held packages among those found that are not wanted: their hold would keep apt from replacing them."""
    names = {package.name for package in wanted}
    held = (package.name for package in found if package.held and package.installed and package.name not in names)
    return list(dict.fromkeys(held))


def parse_madison(text: str) -> dict[str, list[str]]:
    """Name to the versions that `apt-cache madison` lists, best first, each once."""
    offered: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) < 2 or not fields[0]:
            continue
        versions = offered.setdefault(fields[0], [])
        if fields[1] not in versions:
            versions.append(fields[1])
    return offered


@dataclass(frozen=True)
class Choice:
    """What apt is told to install, which packages cannot be had, and a sentence about each of those."""

    specifiers: list[str]
    absent: list[str]
    message: str


def choose(due: Sequence[Wanted], offered: Mapping[str, Sequence[str]], repository: str) -> Choice:
    """The best offered version that fits, of each package. One without a wanted version is left to apt's own choice."""
    specifiers, absent, sentences = [], [], []
    for package in due:
        versions = offered.get(package.name, ())
        fitting = next((version for version in versions if fits(package.version, version)), "")
        if fitting:
            specifiers.append(f"{package.name}={fitting}" if package.version else package.name)
            continue
        absent.append(package.name)
        what = f"{package.name} {package.version}".rstrip()
        there = ", ".join(versions) or "no version of it"
        sentences.append(f"{what} is not in {package.repository or repository}, which offers {there}.")
    return Choice(specifiers, absent, " ".join(sentences))
