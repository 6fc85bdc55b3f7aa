# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which HCAs of a node get which firmware, which wait for a start of the machine, and what cannot be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .wanted import Wanted, older, wanted_of

IMAGES = "hardware.hcas.firmware_images"


@dataclass(frozen=True, order=True)
class Hca:
    """One HCA of the node, by its rail, the name that the class gives it, and its slot."""

    rail: int
    name: str
    address: str

    def __str__(self) -> str:
        return f"HCA {self.name} (rail {self.rail}, {self.address})"

    @property
    def card(self) -> str:
        """Functions of one card share their firmware."""
        return self.address.rpartition(".")[0]


@dataclass(frozen=True)
class Burn:
    """Firmware that is due: of PSID `psid`, in the place of `has`."""

    hca: Hca
    psid: str
    has: str
    wanted: Wanted

    def shown(self, version: str) -> str:
        """One line that says that the HCA has `version`."""
        return f"{self.hca}: firmware {version}"


@dataclass
class Plan:
    """What is to be burned; the version that waits for a start of the machine, by HCA; what cannot be, and remedies."""

    burns: list[Burn] = field(default_factory=list)
    waiting: dict[Hca, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def waits(self) -> list[str]:
        """A line for each HCA that waits, by rail: the same whichever run has burned it."""
        return [f"{version} in {hca}" for hca, version in sorted(self.waiting.items())]


def plan(
    hcas: Iterable[Hca], read: Mapping[str, Mapping[str, Any]], wants: Mapping[str, Any], allow_downgrade: bool
) -> Plan:
    """Compare. `read` is by PCI address the result of flint's query as `run_readers` gives it, `wants` is
    `hardware.hcas` of the class."""
    found = Plan()
    for hca in hcas:
        result = read[hca.address]
        if result["status"] != "ok":
            found.problems.append(
                f"{hca} does not tell its firmware: {result['error']}. "
                f"Remedy: see `flint --device {hca.address} query` and `dmesg` on the node."
            )
            continue
        _plan_one(found, hca, result["data"], wants, allow_downgrade)
    return found


def _plan_one(found: Plan, hca: Hca, has: Mapping[str, str], wants: Mapping[str, Any], allow_downgrade: bool) -> None:
    wanted, stored, running = wanted_of(wants, has["psid"]), has["stored"], has["running"]
    if wanted.met_by(stored):
        if not wanted.met_by(running):
            found.waiting[hca] = stored
        return
    differs = f"{hca} has firmware {stored}, the class has {wanted.version}"
    if not wanted.image_uri:
        found.problems.append(
            f"{differs}, and no image for its PSID {has['psid']}. Remedy: add that of the board's vendor to {IMAGES}."
        )
    elif older(wanted.version, stored) and not allow_downgrade:
        found.problems.append(
            f"{differs}, which is older. Remedy: correct {IMAGES}, or allow it for one run with "
            "-e doca_ofed_firmware_allow_downgrade=true."
        )
    elif stored != running:
        found.waiting[hca] = stored
        found.problems.append(
            f"{differs}, but waits for a restart with what it has, and takes no other before. Remedy: run again; a "
            "node that is not in service is restarted first."
        )
    else:
        found.burns.append(Burn(hca, has["psid"], stored, wanted))


def of_cards(burns: Iterable[Burn]) -> dict[str, list[Burn]]:
    """Burns by card: those of one follow each other, cards do not wait for each other."""
    cards: dict[str, list[Burn]] = {}
    for burn in burns:
        cards.setdefault(burn.hca.card, []).append(burn)
    return cards


def judge_images(burns: Sequence[Burn], read: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong with images: `read` is by SHA-256 what flint says of each, as `run_readers` gives it."""
    problems = []
    for burn in burns:
        wanted, result = burn.wanted, read[burn.wanted.sha256]
        if result["status"] != "ok":
            reason = f"is no image that flint can read ({result['error']})"
        elif result["data"]["psid"] != burn.psid:
            reason = f"is for boards with PSID {result['data']['psid']}, not {burn.psid}"
        elif result["data"]["stored"] != wanted.version:
            reason = f"holds firmware {result['data']['stored']}, not {wanted.version}"
        else:
            continue
        problems.append(
            f"{wanted.image_uri} {reason}; nothing was burned. "
            f"Remedy: correct {IMAGES}, where it stands for {burn.psid}."
        )
    return list(dict.fromkeys(problems))


def judge_burns(found: Plan, results: Mapping[str, Mapping[str, Any]]) -> list[Burn]:
    """Those that were burned, which now wait; the others become problems of the plan.

    `results` is by card what `run_readers` gives of `flint.burn_card`.
    """
    done = []
    for burn in found.burns:
        card = results[burn.hca.card]
        result = card["data"][burn.hca.address] if card["status"] == "ok" else card
        stored = result.get("stored")
        if stored == burn.wanted.version:
            done.append(burn)
            found.waiting[burn.hca] = stored
            continue
        reason = result["error"] if stored is None else f"it has {stored} afterwards"
        found.problems.append(
            f"{burn.hca} was not brought from firmware {burn.has} to {burn.wanted.version}: {reason}. "
            f"Remedy: see that no other tool works on it and run again; if that fails too, see "
            f"`flint --device {burn.hca.address} verify` on the node, power-cycle it, and exchange the HCA."
        )
    return done
