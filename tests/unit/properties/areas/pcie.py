# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI buses without fault, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.unit.properties.defects import UNKNOWN, Defect, forget
from tests.unit.properties.machine import Link, Machine, Raw

BUS = "sys/bus/pci/devices"
ENDPOINT, ROOT, UPSTREAM, DOWNSTREAM = 0, 4, 5, 6
CORRECTABLE = ("RxErr", "BadTLP", "BadDLLP", "Rollover", "Timeout", "NonFatalErr", "CorrIntErr", "HeaderOF")
UNCORRECTED = ("Undefined", "DLP", "SDES", "TLP", "FCP", "CmpltTO", "CmpltAbrt", "UnxCmplt", "RxOF", "MalfTLP")


def healthy(random: Random, machine: Machine) -> None:
    hardware = machine.node_class["hardware"]
    nodes = hardware["gpus"].get("numa_nodes")
    gpus, hcas = machine.gpu_addresses(), list(machine.hca_addresses().values())
    settings = {"read_request": (hardware.get("hcas") or {}).get("max_read_request", 512)}
    relaxed = bool(hardware.get("relaxed_ordering")) or random.random() < 0.5
    control = random.choice((0x2020, 0x0820)) | relaxed << 4
    control = control & 0x8FFF | (settings["read_request"] // 128).bit_length() - 1 << 12
    acs = None if random.random() < 0.3 else 0 if hardware.get("acs_off") else 0x1D
    for rail in range(max(len(gpus), len(hcas))):
        numa_node = nodes[rail] if nodes else random.randrange(-1, 2)
        root, upper, lower = f"0000:0{rail}:01.0", f"0000:0{rail}:02.0", f"0000:0{rail}:03"
        function(random, machine, [root], "0x060400", "0x8086", ROOT, control, acs)
        function(random, machine, [root, upper], "0x060400", "0x1000", UPSTREAM, control, acs)
        slots = [(gpus[rail], "0x030200", "0x10de")] if rail < len(gpus) else []
        slots += [(hcas[rail], random.choice(("0x020700", "0x020000")), "0x15b3")] if rail < len(hcas) else []
        for number, (address, code, vendor) in enumerate(slots):
            above = [root, upper, f"{lower}.{number}"]
            function(random, machine, above, "0x060400", "0x1000", DOWNSTREAM, control, acs)
            path = function(random, machine, [*above, address], code, vendor, ENDPOINT, control, None)
            machine.files[f"{path}/numa_node"] = str(numa_node)
            machine.files[f"{path}/resource"] = regions(random)
            if random.random() < 0.5:
                machine.files[f"{path}/iommu_group/type"] = "identity"
    disk = ["0000:0f:01.0", "0000:e1:00.0"]
    function(random, machine, disk[:1], "0x060400", "0x8086", ROOT, control, acs, lanes=4)
    function(random, machine, disk, "0x010802", "0x144d", ENDPOINT, control, None, lanes=4)
    # A virtual function has no link of its own.
    virtual = f"{BUS}/0000:fe:00.2"
    machine.files |= {
        f"{virtual}/class": "0x020700",
        f"{virtual}/vendor": "0x15b3",
        f"{virtual}/physfn/class": "0x020700",
    }


def function(
    random: Random,
    machine: Machine,
    path: list[str],
    code: str,
    vendor: str,
    kind: int,
    control: int,
    acs: int | None,
    lanes: int = 16,
) -> str:
    """A function at the end of `path`; where its files are."""
    here = f"{BUS}/{path[-1]}"
    speed = random.choice(("32.0 GT/s PCIe", "32.0 GT/s"))
    machine.files |= {
        here: Link(f"sys/devices/pci0000:00/{'/'.join(path)}"),
        f"{here}/class": code,
        f"{here}/vendor": vendor,
        f"{here}/device": "0x2330",
        f"{here}/numa_node": "-1",
        f"{here}/resource": regions(random),
        f"{here}/config": Raw(space(random, kind, control, acs)),
    }
    machine.files |= {f"{here}/{which}_link_speed": speed for which in ("current", "max")}
    machine.files |= {f"{here}/{which}_link_width": str(lanes) for which in ("current", "max")}
    corrected = random.randrange(3) if random.random() < 0.2 else 0
    machine.files |= {
        f"{here}/aer_dev_correctable": counts(CORRECTABLE, "COR", {random.choice(CORRECTABLE): corrected}),
        f"{here}/aer_dev_nonfatal": counts(UNCORRECTED, "NONFATAL", {}),
        f"{here}/aer_dev_fatal": counts(UNCORRECTED, "FATAL", {}),
    }
    return here


def counts(names: tuple[str, ...], total: str, found: dict[str, int]) -> str:
    lines = [f"{name} {found.get(name, 0)}" for name in names]
    return "\n".join([*lines, f"TOTAL_ERR_{total} {sum(found.values())}"])


def regions(random: Random) -> str:
    lines = ["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 13
    for number in (0, 2):
        start = random.randrange(1, 1 << 20) << 24
        lines[number] = f"{start:#018x} {start + (1 << 24) - 1:#018x} 0x000000000014220c"
    return "\n".join(lines)


def space(random: Random, kind: int, control: int, acs: int | None) -> str:
    """A configuration space with the capabilities in any order."""
    content = bytearray(4096)

    def word(at: int, value: int) -> None:
        content[at : at + 2] = value.to_bytes(2, "little")

    word(0x00, 0x10DE)
    word(0x06, 0x0010)
    places = random.sample(range(0x40, 0xF0, 16), 3)
    at = places.pop()
    content[0x34] = at
    for other in places:  # power management, MSI-X
        word(at, random.choice((0x01, 0x11)) | other << 8)
        at = other
    word(at, 0x10)
    word(at + 2, 2 | kind << 4)
    word(at + 8, control)
    # Advanced error reporting, and behind it access control.
    word(0x100, 0x0001)
    word(0x102, 1 | (0x200 << 4 if acs is not None else 0))
    if acs is not None:
        word(0x200, 0x000D)
        word(0x202, 1)
        word(0x206, acs)
    return bytes(content).decode("latin-1")


def of_gpu(file: str, content: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.files[f"{BUS}/{random.choice(machine.gpu_addresses())}/{file}"] = content

    return spoil


def of_hca(file: str, content: str) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.files[f"{BUS}/{random.choice(list(machine.hca_addresses().values()))}/{file}"] = content

    return spoil


def of_bridge(file: str, content: str, number: int = 1) -> Callable[[Machine, Random], None]:
    """Of the root ports (1) or the upper ports of switches (2), whichever."""

    def spoil(machine: Machine, random: Random) -> None:
        rail = random.randrange(len(machine.gpu_addresses()))
        machine.files[f"{BUS}/0000:0{rail}:0{number}.0/{file}"] = content

    return spoil


def set_config(
    of: Callable[[str, str], Callable[[Machine, Random], None]], control: int, acs: int | None, kind: int
) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        of("config", Raw(space(random, kind, control, acs)))(machine, random)

    return spoil


def lose_gpu(machine: Machine, random: Random) -> None:
    forget(f"{BUS}/{random.choice(machine.gpu_addresses())}")(machine, random)


def elsewhere(machine: Machine, random: Random) -> None:
    """The HCA of a rail hangs on a switch of its own."""
    address = random.choice(list(machine.hca_addresses().values()))
    path = ["0000:0f:03.0", "0000:0f:04.0", address]
    function(random, machine, path[:1], "0x060400", "0x8086", ROOT, 0x5930, 0)
    function(random, machine, path[:2], "0x060400", "0x1000", DOWNSTREAM, 0x5930, 0)
    machine.files[f"{BUS}/{address}"] = Link(f"sys/devices/pci0000:00/{'/'.join(path)}")


UNSET = "0x0000000000000000 0x0000001fffffffff 0x000000002014220c"
GONE = "\n".join(["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 13)
NO_DRIVER = forget(f"{BUS}/")
# The first 64 bytes are what others than root see.
CUT = Raw(space(Random(1), ENDPOINT, 0x5930, None)[:64])

DEFECTS = [
    Defect("pcie.devices", "a GPU is gone", lose_gpu),
    Defect("pcie.devices", "no bus", NO_DRIVER, UNKNOWN),
    Defect("pcie.gpu.width", "half the lanes", of_gpu("current_link_width", "8")),
    Defect("pcie.gpu.width", "not known", of_gpu("current_link_width", "63"), UNKNOWN),
    Defect("pcie.gpu.speed", "a generation back", of_gpu("current_link_speed", "16.0 GT/s PCIe")),
    Defect("pcie.gpu.speed", "not known", of_gpu("current_link_speed", "Unknown"), UNKNOWN),
    Defect("pcie.hca.width", "one lane", of_hca("current_link_width", "1")),
    Defect("pcie.hca.width", "no bus", NO_DRIVER, UNKNOWN),
    Defect("pcie.hca.speed", "the first generation", of_hca("current_link_speed", "2.5 GT/s PCIe")),
    Defect("pcie.hca.speed", "half a file", of_hca("current_link_speed", "32.0"), UNKNOWN),
    Defect("pcie.path", "a narrow link of a switch", of_bridge("current_link_width", "4", 2)),
    Defect("pcie.path", "a slow link of a switch", of_bridge("current_link_speed", "8.0 GT/s PCIe", 2)),
    Defect("pcie.path", "not known", of_bridge("max_link_width", "255"), UNKNOWN),
    Defect(
        "pcie.nvme.width",
        "half the lanes",
        lambda machine, _random: machine.files.update({f"{BUS}/0000:e1:00.0/current_link_width": "2"}),
        ("warn",),
    ),
    Defect("pcie.nvme.width", "no bus", NO_DRIVER, UNKNOWN),
    Defect("pcie.errors.fatal", "of a GPU", of_gpu("aer_dev_fatal", counts(UNCORRECTED, "FATAL", {"DLP": 1}))),
    Defect("pcie.errors.fatal", "of a bridge", of_bridge("aer_dev_fatal", counts(UNCORRECTED, "FATAL", {"SDES": 1}))),
    Defect("pcie.errors.fatal", "no counts", of_gpu("aer_dev_fatal", "DLP many"), UNKNOWN),
    Defect(
        "pcie.errors.nonfatal",
        "of an HCA",
        of_hca("aer_dev_nonfatal", counts(UNCORRECTED, "NONFATAL", {"CmpltTO": 1})),
        ("warn",),
    ),
    Defect("pcie.errors.nonfatal", "no bus", NO_DRIVER, UNKNOWN),
    Defect(
        "pcie.errors.correctable",
        "ever more",
        of_gpu("aer_dev_correctable", counts(CORRECTABLE, "COR", {"BadTLP": 10**9})),
        ("warn",),
    ),
    Defect("pcie.errors.correctable", "no bus", NO_DRIVER, UNKNOWN),
    Defect("pcie.acs", "on at a root port", set_config(of_bridge, 0x5930, 0x1D, ROOT)),
    Defect("pcie.acs", "not root", of_bridge("config", CUT), UNKNOWN),
    Defect("pcie.iommu", "translated", of_gpu("iommu_group/type", "DMA-FQ")),
    Defect("pcie.iommu", "empty", of_gpu("iommu_group/type", ""), UNKNOWN),
    Defect("pcie.max_read_request", "as firmware left it", set_config(of_hca, 0x2930, None, ENDPOINT)),
    Defect("pcie.max_read_request", "the device does not answer", of_hca("config", Raw("\xff" * 4096)), UNKNOWN),
    Defect("pcie.max_payload", "another than above", set_config(of_gpu, 0x5970, None, ENDPOINT), ("warn",)),
    Defect("pcie.max_payload", "not root", of_gpu("config", CUT), UNKNOWN),
    Defect("pcie.relaxed_ordering", "off", set_config(of_gpu, 0x5920, None, ENDPOINT), ("warn",)),
    Defect("pcie.relaxed_ordering", "not root", of_hca("config", CUT), UNKNOWN),
    Defect("pcie.numa", "none told", of_gpu("numa_node", "-1"), ("warn",)),
    Defect("pcie.numa", "no number", of_gpu("numa_node", "one"), UNKNOWN),
    Defect("pcie.gpu_hca_pair", "on another switch", elsewhere),
    Defect("pcie.gpu_hca_pair", "no bus", NO_DRIVER, UNKNOWN),
    Defect("pcie.bar", "no room", of_gpu("resource", UNSET)),
    Defect("pcie.bar", "none at all", of_hca("resource", GONE)),
    Defect("pcie.bar", "no regions", of_gpu("resource", "0x0"), UNKNOWN),
]
