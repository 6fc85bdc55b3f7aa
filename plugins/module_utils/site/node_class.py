# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node classes: where they lie, which one counts, and whether what they say hangs together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..catalog.checks import NODE_HEALTH
from ..compatibility.judge import conflicts
from ..documents.document import Document
from ..documents.problems import Problem, did_you_mean
from ..documents.schema import read_checked
from ..storage.wanted import Volume, faults
from .nccl import faults as nccl_faults
from .urls import holds_credentials

DIRECTORY = "node_classes"
# Whether a node answers is asked of every class.
EXCLUDABLE = tuple(check for check in NODE_HEALTH if check != "host.reachable")
# The collection's own: plugins/module_utils/site/node_class.py is four levels below its root.
SHIPPED = Path(__file__).parents[3] / DIRECTORY


def directories(inventory: Path) -> list[Path]:
    """Where to look, first wins: beside the inventory, then in the collection."""
    return [inventory / DIRECTORY, SHIPPED]


def available(places: Sequence[Path]) -> dict[str, Path]:
    """By name the file that counts."""
    found: dict[str, Path] = {}
    for place in places:
        for path in sorted(place.glob("*.yml")):
            found.setdefault(path.stem, path)
    return found


def load_all(
    names: Iterable[str], places: Sequence[Path], releases: Mapping[str, Iterable[str]] | None = None
) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """Those of `names` that exist, and everything that is wrong with their files.

    A name without a file is the roster's problem, and is told there. A class with a problem is left out. `releases`:
    by class the operating systems that its nodes are deployed with, as far as they are known.
    """
    files = available(places)
    classes: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for name in sorted({*names} & files.keys()):
        data, found = load_file(files[name], (releases or {}).get(name, ()))
        problems += found
        if data is not None:
            classes[name] = data
    return classes, problems


def load_file(path: Path, releases: Iterable[str] = ()) -> tuple[dict[str, Any] | None, list[Problem]]:
    """One class, or None when anything is wrong with it or it does not fit one of the operating systems `releases`."""
    document, problems = read_checked(path, "node_class")
    if document is not None and isinstance(document.data, dict):
        # Those of volumes take the form of each for granted.
        if not any(problem.key.startswith("storage") for problem in problems):
            problems += _of_storage(document)
        problems += [*_of_nccl(document), *_contradictions(document, path.stem), *_conflicts(document, releases)]
    if document is None or problems:
        return None, problems
    return document.data, []


def _contradictions(document: Document, stem: str) -> Iterator[Problem]:
    """What a schema cannot say. Parts that have the wrong type are passed over; the schema has told of them."""
    data = document.data
    name = data.get("name")
    if isinstance(name, str) and name != stem:
        message = f"is {name!r}, but the file is {stem}.yml"
        yield document.problem(("name",), message, f"write `name: {stem}`, or rename the file to {name}.yml")
    for key, limits in _mapping(data, "thresholds").items():
        warn, fail = (limits.get("warn"), limits.get("fail")) if isinstance(limits, dict) else (None, None)
        if isinstance(warn, (int, float)) and isinstance(fail, (int, float)) and warn > fail:
            message = f"warns at {warn}, after it has failed at {fail}"
            yield document.problem(("thresholds", key), message, "make warn the smaller of the two")
    hcas = _mapping(_mapping(data, "hardware"), "hcas")
    devices, slots = hcas.get("devices"), hcas.get("pci_addresses")
    if isinstance(devices, list) and isinstance(slots, list) and len(devices) != len(slots):
        message = f"has {len(slots)} addresses for {len(devices)} devices"
        remedy = "give each device the address of its slot, in the order of devices"
        yield document.problem(("hardware", "hcas", "pci_addresses"), message, remedy)
    size = _mapping(_mapping(_mapping(data, "hardware"), "os_disk"), "size_gb")
    least, most = size.get("min"), size.get("max")
    if isinstance(least, (int, float)) and isinstance(most, (int, float)) and least > most:
        message = f"has a min of {least} and a max of {most}: no disk is so"
        yield document.problem(("hardware", "os_disk", "size_gb"), message, "make min the smaller of the two")
    # The BMC is told the URL, tells it again in its jobs, and differences show it; messages about HCAs do, too.
    for place, images in ((("firmware",), data), (("hardware", "hcas", "firmware_images"), hcas)):
        for position, each in _mappings(images, place[-1]):
            if holds_credentials(each.get("image_uri")):
                message = "a URL in it holds a password or a token"
                remedy = "take it out, and let the image be fetched from a mirror that wants none"
                yield document.problem((*place, position, "image_uri"), message, remedy)
    yield from _of_firmware_images(document)
    yield from _excluded(document)


