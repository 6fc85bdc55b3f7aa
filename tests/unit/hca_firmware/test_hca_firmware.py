# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware of HCAs: what flint says, what is decided, what is burned, and what the module says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.hca_firmware import flint
from ansible_collections.firstlight.cluster.plugins.module_utils.hca_firmware.plan import Hca, Plan, plan
from ansible_collections.firstlight.cluster.plugins.module_utils.hca_firmware.wanted import older, wanted_of
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError
from ansible_collections.firstlight.cluster.plugins.modules import hca_firmware

OLD, NEW, NEWER = "28.39.1002", "28.46.1006", "28.47.1088"
PSID, DELL = "MT_0000000838", "DEL0000000031"
SHA, DELL_SHA = "a" * 64, "b" * 64
IMAGE = {"psid": PSID, "image_uri": "http://head01/files/new.bin", "sha256": SHA}
OF_DELL = {"psid": DELL, "version": "28.45.1200", "image_uri": "http://head01/files/dell.bin", "sha256": DELL_SHA}
CLASS = {"firmware": NEW, "firmware_images": [IMAGE, OF_DELL]}
RAILS = [Hca(0, "rail0", "0000:1a:00.0"), Hca(1, "rail1", "0000:3c:00.0")]
FIRST, SECOND = "0000:1a:00.0", "0000:3c:00.0"


def told(stored: str = OLD, running: str = "", psid: str = PSID) -> str:
    """What `flint query` prints of a ConnectX-7; of one whose firmware waits there is a second version."""
    waits = f"FW Version(Running):   {running}\n" if running else ""
    return (
        f"Image type:            FS4\nFW Version:            {stored}\n{waits}FW Release Date:       27.11.2023\n"
        f"Product Version:       {stored}\nRom Info:              type=UEFI version=14.32.12 cpu=AMD64,AARCH64\n"
        "                       type=PXE version=3.7.201 cpu=AMD64\n"
        "Description:           UID                GuidsNumber\n"
        "Base GUID:             9c0591030090e000        4\nImage VSD:             N/A\nDevice VSD:            N/A\n"
        f"PSID:                  {psid}\nSecurity Attributes:   secure-fw\n"
    )


# -- what flint says


def test_a_query_tells_psid_and_both_versions() -> None:
    assert flint.parse_query(told()) == {"psid": PSID, "stored": OLD, "running": OLD}
    assert flint.parse_query(told(NEW, OLD)) == {"psid": PSID, "stored": NEW, "running": OLD}
    # Of older cards, and with the line ends of other systems.
    alone = told().replace("FW Version:  ", "FW Version(Running):  ").replace("\n", "\r\n")
    assert flint.parse_query(alone) == {"psid": PSID, "stored": OLD, "running": OLD}
    changed = told().replace("PSID: ", f"Orig PSID:             {DELL}\nPSID: ")
    assert flint.parse_query(changed)["psid"] == PSID


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no version of firmware"),
        (told("N/A"), "no version of firmware"),
        (told(NEW, "unknown"), "no version of firmware"),
        (told(psid="N/A"), "no PSID"),
        (told().replace("PSID", "Board"), "no PSID"),
        (told() + f"PSID: {DELL}\n", f"two values of PSID: {PSID} and {DELL}"),
        (told() + told(NEW), "two values of FW Version"),
    ],
)
def test_what_cannot_be_told_for_certain_is_no_answer(text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        flint.parse_query(text)


def test_of_what_fails_the_reason_is_told_without_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str]) -> str:
        raise SourceError("flint failed with status 1: Writing 1%\nWriting 2%\n-E- Burning FS4 image\n failed: why", 1)

    monkeypatch.setattr(flint, "run_tool", fail)
    with pytest.raises(SourceError) as raised:
        flint.query_device(FIRST)
    assert (str(raised.value), raised.value.code) == ("-E- Burning FS4 image failed: why", 1)


# -- what a class wants


def test_a_board_has_the_version_of_its_psid_and_the_others_that_of_the_class() -> None:
    assert [wanted_of(CLASS, psid).version for psid in (PSID, DELL, "HPE0000000022")] == [NEW, "28.45.1200", NEW]
    assert [wanted_of(CLASS, psid).sha256 for psid in (PSID, DELL, "HPE0000000022")] == [SHA, DELL_SHA, ""]
    assert not older("28.100.1", "28.46.1006") and older("28.9.1", "28.46.1006") and not older(NEW, NEW)


@pytest.mark.parametrize(("exact", "met"), [(False, [False, True, True]), (True, [False, True, False])])
def test_a_version_is_a_floor_unless_it_is_exact(exact: bool, met: list[bool]) -> None:
    wanted = wanted_of({"firmware": NEW, "firmware_images": [{**IMAGE, "exact": exact}]}, PSID)
    assert [wanted.met_by(version) for version in (OLD, NEW, NEWER)] == met


# -- what is decided


