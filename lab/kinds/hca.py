# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of HCAs."""

from __future__ import annotations

from collections.abc import Callable

from lab import fabric, files
from lab.kinds.model import HCA, Kind, Target, Values


def _hca_down(target: Target, values: Values) -> None:
    fabric.hca_down(target.lab.directory, target.machine.name, values["hca"])


def _hca_up(target: Target, values: Values) -> None:
    # Whoever replaces a cable clears the counters, so that what they show afterwards is new.
    fabric.hca_up(target.lab.directory, target.machine.name, values["hca"])
    fabric.set_counter(target.lab.directory, target.machine.name, values["hca"], "LinkDownedCounter", 0)


def _count_port(counter: str, value: int) -> Callable[[Target, Values], None]:
    """Set an error counter of an HCA's port; its healthy value is zero."""
    return lambda target, values: fabric.set_counter(
        target.lab.directory, target.machine.name, values["hca"], counter, value
    )


def _shows(name: str, text: str) -> Callable[[Target, Values], None]:
    """A file of the HCA has another text, until the fabric is next read."""

    def change(target: Target, values: Values) -> None:
        folder = target.directory / "sysfs" / "class" / "infiniband" / f"mlx5_{values['hca']}"
        files.write_text(folder / name, f"{text}\n")

    return change


def _read_anew(target: Target, values: Values) -> None:
    fabric.refresh(target.lab.directory)


KINDS: tuple[Kind, ...] = (
    Kind(
        "hca-flaps",
        "hca.link_downed",
        "an InfiniBand link has gone down twelve times since it was last looked at",
        _count_port("LinkDownedCounter", 12),
        _count_port("LinkDownedCounter", 0),
        (HCA,),
    ),
    Kind(
        "hca-symbol-errors",
        "hca.symbol_errors",
        "an InfiniBand port has counted 50000 symbol errors since it was last looked at",
        _count_port("SymbolErrorCounter", 50_000),
        _count_port("SymbolErrorCounter", 0),
        (HCA,),
    ),
    Kind(
        "hca-remote-errors",
        "hca.remote_errors",
        "an InfiniBand port has received 5000 packets that were damaged before",
        _count_port("PortRcvRemotePhysicalErrors", 5000),
        _count_port("PortRcvRemotePhysicalErrors", 0),
        (HCA,),
    ),
    Kind(
        "hca-link-integrity",
        "hca.link_integrity",
        "an InfiniBand link has had more errors than it can live with, nine times since it was last looked at",
        _count_port("LocalLinkIntegrityErrors", 9),
        _count_port("LocalLinkIntegrityErrors", 0),
        (HCA,),
    ),
    Kind("hca-down", "hca.state", "the cable of an InfiniBand port is pulled", _hca_down, _hca_up, (HCA,)),
    Kind(
        "hca-recovering",
        "hca.physical_state",
        "the link of an InfiniBand port recovers from errors all the time",
        _shows("ports/1/phys_state", "6: LinkErrorRecovery"),
        _read_anew,
        (HCA,),
    ),
    Kind(
        "hca-ethernet",
        "hca.link_layer",
        "an InfiniBand port has come up as Ethernet",
        _shows("ports/1/link_layer", "Ethernet"),
        _read_anew,
        (HCA,),
    ),
    Kind(
        "hca-no-guid",
        "hca.guid",
        "the GUID of an HCA was lost when its firmware was burned",
        _shows("node_guid", "0000:0000:0000:0000"),
        _read_anew,
        (HCA,),
    ),
    Kind(
        "hca-no-subnet-manager",
        "hca.subnet_manager",
        "no subnet manager has come to an InfiniBand port",
        _shows("ports/1/sm_lid", "0x0"),
        _read_anew,
        (HCA,),
    ),
    Kind(
        "hca-limited",
        "hca.pkey",
        "an InfiniBand port is only a limited member of its partition",
        _shows("ports/1/pkeys/0", "0x7fff"),
        _read_anew,
        (HCA,),
    ),
)
