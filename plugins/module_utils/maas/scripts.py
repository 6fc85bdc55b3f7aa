# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commissioning, testing and release scripts as data, and what they said on the machines. Pure, but for reading."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .client import Client, Fields, Value
from .errors import InvalidResponse, MaasError, NotFound, Unauthorized, Unavailable, Unreachable
from .reconcile import Change, Write, differing

TYPES = {"commissioning": 0, "testing": 2, "release": 3}
HARDWARE = {"node": 0, "cpu": 1, "memory": 2, "storage": 3, "network": 4, "gpu": 5}
PARALLEL = {"disabled": 0, "instance": 1, "any": 2}


@dataclass(frozen=True)
class Script:
    """A script as wanted. None leaves a field to MAAS or to the metadata inside the script."""

    name: str
    content: str | None = None
    type: str | None = None
    title: str | None = None
    description: str | None = None
    hardware_type: str | None = None
    parallel: str | None = None
    timeout: int | None = None  # seconds
    destructive: bool | None = None
    may_reboot: bool | None = None
    recommission: bool | None = None
    tags: Sequence[str] | None = None
    comment: str | None = None

    @property
    def path(self) -> str:
        """The script's path, which has no slash at its end."""
        return f"scripts/{quote(self.name, safe='')}"

    def compared(self) -> dict[str, Value]:
        """The fields as MAAS shows them."""
        return {
            "type": _number(TYPES, self.type),
            "title": self.title,
            "description": self.description,
            "hardware_type": _number(HARDWARE, self.hardware_type),
            "parallel": _number(PARALLEL, self.parallel),
            "timeout": None if self.timeout is None else duration(self.timeout),
            "destructive": self.destructive,
            "may_reboot": self.may_reboot,
            "recommission": self.recommission,
        }

    def form(self) -> dict[str, Value]:
        """All given fields, as MAAS takes them."""
        return {
            **self.compared(),
            "name": self.name,
            "type": self.type,
            "timeout": self.timeout,
            "tags": None if self.tags is None else ",".join(self.tags),
            "script": self.content,
            "comment": self.comment,
        }


def _number(table: Mapping[str, int], word: str | None) -> int | None:
    return None if word is None else table[word]


def duration(seconds: int) -> str:
    """Seconds as MAAS shows a time-out, such as 0:05:00."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def read_script(client: Client, name: str) -> Mapping[str, Any] | None:
    """MAAS's script of this name with its content, None where there is none."""
    try:
        script = client.get(f"scripts/{quote(name, safe='')}", params={"include_script": True})
    except NotFound:
        return None
    if not isinstance(script, Mapping) or script.get("name") != name:
        raise InvalidResponse(f"MAAS's record of the script {name} cannot be read.", method="GET", path="scripts/")
    return script


def content(script: Mapping[str, Any]) -> str:
    """The newest version of a script's text, empty where MAAS does not show it."""
    newest = max(script.get("history") or [{}], key=lambda version: version.get("id", 0))
    return decoded(newest.get("data"))


def decoded(data: Any) -> str:
    """What MAAS sends in base64, as text."""
    try:
        return base64.b64decode(data or "", validate=False).decode("utf-8", "replace")
    except (binascii.Error, TypeError, ValueError):
        return ""


def plan_script(wanted: Script, present: bool, current: Mapping[str, Any] | None) -> list[Change]:
    """The change, if any. A script's own tags count as there when MAAS shows them among others."""
    if not present:
        if current is None:
            return []
        return [Change("script", wanted.name, {"title": current.get("title")}, None, Write("DELETE", wanted.path))]
    compared = wanted.compared()
    given = {name: value for name, value in compared.items() if value is not None}
    if current is None:
        after = {**given, "content": wanted.content, **({"tags": list(wanted.tags)} if wanted.tags is not None else {})}
        return [Change("script", wanted.name, None, after, Write("POST", "scripts/", wanted.form()))]
    before: dict[str, Any] = {}
    after = {}
    for name, value in differing(compared, current).items():
        before[name], after[name] = current.get(name), value
    if wanted.content is not None and wanted.content != content(current):
        before["content"], after["content"] = content(current), wanted.content
    if wanted.tags is not None and not set(wanted.tags) <= set(current.get("tags") or ()):
        before["tags"], after["tags"] = list(current.get("tags") or ()), list(wanted.tags)
    if not after:
        return []
    form = wanted.form()
    sent: Fields = {
        name if name != "content" else "script": form["script" if name == "content" else name] for name in after
    }
    if "content" in after and wanted.comment:
        sent = {**sent, "comment": wanted.comment}
    return [Change("script", wanted.name, before, after, Write("PUT", wanted.path, sent))]


