# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages are due, and which version is chosen."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.due.packages import (
    Wanted,
    choose,
    fits,
    held_by_former_names,
    parse_madison,
    parse_query,
    why_due,
)


@pytest.mark.parametrize(
    ("wanted", "line", "why"),
    [
        ({}, "p ii  1.0-1", []),
        ({}, "p hi  1.0-1", []),
        ({}, "p un  ", ["is not installed"]),
        ({}, "p rc  1.0-1", ["is not installed"]),
        ({}, "p iF  1.0-1", ["is half-configured (F)"]),
        ({}, "p iU  1.0-1", ["is half-configured (U)"]),
        ({}, "p iiR 1.0-1", ["is half-configured (iR)"]),
        ({}, "pp ii  1.0-1", ["is not installed"]),
        ({}, "", ["is not installed"]),
        ({"hold": True}, "p ii  1.0-1", ["is not held"]),
        ({"hold": True}, "p hi  1.0-1", []),
        ({"version": "2", "hold": True}, "p ii  1.0-1", ["has version 1.0-1, wanted is 2", "is not held"]),
        ({"version": "570.172.08"}, "p ii  570.172.08-1", []),
        ({"version": "570.172.08"}, "p ii  570.172.089-1", ["has version 570.172.089-1, wanted is 570.172.08"]),
    ],
)
def test_what_is_due(wanted: dict[str, Any], line: str, why: list[str]) -> None:
    assert why_due(Wanted.from_dict({"name": "p", **wanted}), parse_query(line + "\n")) == why


def test_one_architecture_that_is_as_wanted_is_enough() -> None:
    found = parse_query("p ii  1.0-1\np un  \n")
    assert why_due(Wanted("p", "1.0"), found) == why_due(Wanted("p", "1.0"), found[::-1]) == []


@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [
        ("", "1.0-1", True),
        ("570.172.08", "570.172.08", True),
        ("570.172.08", "570.172.08-1", True),
        ("570.172.08", "570.172.08-0ubuntu1", True),
        ("570.172.08", "2:570.172.08-1", True),
        ("570.172.08", "570.172.08+really1", True),
        ("570.172.08", "570.172.089-1", False),
        ("570.172.08", "570.172.08.1-1", False),
        ("570.172.08", "570x172x08-1", False),
        ("570.172.08", "1570.172.08-1", False),
        ("2.27.7-1+cuda12.8", "2.27.7-1+cuda12.9", False),
        ("2.27.7-1+cuda12.8", "2.27.7-1+cuda12.8", True),
        ("20.10.*", "20.10.24+dfsg1-1", True),
        ("20.10.*", "5:20.10.24~3-0~debian", True),
        ("20.10.*", "20.100.1-1", False),
        ("20.10.*", "2010.1-1", False),
        ("2.27.7-*+cuda12.*", "2.27.7-1+cuda12.9", True),
        ("2.27.7-*+cuda12.*", "2.27.7-1+cuda13.0", False),
        ("2.27.7-*+cuda12.*", "2.27.70-1+cuda12.9", False),
        ("2.27.7-*+cuda1.*", "2.27.7-1+cuda12.9", False),
    ],
)
def test_versions_that_fit(wanted: str, version: str, expected: bool) -> None:
    assert fits(wanted, version) is expected


MADISON = """ libnccl2 | 2.27.7-1+cuda12.9 | http://head01/nvidia ./ Packages
 libnccl2 | 2.27.7-1+cuda12.8 | http://head01/nvidia ./ Packages
 libnccl2 | 2.27.7-1+cuda12.8 | http://head02/nvidia ./ Packages
 libnccl2 | 2.26.5-1+cuda12.8 | http://head01/nvidia ./ Packages
   chrony | 4.3-2 | http://head01/debian bookworm/main amd64 Packages
"""


def test_offered_versions_are_listed_once_and_best_first() -> None:
    assert parse_madison(MADISON + "N: Unable to locate package x\n") == {
        "libnccl2": ["2.27.7-1+cuda12.9", "2.27.7-1+cuda12.8", "2.26.5-1+cuda12.8"],
        "chrony": ["4.3-2"],
    }


def test_the_best_offered_version_that_fits_is_chosen() -> None:
    choice = choose([Wanted("libnccl2", "2.27.7", hold=True), Wanted("chrony")], parse_madison(MADISON), "x")
    assert choice.specifiers == ["libnccl2=2.27.7-1+cuda12.9", "chrony"]
    assert (choice.absent, choice.message) == ([], "")


def test_of_several_builds_the_best_that_fits_is_chosen() -> None:
    offered = {"libnccl2": ["2.27.7-1+cuda13.0", "2.27.7-1+cuda12.9", "2.27.7-1+cuda12.8", "2.26.5-1+cuda12.9"]}
    choice = choose([Wanted("libnccl2", "2.27.7-*+cuda12.*", hold=True)], offered, "x")
    assert choice.specifiers == ["libnccl2=2.27.7-1+cuda12.9"]
    refused = choose([Wanted("libnccl2", "2.26.5-*+cuda13.*")], offered, "http://head01/nvidia")
    assert refused.message.startswith("libnccl2 2.26.5-*+cuda13.* is not in http://head01/nvidia, which offers")


def test_a_version_that_is_not_offered_is_refused_with_those_that_are() -> None:
    due = [Wanted("libnccl2", "2.28.1"), Wanted("nccl-tests", repository="the archive"), Wanted("chrony")]
    choice = choose(due, parse_madison(MADISON), "http://head01/nvidia")
    assert choice.absent == ["libnccl2", "nccl-tests"]
    assert choice.specifiers == ["chrony"]
    assert choice.message == (
        "libnccl2 2.28.1 is not in http://head01/nvidia, which offers "
        "2.27.7-1+cuda12.9, 2.27.7-1+cuda12.8, 2.26.5-1+cuda12.8. "
        "nccl-tests is not in the archive, which offers no version of it."
    )


def test_held_packages_of_former_names_are_released() -> None:
    found = parse_query(
        "nvidia-fabricmanager-570 hi  570.172.08-1\n"
        "nvidia-utils-570 ii  570.172.08-1\n"
        "nvidia-fabricmanager-575 un  \n"
        "nvidia-driver-cuda hi  570.172.08-1\n"
    )
    wanted = [Wanted("nvidia-driver-cuda"), Wanted("nvidia-fabricmanager-575")]
    assert held_by_former_names(wanted, found) == ["nvidia-fabricmanager-570"]
