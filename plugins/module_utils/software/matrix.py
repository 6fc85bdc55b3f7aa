# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the versions that were read with a node class's version matrix. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog.checks import finding
from ..compatibility.nccl import build as nccl_build
from ..due.packages import fits
from ..findings import Finding, Verdict
from ..hca_firmware.wanted import wanted_of

CHECK = "software.drift"
Read = Mapping[str, Any]


class _Unread(Exception):
    """It could not be read which version there is."""


@dataclass(frozen=True)
class Version:
    """One item of the matrix on one node: what it `has`, what the class `wants`, and whether that is the same.

    `has` is empty where there is none, and None where that could not be read; `why` then says why. Of firmware,
    `hca` is the device, and `image` whether the class has what to burn.
    """

    @property
    def name(self) -> str:
        return f"{self.item} of {self.hca}" if self.hca else self.item

    @property
    def component(self) -> str:
        return f"hca:{self.hca}" if self.hca else f"software:{self.item}"

    item: str
    has: str | None
    wants: str
    same: bool
    why: str = ""
    hca: str = ""
    image: bool = False

    @property
    def managed(self) -> bool:
        """Whether a role brings the node to what the class wants, so that configuring it ends the difference."""
        return self.item in MANAGED or self.image

    def __str__(self) -> str:
        if self.has is None:
            return f"{self.name} cannot be told ({self.why}), the class has {self.wants}"
        told = f"{self.name} is {self.has or 'not installed'}"
        if self.same:
            return told
        return f"{told}, the class has {self.wants}" + ("" if self.managed else f" ({_BROUGHT_BY[self.item]})")


def compare(read: Mapping[str, Read], software: Mapping[str, Any], hcas: Mapping[str, Any]) -> list[Version]:
    """Every item that the class names, in the order of the matrix.

    `read` is what read_versions returns, `software` and `hcas` are those of the class. Firmware of HCAs is a floor,
    as it is for the check hca.firmware: newer is no difference, unless the class wants it exactly.
    """
    wants = {**software, "nccl": nccl_build(software)}
    found = [_compare(item, read, str(wants[item])) for item in ITEMS if wants.get(item)]
    if hcas.get("firmware"):
        found += _firmware(read, hcas)
    return found


def is_due(versions: Sequence[Version]) -> bool:
    """Whether the node is to be configured: something that a role brings about differs, or cannot be told."""
    return any(version.managed and not version.same for version in versions)


def findings(versions: Sequence[Version], against: Verdict) -> list[Finding]:
    """A finding for each item; one that differs has the verdict `against`, one that was not read is unknown.

    What no role brings about is a warning at most: to configure the node would not end the difference.
    """
    if not versions:
        return [finding(CHECK, "host", Verdict.PASS, "the class names no version")]
    return [
        finding(
            CHECK,
            version.component,
            _verdict(version, against),
            str(version),
            observed=version.has,
            expected=version.wants,
        )
        for version in versions
    ]


def _verdict(version: Version, against: Verdict) -> Verdict:
    if version.same:
        return Verdict.PASS
    if version.has is None:
        return Verdict.UNKNOWN
    return against if version.managed else Verdict.WARN


def _compare(item: str, read: Mapping[str, Read], wants: str) -> Version:
    try:
        versions = list(ITEMS[item](read))
    except _Unread as reason:
        return Version(item, None, wants, same=False, why=str(reason))
    has = next((version for version in versions if _same(item, wants, version)), "")
    # Toolkits of several releases may lie side by side: one of them has to be the wanted one.
    # No role installs CUDA, and a node that runs containers only needs none; what it has must be what the class says.
    same = bool(has) or (item == "cuda" and not versions)
    return Version(item, has or ", ".join(dict.fromkeys(versions)), wants, same=same)


