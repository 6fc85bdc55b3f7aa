# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files, directories and links are due, and what must or must not be in files that belong to others."""

from __future__ import annotations

import grp
import hashlib
import json
import pwd
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CLAUSE = re.compile(r"([ugoa]+)=([rwx]*)")
_BITS = {"r": 4, "w": 2, "x": 1}
_SHIFT = {"u": 6, "g": 3, "o": 0}


@dataclass(frozen=True)
class Found:
    """What lies at a path. `kind`: absent, file, directory, link or other; `sha256` of a file, `target` of a link."""

    kind: str
    mode: int = 0
    owner: str = ""
    group: str = ""
    sha256: str = ""
    target: str = ""


def look(path: str, follow: bool = True) -> Found:
    """What lies at `path`. With `follow` a link counts as what it leads to, as Ansible's modules take it."""
    try:
        status = Path(path).stat(follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return Found("absent")
    owner, group = _name(pwd.getpwuid, status.st_uid), _name(grp.getgrgid, status.st_gid)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISREG(status.st_mode):
        return Found("file", mode, owner, group, sha256=hash_of_file(path))
    if stat.S_ISDIR(status.st_mode):
        return Found("directory", mode, owner, group)
    if stat.S_ISLNK(status.st_mode):
        return Found("link", mode, owner, group, target=str(Path(path).readlink()))
    return Found("other", mode, owner, group)


def _name(lookup: Any, number: int) -> str:
    """Name of a user or group; the number itself where it has none."""
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def hash_of_file(path: str) -> str:
    """SHA-256 of a file of any size."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def hash_of_text(text: str) -> str:
    """SHA-256 of a text as it lies in a file."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_mode(mode: str) -> int:
    """`u=rw,go=r` and `0644` as a number. Raises ValueError for anything that is not absolute."""
    if re.fullmatch("0?[0-7]{3,4}", mode):
        return int(mode, 8)
    bits = 0
    for clause in mode.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise ValueError(f"{mode!r} is no absolute mode such as u=rw,go=r or 0644")
        granted = sum(_BITS[letter] for letter in set(match[2]))
        for who in set(match[1].replace("a", "ugo")):
            bits |= granted << _SHIFT[who]
    return bits


def why_due(wanted: Mapping[str, Any], found: Found) -> list[str]:
    """Reasons why what lies at a path is not as wanted.

    `wanted`: state (file, directory, link or absent) and any of sha256, target, mode, owner and group.
    """
    state = wanted.get("state") or "file"
    if found.kind != state:
        return ["is missing" if found.kind == "absent" else f"is there, as a {found.kind}"]
    if state == "absent":
        return []
    if state == "link":
        return [] if found.target == wanted.get("target") else [f"leads to {found.target}"]
    reasons = []
    if wanted.get("sha256") and found.sha256 != wanted["sha256"]:
        reasons.append("has another content")
    return reasons + why_attributes_due(wanted, found)


def why_attributes_due(wanted: Mapping[str, Any], found: Found) -> list[str]:
    """Reasons why mode, owner and group are not those that are wanted."""
    reasons = []
    if wanted.get("mode") and found.mode != parse_mode(wanted["mode"]):
        reasons.append(f"has mode {found.mode:04o}, wanted is {parse_mode(wanted['mode']):04o}")
    return reasons + [
        f"has the {key} {getattr(found, key)}, wanted is {wanted[key]}"
        for key in ("owner", "group")
        if wanted.get(key) and wanted[key] != getattr(found, key)
    ]


def strangers(wanted: Mapping[str, Any]) -> list[str]:
    """Those of `owner` and `group` that the host does not know."""
    lookups = {"owner": pwd.getpwnam, "group": grp.getgrnam}
    return [key for key, lookup in lookups.items() if wanted.get(key) and not _known(lookup, wanted[key])]


def _known(lookup: Any, name: str) -> bool:
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def merge(present: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """`present` with `ours` over it: mappings are merged, of everything else ours wins."""
    merged = dict(present)
    for key, value in ours.items():
        before = merged.get(key)
        merged[key] = merge(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


@dataclass(frozen=True)
class Merged:
    """A JSON file with keys of others in it: the text that it should have, and a hash that ignores its layout.

    `before`: that hash of what the file has now; `changed`: the keys at the top that get another value.
    """

    due: bool
    text: str
    sha256: str
    before: str = ""
    changed: tuple[str, ...] = ()


def merge_json(present: str | None, ours: Mapping[str, Any]) -> Merged:
    """Put `ours` into a JSON file of the text `present` (None: there is no file). A text that says the same stays.

    Raises ValueError where the text is not that of a JSON object, because its keys could not be kept.
    """
    try:
        before = json.loads(present) if present and present.strip() else {}
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise ValueError(
            "is not a JSON object, so its keys cannot be kept. Correct it or move it away, then run again."
        )
    after = merge(before, ours)
    due = present is None or after != before
    text = present if present is not None and not due else json.dumps(after, indent=2, sort_keys=True) + "\n"
    changed = tuple(sorted(key for key in after if key not in before or before[key] != after[key]))
    return Merged(due, text, _hash_of_json(after), _hash_of_json(before), changed)


def _hash_of_json(value: Mapping[str, Any]) -> str:
    return hash_of_text(json.dumps(value, sort_keys=True))


def why_text_due(wanted: Mapping[str, Any], text: str | None) -> list[str]:
    """Reasons why a file of others has not what it must have. `text` is None where there is no such file.

    `wanted`: any of equals (but for white space at the end), contains (texts), words (parted by white space) and
    lacks (regular expressions of which none may match; `^` and `$` are those of a line).
    """
    if text is None:
        return (
            ["is missing"] if wanted.get("equals") is not None or wanted.get("contains") or wanted.get("words") else []
        )
    reasons = []
    if wanted.get("equals") is not None and text.rstrip() != wanted["equals"].rstrip():
        reasons.append("has another content")
    missing = [part for part in wanted.get("contains") or () if part not in text]
    if missing:
        reasons.append(f"lacks {len(missing)} of {len(wanted['contains'])} parts")
    absent = set(wanted.get("words") or ()).difference(text.split())
    if absent:
        reasons.append(f"lacks {' '.join(word for word in wanted['words'] if word in absent)}")
    left = [pattern for pattern in wanted.get("lacks") or () if re.search(pattern, text, re.MULTILINE)]
    return reasons + [f"has what matches {pattern}" for pattern in left]


def why_older(path: str, sources: Sequence[str]) -> list[str]:
    """Reasons why a file that a program made of `sources` must be made anew: it is older than one, or not there."""
    made = _written(path)
    if made is None:
        return ["is missing"]
    return [f"is older than {source}" for source in sources if (_written(source) or 0) > made]


def _written(path: str) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