def read_results(
    client: Client, system_id: str, *, kind: str | None, scripts: Sequence[str], output: bool, history: bool
) -> list[dict[str, Any]]:
    """What scripts said on one machine, newest run first; without `history` only the newest run of each type."""
    params: Fields = {"type": kind, "filters": ",".join(scripts) or None, "include_output": True if output else None}
    runs = client.get(f"nodes/{quote(system_id, safe='')}/results/", params=params)
    if not isinstance(runs, list):
        raise InvalidResponse("MAAS's script results cannot be read.", method="GET", path=f"nodes/{system_id}/results/")
    return newest_runs([_run(item) for item in runs], history=history)


def read_runs(client: Client, system_id: str) -> list[dict[str, Any]]:
    """The newest run of each type on one machine, without what it wrote."""
    return read_results(client, system_id, kind=None, scripts=(), output=False, history=False)


def read_all(
    client: Client, system_ids: Sequence[str], concurrency: int
) -> dict[str, list[dict[str, Any]] | MaasError]:
    """The newest runs of many machines by id, or why those of one cannot be read.

    Raises Unauthorized, and Unreachable or Unavailable as soon as one request ends so: the others would wait in vain.
    """
    gone: list[MaasError] = []

    def read(system_id: str) -> list[dict[str, Any]] | MaasError:
        if gone:
            return gone[0]
        try:
            return read_runs(client, system_id)
        except (Unauthorized, Unreachable, Unavailable) as error:
            gone.append(error)
            return error
        except MaasError as error:
            return error

    with ThreadPoolExecutor(max_workers=concurrency) as pool:
        found = dict(zip(system_ids, pool.map(read, system_ids), strict=True))
    if gone:
        raise gone[0]
    return found


def newest_commissioning(runs: Sequence[Mapping[str, Any]]) -> int:
    """The id of the newest commissioning, 0 where there is none. MAAS numbers them upwards."""
    return max((run["id"] for run in runs if run["type"] == "commissioning"), default=0)


def newest_runs(runs: Sequence[dict[str, Any]], *, history: bool) -> list[dict[str, Any]]:
    """Runs in falling order of their id; without `history` one of each type."""
    chosen: list[dict[str, Any]] = []
    for run in sorted(runs, key=lambda item: -item["id"]):
        if history or run["type"] not in {item["type"] for item in chosen}:
            chosen.append(run)
    return chosen


def not_passed(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Scripts of the newest commissioning, and of the tests that came with it, that did not pass: `name (status)`.

    Where some failed, only these: the first failure has MAAS abort all that were still to run.
    """
    began = newest_commissioning(runs)
    ran = [run for run in runs if run["id"] >= began and run["type"] in ("commissioning", "testing")]
    results = [item for run in sorted(ran, key=lambda run: run["id"]) for item in run["results"]]
    bad = [item for item in results if not item["passed"] and not item["suppressed"]]
    return [f"{item['name']} ({item['status']})" for item in [item for item in bad if item["failed"]] or bad]


_PASSED = (2, 9)  # passed, skipped
_FAILED = (3, 4, 6, 8, 11)  # failed, timed out, degraded, installing or networking failed


def _run(data: Mapping[str, Any]) -> dict[str, Any]:
    results = [_result(item) for item in data.get("results") or ()]
    return {
        "id": int(data.get("id") or 0),
        "type": str(data.get("type_name", "")).lower(),
        "status": str(data.get("status_name", "")),
        "started": data.get("started"),
        "ended": data.get("ended"),
        "results": results,
        "failed": [item["name"] for item in results if item["failed"]],
    }


def _result(item: Mapping[str, Any]) -> dict[str, Any]:
    status = item.get("status")
    shown = {
        "name": str(item.get("name", "")),
        "status": str(item.get("status_name", "")),
        "passed": status in _PASSED,
        "failed": status in _FAILED and not item.get("suppressed"),
        "exit_status": item.get("exit_status"),
        "runtime": item.get("runtime") or "",
        "suppressed": bool(item.get("suppressed")),
    }
    return {**shown, **{name: decoded(item[name]) for name in ("stdout", "stderr", "output", "result") if name in item}}