def _same(item: str, wants: str, has: str) -> bool:
    if item in ("kernel", "gpu_driver", "fabric_manager"):
        return has == wants
    # 20.10 and 12.8 stand for every version that begins so; a package adds its revision to what the class writes.
    return fits(wants, has) or fits(f"{wants}.*", has)


def _firmware(read: Mapping[str, Read], hcas: Mapping[str, Any]) -> Iterator[Version]:
    item, images = "hca_firmware", bool(hcas.get("firmware_images"))
    for device in hcas.get("devices") or ():
        try:
            found = _data(read, "infiniband")
            # Without images the class wants the same of every board.
            wanted = wanted_of(hcas, _value(found, "devices", device, "board_id") if images else "")
            shown = _value(found, "devices", device, "firmware")
        except _Unread as reason:
            yield Version(item, None, str(hcas["firmware"]), same=False, why=str(reason), hca=device, image=images)
            continue
        image = bool(wanted.image_uri)
        yield Version(item, shown, wanted.version, same=wanted.met_by(shown), hca=device, image=image)


def _data(read: Mapping[str, Read], reader: str) -> Read:
    """What a reader returned, also beside an error: a GPU that hangs does not hide the driver's version."""
    result = read.get(reader) or {}
    data = result.get("data")
    if not isinstance(data, Mapping):
        raise _Unread(str(result.get("error") or f"{reader} was not read"))
    return data


def _value(data: Read, *keys: str) -> str:
    """A text of `data`, with its reader's reason where there is none."""
    value: Any = data
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            break
        value = value[key]
    if isinstance(value, Mapping):
        raise _Unread(str(value.get("error") or value.get("reason") or f"there is no {keys[-1]}"))
    return str(value)


def _of(reader: str, key: str) -> Callable[[Mapping[str, Read]], Iterator[str]]:
    """One value of one reader."""

    def versions(read: Mapping[str, Read]) -> Iterator[str]:
        yield _value(_data(read, reader), key)

    return versions


def _fabric_manager(read: Mapping[str, Read]) -> Iterator[str]:
    """Nothing where there is no such program: unlike the driver's library, which NVML's bindings have to find, too."""
    if (read.get("fabric_manager") or {}).get("status") != "missing":
        yield _value(_data(read, "fabric_manager"), "version")


def _packages(pattern: str) -> Callable[[Mapping[str, Read]], Iterator[str]]:
    """The versions of installed packages with such names, without epoch."""

    def versions(read: Mapping[str, Read]) -> Iterator[str]:
        for name, version in sorted(_data(read, "packages").items()):
            if re.fullmatch(pattern, name):
                yield re.sub("^[0-9]+:", "", str(version))

    return versions


# The driver, the fabric manager and Docker tell their version themselves, as for the checks of node_health: what is
# loaded or runs counts, not what waits for a restart. Names of packages are those of NVIDIA's installation guides.
ITEMS: dict[str, Callable[[Mapping[str, Read]], Iterator[str]]] = {
    "kernel": _of("host", "kernel"),
    "gpu_driver": _of("nvml", "driver_version"),
    "fabric_manager": _fabric_manager,
    "nvlsm": _packages("nvlsm"),
    "dcgm": _packages(r"datacenter-gpu-manager(-4-core)?"),
    "doca_ofed": _packages("doca-ofed"),
    "cuda": _packages(r"cuda-(toolkit|libraries|cudart)-\d+-\d+"),
    "nccl": _packages("libnccl2"),
    "container_toolkit": _packages("nvidia-container-toolkit"),
    "docker": _of("docker", "version"),
}
# Those that the roles of configure.yml bring to what the class wants.
MANAGED = frozenset(
    {"kernel", "gpu_driver", "fabric_manager", "nvlsm", "dcgm", "doca_ofed", "nccl", "container_toolkit", "docker"}
)
# Who brings the others.
_BROUGHT_BY = {
    "cuda": "which the nodes' image brings, and no role",
    "hca_firmware": "of which it has no image in hardware.hcas.firmware_images",
}
