# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the lab's MAAS rather than of one node: requests that fail, get lost, stall, or are not answered at all.

No check finds them: a bring-up is to get through in spite of them, or to stop and say that MAAS does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab import files
from lab.errors import LabError
from lab.site import Lab

# In the place of a node's name.
REGION = "maas"


@dataclass(frozen=True)
class Limit:
    """A parameter: its default, and the least and the most that it can be."""

    default: int
    least: int
    most: int


_SHARE = {"percent": Limit(20, 1, 100), "seed": Limit(1, 0, 2**31)}
_STATUS = {"status": Limit(503, 500, 599)}
_PATIENCE = Limit(30, 1, 3600)
_SECONDS = {"seconds": Limit(30, 1, 3600)}


@dataclass(frozen=True)
class RegionKind:
    """One kind; `ways` are those of the simulator in which requests go wrong; without any it is down, or impatient."""

    name: str
    summary: str
    ways: tuple[str, ...]
    parameters: Mapping[str, Limit]


KINDS = {
    kind.name: kind
    for kind in (
        RegionKind("down", "MAAS closes every connection", (), {}),
        RegionKind("impatient", "MAAS gives machines no more than this time to start", (), {"seconds": _PATIENCE}),
        RegionKind("http-errors", "a share of the requests is answered with 5xx", ("status",), {**_SHARE, **_STATUS}),
        RegionKind("http-resets", "a share of the connections is reset, before or after", ("reset", "lost"), _SHARE),
        RegionKind("http-truncated", "a share of the answers ends half-way", ("truncate",), _SHARE),
        RegionKind("http-stalls", "a share of the answers comes so much later", ("stall",), {**_SHARE, **_SECONDS}),
        RegionKind(
            "http-flaky",
            "a share of the requests goes wrong in any of these ways",
            ("status", "reset", "lost", "truncate", "stall"),
            {**_SHARE, **_STATUS, **_SECONDS},
        ),
    )
}


def used(name: str, given: Mapping[str, int]) -> dict[str, int]:
    """Parameters of a kind, with the defaults of those that are not given.

    :raises LabError: no such kind or parameter, or a value out of its range; the message says what there is.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise LabError(f"no fault of kind {name!r} for {REGION}; there are: {', '.join(KINDS)}")
    for parameter in given:
        if parameter not in kind.parameters:
            takes = ", ".join(f"--{one}" for one in kind.parameters) or "no parameter"
            raise LabError(f"{name} does not take --{parameter}; it takes {takes}")
    values = {parameter: given.get(parameter, limit.default) for parameter, limit in kind.parameters.items()}
    for parameter, value in values.items():
        limit = kind.parameters[parameter]
        if not limit.least <= value <= limit.most:
            raise LabError(f"--{parameter} {value}: {name} takes {limit.least} to {limit.most}")
    return values


def inject(lab: Lab, name: str, values: Mapping[str, int]) -> None:
    """Have the simulator behave so from its next request on."""
    kind = KINDS[name]
    if not kind.ways:
        _change(lab, **({"patience": values["seconds"]} if values else {"down": True}))
        return
    http: dict[str, Any] = {"ways": list(kind.ways), "share": values["percent"] / 100, "seed": values["seed"]}
    http.update({key: values[key] for key in ("status", "seconds") if key in values})
    _change(lab, http=http)


def heal(lab: Lab, name: str) -> None:
    """Have the simulator answer as it should; what was asked for machines stays."""
    _change(lab, **{"http": None} if KINDS[name].ways else {"down": None, "patience": None})


def _change(lab: Lab, **values: Any) -> None:
    path = lab.directory / "maas-faults.json"
    content = {**files.read_json(path, {}), **values}
    files.write_json(path, {key: value for key, value in content.items() if value is not None})