def decide(*has: str, wants: dict[str, Any] | None = None, allow_downgrade: bool = False) -> Plan:
    """`has`: what flint says of each HCA, or why it says nothing."""
    read: dict[str, Any] = {}
    for hca, text in zip(RAILS, has, strict=False):
        ok = text.startswith("Image type")
        read[hca.address] = (
            {"status": "ok", "data": flint.parse_query(text)} if ok else {"status": "error", "error": text}
        )
    return plan(RAILS[: len(has)], read, wants or CLASS, allow_downgrade)


EXACT = {"firmware": OLD, "firmware_images": [{**IMAGE, "exact": True}]}


def test_what_is_older_is_burned_and_nothing_else() -> None:
    found = decide(told(OLD), told(NEW))
    assert [(burn.hca.name, burn.psid, burn.has, burn.wanted.version) for burn in found.burns] == [
        ("rail0", PSID, OLD, NEW)
    ]
    assert (found.waits(), found.problems) == ([], [])
    newer = decide(told(NEWER), told("28.45.1200", psid=DELL))
    assert (newer.burns, newer.waits(), newer.problems) == ([], [], [])


def test_what_was_burned_waits_and_is_not_burned_again() -> None:
    found = decide(told(NEW, OLD))
    assert (found.burns, found.problems) == ([], [])
    assert found.waits() == [f"{NEW} in HCA rail0 (rail 0, {FIRST})"]
    # Newer firmware that somebody else left there: the class asks for no restart.
    assert decide(told(NEWER, NEW)).waits() == []


@pytest.mark.parametrize(
    ("has", "wants", "words"),
    [
        (
            told(psid="HPE0000000022"),
            CLASS,
            "no image for its PSID HPE0000000022. Remedy: add that of the board's vendor",
        ),
        (told(NEW), EXACT, "has firmware 28.46.1006, the class has 28.39.1002, which is older. Remedy: correct"),
        (told("28.40.1000", OLD), CLASS, "waits for a restart with what it has, and takes no other before"),
        ("-E- Cannot open Device", CLASS, "does not tell its firmware: -E- Cannot open Device. Remedy: see `flint"),
    ],
)
def test_what_cannot_be_names_the_hca_and_the_remedy(has: str, wants: dict[str, Any], words: str) -> None:
    found = decide(told(NEWER), has, wants={**wants, "firmware_images": [OF_DELL, *wants["firmware_images"]]})
    [problem] = [line for line in found.problems if "rail1" in line]
    assert problem.startswith(f"HCA rail1 (rail 1, {SECOND})") and words in problem
    assert not [burn for burn in found.burns if burn.hca.name == "rail1"]
    assert bool(found.waiting) == ("takes no other before" in words)


def test_older_firmware_is_burned_with_leave_only_and_only_where_the_class_is_exact() -> None:
    [burn] = decide(told(NEW), wants=EXACT, allow_downgrade=True).burns
    assert (burn.has, burn.wanted.version) == (NEW, OLD)
    floor = {"firmware": OLD, "firmware_images": [IMAGE]}
    assert decide(told(NEW), wants=floor, allow_downgrade=True).burns == []


# -- what the module does

FLINT = """#!/bin/sh
# As much of flint as the module uses: each HCA and image is a file with what a query says of it.
cd {folder}
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=$2; shift;;
        --image) image=$2; shift;;
        query|burn) command=$1;;
    esac
    shift
done
if [ $command = query ]; then exec cat "${{device:-$image}}"; fi
echo "$device" >> burned
if [ -e "$device.fails" ]; then echo "-E- Burning FS4 image failed: no semaphore"; exit 1; fi
running=$(sed -n 's/^FW Version: *//p' "$device")
sed "s/^FW Version:.*/&\\nFW Version(Running):   $running/" "$image" > "$device"
"""