def _of_firmware_images(document: Document) -> Iterator[Problem]:
    """Firmware of HCAs that nobody would burn, or of which it cannot be told what is to be burned."""
    hcas = _mapping(_mapping(document.data, "hardware"), "hcas")
    if not hcas.get("firmware_images"):
        return
    place = ("hardware", "hcas", "firmware_images")
    for key, known, remedy in (
        ("hardware.hcas.firmware", hcas, "write the version that the HCAs have at least"),
        ("hardware.hcas.pci_addresses", hcas, "give each device the address of its slot, in the order of devices"),
        ("software.doca_ofed", _mapping(document.data, "software"), "pin DOCA-OFED, whose tools burn them"),
    ):
        if not known.get(key.rpartition(".")[2]):
            yield document.problem(place, f"are there, but no {key}", remedy)
    seen: set[str] = set()
    for position, each in _mappings(hcas, "firmware_images"):
        psid = each.get("psid")
        if isinstance(psid, str) and psid in seen:
            message, remedy = f"{psid} has a second image", "keep the one that its boards are to have"
            yield document.problem((*place, position, "psid"), message, remedy)
        seen.add(str(psid))


def _conflicts(document: Document, releases: Iterable[str]) -> Iterator[Problem]:
    """Versions that do not go together, with each other, the GPUs or an operating system."""
    software, gpus = _mapping(document.data, "software"), _mapping(_mapping(document.data, "hardware"), "gpus")
    model = gpus.get("model")
    found = [
        conflict
        for release in sorted(releases) or [""]
        for conflict in conflicts(software, model if isinstance(model, str) else "", release)
    ]
    for conflict in dict.fromkeys(found):
        yield document.problem(("software", conflict.key), conflict.message, conflict.remedy)


def _of_storage(document: Document) -> Iterator[Problem]:
    storage = _mapping(document.data, "storage")
    volumes = [Volume.from_dict(each) for each in storage.get("volumes", [])]
    for fault in faults(volumes, storage.get("docker_data_root")):
        path = (fault.key,) if fault.volume is None else ("volumes", fault.volume, fault.key)
        yield document.problem(("storage", *path), fault.message, fault.remedy)


def _of_nccl(document: Document) -> Iterator[Problem]:
    """Settings that NCCL would not heed."""
    version = _mapping(document.data, "software").get("nccl")
    settings = _mapping(_mapping(document.data, "nccl"), "environment")
    for fault in nccl_faults(settings, version if isinstance(version, str) else ""):
        yield document.problem(("nccl", "environment", fault.key), fault.message, fault.remedy)


def _excluded(document: Document) -> Iterator[Problem]:
    """Checks that are excluded twice, or that a class cannot exclude."""
    seen: set[str] = set()
    for position, each in _mappings(_mapping(document.data, "checks"), "exclude"):
        check = each.get("id")
        if not isinstance(check, str) or not check:
            continue
        path = ("checks", "exclude", position, "id")
        if check in seen:
            yield document.problem(path, f"{check!r} is excluded twice", "keep one entry, with its reason")
        elif check not in EXCLUDABLE:
            message = f"{check!r} is no check that a class can exclude{did_you_mean(check, EXCLUDABLE)}"
            yield document.problem(path, message, "correct the name, or take it out")
        seen.add(check)


def _mapping(data: Any, key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _mappings(data: Mapping[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in a list, with their positions."""
    value = data.get(key)
    for position, each in enumerate(value if isinstance(value, list) else []):
        if isinstance(each, dict):
            yield position, each
