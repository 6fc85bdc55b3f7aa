# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot order and one-time network boot: what is set, and the request that makes it as wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("pxe", "disk", "usb", "cd", "other")
_ALIASES = {"pxe": "pxe", "hdd": "disk", "usb": "usb", "cd": "cd"}
_WORDS = (
    ("pxe", ("pxe", "ipv4", "ipv6", "mac(")),
    ("usb", ("usb",)),
    ("cd", ("dvd", "cd-rom", "cdrom", "optical")),
    ("disk", ("nvme", "sata", "hard", "disk", "hd(", "raid", "ubuntu", "debian")),
)


@dataclass(frozen=True)
class Option:
    """One boot option of the firmware; `kind` is one of KINDS."""

    reference: str
    name: str
    kind: str


def option(body: Mapping[str, Any]) -> Option:
    """A boot option by its resource; its kind is told by the alias, else by words in its name and device path."""
    name = str(body.get("DisplayName") or body.get("Name") or "")
    kind = _ALIASES.get(str(body.get("Alias") or "").lower(), "")
    if not kind:
        text = f"{name} {body.get('UefiDevicePath') or ''}".lower()
        kind = next((kind for kind, words in _WORDS if any(word in text for word in words)), "other")
    return Option(str(body.get("BootOptionReference") or body.get("Id") or ""), name, kind)


def order(current: Sequence[str], options: Iterable[Option], kinds: Sequence[str]) -> list[str]:
    """The boot order with options of `kinds` first, in that order; all others stay behind them as they are."""
    by_reference = {each.reference: each.kind for each in options}
    rank = {kind: position for position, kind in enumerate(kinds)}
    return sorted(current, key=lambda reference: rank.get(by_reference.get(reference, "other"), len(rank)))


def network_once(system: Mapping[str, Any]) -> dict[str, Any]:
    """What to change so that the next start comes from the network, once; empty where it is so already.

    Raises ValueError where the BMC does not take it. The mode is left alone: setting it makes some schedule a job.
    """
    boot = system.get("Boot")
    if not isinstance(boot, Mapping):
        raise ValueError("the BMC tells nothing of the boot; it has no boot override")
    wanted = {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}
    for name, value in wanted.items():
        allowed = boot.get(f"{name}@Redfish.AllowableValues")
        if isinstance(allowed, list) and value not in allowed:
            raise ValueError(f"the BMC takes no {name} {value}, only {', '.join(map(str, allowed))}")
    return {} if all(boot.get(name) == value for name, value in wanted.items()) else wanted