class Node:
    """HCAs behind a stand-in of flint, and images where the role puts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        tool = folder / "bin" / "flint"
        tool.write_text(FLINT.format(folder=folder))
        tool.chmod(0o755)
        self.has(told(), told())
        self.image(told(NEW))

    def has(self, *texts: str, addresses: tuple[str, ...] = (FIRST, SECOND)) -> None:
        for address, text in zip(addresses, texts, strict=False):
            (self.folder / address).write_text(text)

    def image(self, text: str, sha256: str = SHA) -> None:
        (self.folder / f"{sha256}.bin").write_text(text)

    def holds(self, address: str) -> dict[str, str]:
        return flint.parse_query((self.folder / address).read_text())

    @property
    def burned(self) -> list[str]:
        log = self.folder / "burned"
        return sorted(log.read_text().split()) if log.exists() else []


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return Node(tmp_path)


Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(node: Node, capfd: pytest.CaptureFixture[str]) -> Call:
    def call(**options: Any) -> dict[str, Any]:
        given = {
            "hcas": [{"name": hca.name, "address": hca.address} for hca in RAILS],
            "firmware": NEW,
            "images": [IMAGE],
            "directory": str(node.folder),
            **options,
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            hca_firmware.main()
        return dict(json.loads(capfd.readouterr().out))

    return call


def test_the_module_burns_all_and_the_second_time_nothing(node: Node, call: Call) -> None:
    said = call()
    assert said["changed"] is True and node.burned == [FIRST, SECOND]
    assert said["burned"] == [
        f"HCA rail{n} (rail {n}, {address}): firmware {NEW}" for n, address in enumerate(node.burned)
    ]
    assert said["waiting"] == [f"{NEW} in HCA rail{n} (rail {n}, {address})" for n, address in enumerate(node.burned)]
    assert said["diff"]["before"].splitlines()[0] == f"HCA rail0 (rail 0, {FIRST}): firmware {OLD}"
    again = call()
    assert (again["changed"], again["waiting"], len(node.burned)) == (False, said["waiting"], 2)
    node.has(told(NEW), told(NEW))
    after = call()
    assert (after["changed"], after["waiting"], len(node.burned)) == (False, [], 2)


def test_what_waits_is_told_alike_whichever_run_has_burned_it(node: Node, call: Call) -> None:
    """A request for a restart that is worded anew would be a change in every run."""
    node.has(told(), told(NEW, OLD))
    said = call()
    assert said["changed"] and node.burned == [FIRST]
    assert call()["waiting"] == said["waiting"]


def test_check_mode_says_what_would_be_burned_and_needs_no_image(node: Node, call: Call) -> None:
    (node.folder / f"{SHA}.bin").unlink()
    said = call(_ansible_check_mode=True)
    assert (said["changed"], said["images"], node.burned) == (True, [SHA], [])
    assert said["diff"]["after"].count(NEW) == 2 and said["waiting"] == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (told(NEW, psid=DELL), f"is for boards with PSID {DELL}, not {PSID}; nothing was burned"),
        (
            told(OLD),
            f"holds firmware {OLD}, not {NEW}; nothing was burned. Remedy: correct hardware.hcas.firmware_images",
        ),
        ("<html>", "is no image that flint can read (flint tells no version of firmware"),
    ],
)
def test_an_image_that_is_not_what_the_class_says_is_not_burned(node: Node, call: Call, image: str, words: str) -> None:
    node.image(image)
    said = call()
    assert said["failed"] and said["msg"].startswith("http://head01/files/new.bin ") and words in said["msg"]
    assert (said["changed"], said["waiting"], node.burned) == (False, [], [])


def test_what_is_refused_keeps_all_from_being_burned(node: Node, call: Call) -> None:
    node.has(told(), told(psid=DELL))
    said = call()
    assert said["failed"] and f"HCA rail1 (rail 1, {SECOND}) has firmware" in said["msg"]
    assert (said["changed"], node.burned) == (False, [])


def test_a_burn_that_fails_costs_its_own_hca_only(node: Node, call: Call) -> None:
    (node.folder / f"{FIRST}.fails").touch()
    said = call()
    assert said["failed"] and said["changed"]
    assert f"HCA rail0 (rail 0, {FIRST}) was not brought from firmware {OLD} to {NEW}: -E- Burning" in said["msg"]
    assert "rail1" not in said["msg"] and "run again" in said["msg"]
    assert said["waiting"] == [f"{NEW} in HCA rail1 (rail 1, {SECOND})"]
    assert (node.holds(FIRST)["stored"], node.holds(SECOND)["stored"]) == (OLD, NEW)


def test_a_tool_that_says_it_is_done_and_is_not_is_told(
    node: Node, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (node.folder / "bin" / "flint").read_text()
    (node.folder / "bin" / "flint").write_text(text.partition("running=")[0])
    said = call()
    assert said["failed"] and f"it has {OLD} afterwards" in said["msg"] and said["changed"] is False


def test_a_card_that_does_not_come_to_an_end_costs_its_own_time_only(node: Node, call: Call) -> None:
    tool = node.folder / "bin" / "flint"
    tool.write_text(
        tool.read_text().replace("no semaphore", "late").replace('then echo "-E-', 'then sleep 60; echo "-E-')
    )
    (node.folder / f"{SECOND}.fails").touch()
    said = call(deadline=2)
    assert said["failed"] and "rail1" in said["msg"] and "no answer within 2 s" in said["msg"]
    assert node.holds(FIRST)["stored"] == NEW


def test_functions_of_one_card_are_burned_once(node: Node, call: Call) -> None:
    """They share their flash: what one has brought, the other shows."""
    other = "0000:1a:00.1"
    (node.folder / other).symlink_to(node.folder / FIRST)
    said = call(hcas=[{"name": "rail0", "address": FIRST}, {"name": "rail1", "address": other}])
    assert not said.get("failed") and len(said["waiting"]) == 2
    assert node.burned == [FIRST]


def test_without_flint_the_hca_does_not_tell(node: Node, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    said = call()
    assert said["failed"] and "does not tell its firmware: no such command: flint" in said["msg"]
