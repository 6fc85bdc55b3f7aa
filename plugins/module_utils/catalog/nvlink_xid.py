# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the registers in XIDs of NVLinks mean, and the bucket (catalog.xid) that this comes to.

The facts are those of NVIDIA's XID catalogue (docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html, 2025):
of XID 74 its WORKFLOW_NVLINK_ERR, which holds for Hopper; of XIDs 144 to 150 its sheet "XID 144-150 Decode".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bits:
    """What some bits of XID 74's registers say. `register` counts from 0, as the line has them."""

    register: int
    bits: tuple[int, ...]
    meaning: str
    bucket: str


_ECC = "ECC or parity error of the link"
_CONNECTION = "maybe a bad connection"
_SECONDARY = "follows from another error"
_REPEATS = "to be looked at if it repeats"
# So often on one link it is the part: NVIDIA wants to know from the third time on.
ECC_REPEATS = 3

# From the gravest: the first of which a bit is set decides.
NVLINK_BITS: tuple[Bits, ...] = (
    Bits(0, (8, 9, 12, 16, 17, 24, 28), _CONNECTION, "connection"),
    Bits(0, (21, 22), "marginal signal", "connection"),
    Bits(0, (4, 5), _ECC, "reset_gpu"),
    Bits(2, (0, 1, 2, 6), _ECC, "reset_gpu"),
    Bits(4, (18, 19, 21, 22, 24, 25, 27, 28), _ECC, "reset_gpu"),
    Bits(2, (13,), "not expected in production", "reset_gpu"),
    Bits(0, (27, 29), _REPEATS, "reset_gpu"),
    Bits(2, (16, 17, 18, 19), _REPEATS, "reset_gpu"),
    Bits(0, (1, 20), _SECONDARY, "reset_gpu"),
    Bits(3, (16, 17, 18), _SECONDARY, "reset_gpu"),
    Bits(4, (20, 23, 26, 29), "many corrected errors", "info"),
    Bits(0, (0, 23, 30), "harmless", "info"),
)
# Registers of which the bits mean something.
_VALID = (0, 2, 3, 4)
# By the model's name; of other GPUs the registers are laid out otherwise.
_HOPPER = ("H100", "H200", "H800", "H20", "GH200")


def is_hopper(model: str) -> bool:
    return any(name in model for name in _HOPPER)


def of_registers(registers: Sequence[int], times: int) -> tuple[str, str]:
    """Bucket and meaning of XID 74 on one link of a Hopper GPU, by all bits that were set in so many lines."""
    known = [0] * max(len(registers), 5)
    read = [*registers, *known][: len(known)]
    found = []
    for row in NVLINK_BITS:
        mask = sum(1 << bit for bit in row.bits)
        known[row.register] |= mask
        if read[row.register] & mask:
            found.append(row)
    strange = any(read[register] & ~known[register] for register in _VALID)
    if strange or not found:
        # Of what nobody has told the meaning the link is down until something shows that it is not.
        return "reset_gpu", "registers that are not known"
    if found[0].meaning == _ECC and times >= ECC_REPEATS:
        return "drain_rma", f"{_ECC}, again and again"
    return found[0].bucket, found[0].meaning


# NVLink 5. Of what the driver calls nonfatal: by unit, the status bits of which nobody need know, those after which
# only the application is to be restarted (if more is needed, XID 154 says so); the others are worth a look.
_IGNORED: dict[str, tuple[int, ...]] = {
    "SAW_MVB": (0x4, 0x20),
    "RLW_REMAP": (0x100, 0x200),
    "RLW_RSPCOL": (0x1,),
    "RLW_SRC_TRACK": (0x2,),
    "RLW_TAGSTATE": (0x1, 0x10000),
    "TLW_CTRL": (0x1,),
    "TLW_RX": (0x1,),
    "TLW_RX_PIPE0": (0x1,),
    "TLW_RX_PIPE1": (0x1,),
    "TLW_TX": (0x1,),
    "TLW_TX_PIPE0": (0x1,),
    "TLW_TX_PIPE1": (0x1,),
    "NETIR_MFDE_EVENT": (0x3,),
}
_RESTARTED: dict[str, tuple[int, ...]] = {
    "RLW_REMAP": (0x1, 0x2, 0x4, 0x8, 0x10, 0x20),
    "RLW_SRC_TRACK": (0x4, 0x8),
}
# Older drivers have the first name, those from 575 on the second.
_LINK_DOWN = ("NETIR_LINK_EVT", "NETIR_LINK_DOWN")
_BIT_ERRORS = "NETIR_BER_EVENT"
# Why a link went down, in bits 20 to 25 of the first register: bucket and meaning.
_SIGNAL = ("connection", "bad signal or cable")
_PEER = ("reset_gpu", "the other end took it down")
_SOFTWARE = ("reset_gpu", "software or a user took it down")
_CAUSES: dict[int, tuple[str, str]] = {
    **dict.fromkeys((2, 4, 10, 42, 43), _SIGNAL),
    **dict.fromkeys((15, 17, 22), _SOFTWARE),
    **dict.fromkeys((16, 18), ("connection", "software or a user took it down, or the signal is bad")),
    **dict.fromkeys((21, 32, 33, 34, 35, 36, 37), _PEER),
    # What took the link down is to be looked for, and the GPU needs no reset.
    38: ("info", "software or a user took it down"),
    40: ("info", "the host took it down"),
}


def of_unit(unit: str, registers: Sequence[int], nonfatal: bool) -> tuple[str, str]:
    """Bucket and meaning of an XID of NVLink 5; the driver's word, whether it was fatal, is never softened."""
    status = registers[1] if len(registers) > 1 else 0
    told = f"{unit} {status:#x}" if unit else "unit not told"
    if unit in _LINK_DOWN:
        bucket, why = _CAUSES.get(registers[0] >> 20 & 0x3F if registers else 0, ("reset_gpu", "cause not told"))
        return bucket, f"link down: {why}"
    if not nonfatal:
        return "reset_gpu", told
    if unit == _BIT_ERRORS:
        return "info", "bit errors: look at the link's signal and cables"
    if status in _IGNORED.get(unit, ()):
        return "ignore", told
    if status in _RESTARTED.get(unit, ()):
        return "app", told
    return "info", told
