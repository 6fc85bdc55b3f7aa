# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remedies: what may be done about a finding without hands on the machine, and in which order.

A check has a ladder: the first rung is tried first, and where the finding stays or comes back the next. Every ladder
ends with a ticket, which is all that a check without a ladder here has: hands, parts or another team mend it.
"""

from __future__ import annotations

# In the order in which they are felt. No ladder leads back to one that was tried.
REMEDIES: tuple[str, ...] = ("restart_service", "reload_module", "reset_gpu", "reboot", "reprovision", "ticket")
TICKET = "ticket"
# Told with its command, and left to a person: it may erase disks.
BY_HAND = "reprovision"

DEFAULT: tuple[str, ...] = (TICKET,)

_SERVICE = ("restart_service", "reboot", TICKET)
_CONTAINERS = ("restart_service", "reboot", "reprovision", TICKET)
_GPU = ("reset_gpu", "reboot", TICKET)
_RESTART = ("reboot", TICKET)

LADDERS: dict[str, tuple[str, ...]] = {
    "systemd.failed": ("restart_service", TICKET),
    "systemd.required": _SERVICE,
    "clock.offset": ("restart_service", TICKET),
    "os.release": ("reprovision", TICKET),
    "kernel.modules": ("reload_module", "reboot", TICKET),
    "kernel.taint": _RESTART,
    "gpu.count": _RESTART,
    "gpu.driver.version": _RESTART,
    "gpu.persistence": _SERVICE,
    "gpu.recovery_action": _GPU,
    "gpu.reset_required": _GPU,
    "gpu.clocks.stuck": _GPU,
    "gpu.ecc.uncorrected": _GPU,
    "gpu.row_remap.pending": _GPU,
    "gpu.nvlink.active": _GPU,
    "gpu.nvlink.speed": _GPU,
    "gpu.nvlink.crc_rate": ("reset_gpu", TICKET),
    "gpu.nvlink.replay_rate": ("reset_gpu", TICKET),
    "gpu.nvlink.recovery_rate": ("reset_gpu", TICKET),
    "gpu.fabric_manager": _SERVICE,
    "gpu.fabric.state": ("restart_service", "reset_gpu", "reboot", TICKET),
    "gpu.fabric.health": _GPU,
    "gpu.sxid": _RESTART,
    "docker.daemon": _CONTAINERS,
    "docker.storage_driver": ("restart_service", "reprovision", TICKET),
    "disk.nvme.state": _RESTART,
}

# The ladder of gpu.xid is that of the gravest XID's bucket.
XID_LADDERS: dict[str, tuple[str, ...]] = {
    "drain_rma": DEFAULT,
    "connection": DEFAULT,
    "reset_gpu": _GPU,
    "reboot": _RESTART,
    "recovery": _GPU,
}

# What restart_service restarts, where the finding does not name a unit itself.
SERVICES: dict[str, str] = {
    "clock.offset": "chrony.service",
    "gpu.persistence": "nvidia-persistenced.service",
    "gpu.fabric_manager": "nvidia-fabricmanager.service",
    "gpu.fabric.state": "nvidia-fabricmanager.service",
    "docker.daemon": "docker.service",
    "docker.storage_driver": "docker.service",
}
# Findings of these name the unit in their component (`unit:docker.service`).
OF_UNITS: tuple[str, ...] = ("systemd.failed", "systemd.required")
# Findings of these name kernel modules that are missing.
OF_MODULES: tuple[str, ...] = ("kernel.modules",)


def refusal(check: str, ladder: tuple[str, ...]) -> str:
    """Why `ladder` can be none of `check`'s, with what would do; empty where it can."""
    ranks = [REMEDIES.index(rung) for rung in ladder]
    if ranks != sorted(set(ranks)):
        return f"its rungs must stand in the order {', '.join(REMEDIES)}"
    if ladder[-1:] != (TICKET,):
        return f"it must end with {TICKET}, for when nothing else has helped"
    if "restart_service" in ladder and check not in SERVICES and check not in OF_UNITS:
        return f"no service belongs to {check}; restart_service is for {', '.join(sorted({*SERVICES, *OF_UNITS}))}"
    if "reload_module" in ladder and check not in OF_MODULES:
        return f"no kernel module belongs to {check}; reload_module is for {', '.join(OF_MODULES)}"
    return ""
