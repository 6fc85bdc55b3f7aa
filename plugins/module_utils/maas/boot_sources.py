# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where MAAS gets its images from, which of them it wants, and their import."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .client import Client, Value
from .errors import InvalidResponse, MaasError, ServerError, Unavailable, Unreachable
from .reconcile import Change, Write, differing

_SELECTED = ("arches", "subarches", "labels")


@dataclass(frozen=True)
class Source:
    """A boot source as wanted; it goes by its URL. `selections` have os, release, arches, subarches and labels."""

    url: str
    keyring_filename: str | None = None
    keyring_data: str | None = None  # base64
    selections: Sequence[Mapping[str, Any]] | None = None
    exclusive: bool = False


@dataclass(frozen=True)
class Sources:
    """MAAS's boot sources, and the selections of the one that is asked about."""

    items: Sequence[Mapping[str, Any]]
    selections: Sequence[Mapping[str, Any]] = ()

    def find(self, url: str) -> Mapping[str, Any] | None:
        """The source with this URL, a slash at its end or not."""
        return next((item for item in self.items if _same(str(item["url"]), url)), None)


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def read_sources(client: Client, url: str) -> Sources:
    """All boot sources, and the selections of that with this URL. One or two requests."""
    sources = Sources(_list(client, "boot-sources/"))
    found = sources.find(url)
    if found is None:
        return sources
    return Sources(sources.items, _list(client, f"boot-sources/{found['id']}/selections/"))


def _list(client: Client, path: str) -> list[Mapping[str, Any]]:
    answer = client.get(path)
    if not isinstance(answer, list) or not all(isinstance(item, Mapping) and "id" in item for item in answer):
        raise InvalidResponse("MAAS's boot sources cannot be read.", method="GET", path=path)
    return answer


def plan_source(wanted: Source, present: bool, there: Sources) -> list[Change]:
    """What differs. Selections are sent when the source is there."""
    found = there.find(wanted.url)
    if not present:
        if found is None:
            return []
        return [Change("source", wanted.url, {"url": wanted.url}, None, Write("DELETE", _path(found)))]
    fields: dict[str, Value] = {
        "url": wanted.url,
        "keyring_filename": wanted.keyring_filename,
        "keyring_data": wanted.keyring_data,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    changes: list[Change] = []
    if found is None:
        changes.append(Change("source", wanted.url, None, _short(given), Write("POST", "boot-sources/", given)))
    else:
        other = differing({**fields, "url": None}, found)
        if other:
            was = _short({name: found.get(name) for name in other})
            # MAAS's form wants the URL and one keyring with every change.
            sent = {"url": str(found["url"]), **given, **other}
            changes.append(Change("source", wanted.url, was, _short(other), Write("PUT", _path(found), sent)))
    return changes + _plan_selections(wanted, found, there)


def _path(source: Mapping[str, Any]) -> str:
    return f"boot-sources/{source['id']}/"


def _short(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A keyring is long and binary; its size will do."""
    return {
        name: f"{len(str(value))} characters" if name == "keyring_data" and value else value
        for name, value in fields.items()
    }


def _plan_selections(wanted: Source, found: Mapping[str, Any] | None, there: Sources) -> list[Change]:
    if wanted.selections is None:
        return []
    changes: list[Change] = []
    known = {(item.get("os"), item.get("release")): item for item in there.selections}
    for selection in wanted.selections:
        key = (str(selection["os"]), str(selection["release"]))
        name = "/".join(key)
        lists = {field: list(selection[field]) for field in _SELECTED if selection.get(field)}
        current = known.get(key)
        if current is None:
            fields = {"os": key[0], "release": key[1], **lists}
            write = Write("POST", f"{_path(found)}selections/", fields) if found else None
            changes.append(Change("selection", name, None, fields, write))
            continue
        other = {field: value for field, value in lists.items() if sorted(value) != sorted(current.get(field) or ())}
        if other and found:
            sent = {"os": key[0], "release": key[1], **lists}
            write = Write("PUT", f"{_path(found)}selections/{current['id']}/", sent)
            changes.append(Change("selection", name, {field: current.get(field) for field in other}, other, write))
    if wanted.exclusive and found:
        asked = {(str(item["os"]), str(item["release"])) for item in wanted.selections}
        for item in there.selections:
            if (item.get("os"), item.get("release")) not in asked:
                write = Write("DELETE", f"{_path(found)}selections/{item['id']}/")
                changes.append(Change("selection", f"{item.get('os')}/{item.get('release')}", dict(item), None, write))
    return changes


def keyring_text(data: bytes) -> str:
    """A keyring's bytes as MAAS shows and takes them."""
    return base64.b64encode(data).decode("ascii")


def missing_images(selections: Sequence[Mapping[str, Any]], resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """The selections, as os/release/arch, for which MAAS has no image yet."""
    have = {(str(item.get("name")), str(item.get("architecture", "")).partition("/")[0]) for item in resources}
    names = {name for name, _arch in have}
    lacking: list[str] = []
    for item in selections:
        name = f"{item['os']}/{item['release']}"
        lacking += [
            f"{name}/{arch}"
            for arch in item.get("arches") or ("*",)
            if (name not in names if arch == "*" else (name, arch) not in have)
        ]
    return lacking


@dataclass(frozen=True)
class Waiting:
    """Seconds: how often to look, and when to stop waiting for the import."""

    poll: float = 15.0
    timeout: float = 7200.0


def import_images(
    client: Client,
    selections: Sequence[Mapping[str, Any]],
    waiting: Waiting,
    *,
    progress: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Start the import and wait until MAAS has every image selected. Raises MaasError with what is lacking.

    An import that is under way is waited for: starting another would only queue it.
    """
    start = monotonic()
    started = False
    while True:
        try:
            lacking = missing_images(selections, client.get("boot-resources/", params={"type": "synced"}))
            busy = bool(client.get("boot-resources/", "is_importing"))
            if not lacking and not busy:
                return
            if not busy:
                if started and lacking and monotonic() - start > 4 * waiting.poll:
                    raise MaasError(
                        f"MAAS ended the import without {', '.join(lacking)}.",
                        remedy="Are release and architecture right, and can the region reach the source? See its log.",
                    )
                if not started:
                    client.post("boot-resources/", "import", idempotent=True)
                    started = True
            progress(f"importing, lacking {', '.join(lacking) or 'nothing'}; {monotonic() - start:.0f} s")
        except (ServerError, Unavailable, Unreachable, InvalidResponse) as error:
            # An import makes MAAS busy: a look that failed is followed by another, until the time is up.
            if getattr(error, "permanent", False) or monotonic() - start >= waiting.timeout:
                raise
            lacking = ["what could not be asked"]
        if monotonic() - start >= waiting.timeout:
            raise MaasError(
                f"MAAS is still importing after {waiting.timeout:.0f} s; lacking: {', '.join(lacking) or 'nothing'}.",
                remedy="Run again to go on waiting: MAAS goes on with the import.",
            )
        sleep(min(waiting.poll, max(0.0, waiting.timeout - (monotonic() - start))))
