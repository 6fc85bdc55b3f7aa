# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set what PCI devices forget at every start: the size of read requests, and access control (ACS) on the way to them.

`show` prints a line for each register that is not as wanted, `set` writes these. A device that is not there or a
register that cannot be written is told on standard error, costs the others nothing, and makes the exit status 1.

Registers are read and written by setpci, by the names of their capabilities: CAP_EXP+8 is Device Control of PCI
Express, with the size of read requests in bits 12 to 14 (128 bytes times a power of two); ECAP_ACS+6 is ACS Control.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEVICES = Path("/sys/bus/pci/devices")
SECONDS = 20
READ_REQUEST, READ_REQUEST_MASK = "CAP_EXP+8.w", 0x7000
ACS, ACS_MASK = "ECAP_ACS+6.w", 0xFFFF
_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


class PciError(Exception):
    """Something that could not be read or written; the message names the device."""


@dataclass(frozen=True)
class Register:
    """A register that must have `value` in the bits of `mask`. One that may be `absent` is no part of every device."""

    address: str
    name: str
    value: int
    mask: int
    absent: bool = False


def bridges_above(devices: Path, address: str) -> list[str]:
    """Addresses of the bridges between a device and its root, from the root on."""
    return [part for part in (devices / address).resolve().parts[:-1] if _ADDRESS.fullmatch(part)]


def read_request_of(address: str, size: int) -> Register:
    """The register that has to say that `address` reads up to `size` bytes at once."""
    return Register(address, READ_REQUEST, (size // 128).bit_length() - 1 << 12, READ_REQUEST_MASK)


def wanted(devices: Path, given: argparse.Namespace) -> Iterator[Register | PciError]:
    """Every register, each once; where a device is missing, the reason why there are none."""
    named = dict.fromkeys([*given.hca, *given.acs_off])
    present = {address for address in named if (devices / address).exists()}
    for address in named:
        if address not in present:
            yield PciError(f"{address}: no such device on the PCI bus; correct its address in the node class")
    if given.read_request:
        yield from (read_request_of(address, given.read_request) for address in given.hca if address in present)
    above = [bridge for address in given.acs_off if address in present for bridge in bridges_above(devices, address)]
    yield from (Register(address, ACS, 0, ACS_MASK, absent=True) for address in dict.fromkeys(above))


def setpci(register: Register, change: str = "") -> str:
    """What setpci prints. Empty for a register that may be absent, and is. Raises PciError."""
    command = ["setpci", "-s", register.address, register.name + change]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PciError(f"{register.address}: {' '.join(command)}: {error}") from error
    # How setpci says that a device has not got the capability.
    if register.absent and re.search("Instance #0 of .* not found", done.stderr):
        return ""
    if done.returncode:
        raise PciError(f"{register.address}: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def differs(register: Register) -> str:
    """How the register differs from what is wanted; empty where it does not."""
    answer = setpci(register)
    if not answer:
        return ""
    try:
        value = int(answer, 16)
    except ValueError as error:
        raise PciError(f"{register.address}: setpci answers {answer!r} for {register.name}") from error
    if value & register.mask == register.value:
        return ""
    return f"{register.address} {register.name} is {value & register.mask:04x}, wanted is {register.value:04x}"


def run(given: argparse.Namespace, devices: Path = DEVICES) -> int:
    """Does what the command line says; the exit status."""
    status = 0
    for register in wanted(devices, given):
        try:
            if isinstance(register, PciError):
                raise register
            line = differs(register)
            if line and given.command == "set":
                setpci(register, f"={register.value:04x}:{register.mask:04x}")
                if differs(register):
                    raise PciError(f"{register.address}: {register.name} does not keep {register.value:04x}")
            if line:
                print(line)
        except PciError as error:  # noqa: PERF203 - one device must not cost the others
            print(error, file=sys.stderr)
            status = 1
    return status


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="PCI settings of GPUs and HCAs")
    parser.add_argument("command", choices=["show", "set"])
    parser.add_argument("--read-request", type=int, default=0, choices=[0, *(128 << n for n in range(6))])
    parser.add_argument("--hca", action="append", default=[], help="address of a device that --read-request is for")
    parser.add_argument("--acs-off", action="append", default=[], help="address of a device below bridges without ACS")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(run(arguments(sys.argv[1:])))
