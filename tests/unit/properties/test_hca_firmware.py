# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware of HCAs: whatever flint says and a class wants, nothing is burned that does not fit, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.hca_firmware.flint import parse_query
from ansible_collections.firstlight.cluster.plugins.module_utils.hca_firmware.plan import (
    Burn,
    Hca,
    judge_burns,
    judge_images,
    of_cards,
    plan,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.hca_firmware.wanted import older, wanted_of
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.junk import TEXTS, mutated

WAITS = """Image type:            FS4
FW Version:            28.46.1006
FW Version(Running):   28.39.1002
FW Release Date:       30.7.2025
Product Version:       28.46.1006
Rom Info:              type=UEFI version=14.32.12 cpu=AMD64,AARCH64
Description:           UID                GuidsNumber
Base GUID:             9c0591030090e000        4
Image VSD:             N/A
PSID:                  MT_0000000838
Security Attributes:   secure-fw
"""
PLAIN = WAITS.replace("FW Version(Running):   28.39.1002\n", "")

# -- what flint says


@given(mutated(WAITS, PLAIN) | TEXTS)
def test_any_output_is_read_or_refused(printed: str) -> None:
    try:
        read = parse_query(printed)
    except SourceError:
        return
    assert all(f" {value}" in printed or f"\t{value}" in printed for value in read.values())
    assert (read["stored"] != read["running"]) <= ("(Running)" in printed)


@given(st.sampled_from([WAITS, PLAIN]), st.data())
def test_what_is_cut_off_is_refused_or_says_the_same(whole: str, data: st.DataObject) -> None:
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    if cut.find("PSID:                  MT_0000000838\n") < 0:
        with pytest.raises(SourceError):
            parse_query(cut)
    else:
        assert parse_query(cut) == parse_query(whole)


# -- what is decided

VERSIONS = st.sampled_from(["28.9.1002", "28.39.1002", "28.46.1006", "28.47.1088"])
PSIDS = st.sampled_from(["MT_0000000838", "DEL0000000031", "HPE0000000022"])
RAILS = [Hca(rail, f"rail{rail}", f"0000:{0x1A + rail // 2:02x}:00.{rail % 2}") for rail in range(4)]


@st.composite
def classes(draw: st.DrawFn) -> dict[str, Any]:
    psids = draw(st.lists(PSIDS, unique=True, min_size=1, max_size=3))
    images = [
        {"psid": psid, "image_uri": f"http://head01/{psid}", "sha256": f"{number:064x}", "exact": draw(st.booleans())}
        | draw(st.one_of(st.just({}), VERSIONS.map(lambda version: {"version": version})))
        for number, psid in enumerate(psids)
    ]
    return {"firmware": draw(VERSIONS), "firmware_images": images}


def ok(data: Any) -> dict[str, Any]:
    return {"status": "ok", "data": data}


HAS = st.one_of(
    st.builds(lambda psid, stored: ok({"psid": psid, "stored": stored, "running": stored}), PSIDS, VERSIONS),
    st.builds(
        lambda psid, stored, running: ok({"psid": psid, "stored": stored, "running": running}),
        PSIDS,
        VERSIONS,
        VERSIONS,
    ),
    st.sampled_from([{"status": "missing", "error": "no flint"}, {"status": "timeout", "error": "no answer"}]),
)
NODES = st.lists(HAS, min_size=4, max_size=4).map(
    lambda each: {hca.address: one for hca, one in zip(RAILS, each, strict=True)}
)


@given(NODES, classes(), st.booleans())
def test_nothing_is_burned_but_an_image_for_the_board_and_no_older_one_without_leave(
    read: dict[str, Any], wants: dict[str, Any], leave: bool
) -> None:
    images = {image["psid"]: image for image in wants["firmware_images"]}
    for burn in plan(RAILS, read, wants, leave).burns:
        has = read[burn.hca.address]["data"]
        assert images[has["psid"]]["sha256"] == burn.wanted.sha256 and burn.psid == has["psid"]
        assert has["stored"] == has["running"] != burn.wanted.version
        assert leave or older(has["stored"], burn.wanted.version)
        assert images[has["psid"]].get("exact") or older(has["stored"], burn.wanted.version)


@given(NODES, classes(), st.booleans())
def test_every_hca_is_as_wanted_or_told_of(read: dict[str, Any], wants: dict[str, Any], leave: bool) -> None:
    found = plan(RAILS, read, wants, leave)
    told = [str(burn.hca) for burn in found.burns] + found.waits() + found.problems
    for hca in RAILS:
        result = read[hca.address]
        met = result["status"] == "ok" and wanted_of(wants, result["data"]["psid"]).met_by(result["data"]["running"])
        stays = met and wanted_of(wants, result["data"]["psid"]).met_by(result["data"]["stored"])
        assert stays == (not any(str(hca) in line for line in told))


@given(NODES, classes(), st.booleans(), st.sets(st.sampled_from([hca.address for hca in RAILS])))
def test_what_was_burned_is_not_burned_again_and_is_as_wanted_after_the_restart(
    read: dict[str, Any], wants: dict[str, Any], leave: bool, failing: set[str]
) -> None:
    found = plan(RAILS, read, wants, leave)
    planned = list(found.burns)
    cards = of_cards(planned)
    assert sorted(burn.hca.address for burns in cards.values() for burn in burns) == sorted(
        burn.hca.address for burn in planned
    )

    def burned(burn: Burn) -> dict[str, Any]:
        has = read[burn.hca.address]["data"]
        return {"error": "busy"} if burn.hca.address in failing else {**has, "stored": burn.wanted.version}

    results = {card: ok({burn.hca.address: burned(burn) for burn in burns}) for card, burns in cards.items()}
    before = len(found.problems)
    done = judge_burns(found, results)
    assert {burn.hca.address for burn in done} == {burn.hca.address for burn in planned} - failing
    assert len(found.problems) - before == len(planned) - len(done)
    now = read | {burn.hca.address: ok(burned(burn)) for burn in done}
    again = plan([burn.hca for burn in done], now, wants, leave)
    assert (again.burns, again.problems, len(again.waits())) == ([], [], len(done))
    restarted = {
        address: ok({**one["data"], "running": one["data"]["stored"]}) if one["status"] == "ok" else one
        for address, one in now.items()
    }
    after = plan([burn.hca for burn in done], restarted, wants, leave)
    assert (after.burns, after.problems, after.waits()) == ([], [], [])


@given(NODES, classes(), PSIDS, VERSIONS)
def test_only_an_image_of_its_psid_and_version_passes(
    read: dict[str, Any], wants: dict[str, Any], psid: str, version: str
) -> None:
    for burn in plan(RAILS, read, wants, True).burns:
        held = {burn.wanted.sha256: ok({"psid": psid, "stored": version, "running": version})}
        fits = (psid, version) == (burn.psid, burn.wanted.version)
        assert (judge_images([burn], held) == []) is fits
