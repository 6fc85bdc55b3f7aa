# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages are due, and which version is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("wanted", "line", "due"),
    [
        ({}, "p ii  1.0-1", False),
        ({}, "p hi  1.0-1", False),
        ({}, "p un  ", True),
        ({}, "p rc  1.0-1", True),
        ({}, "p iF  1.0-1", True),
        ({}, "p iU  1.0-1", True),
        ({}, "pp ii  1.0-1", True),
        ({}, "", True),
        ({"hold": True}, "p ii  1.0-1", True),
        ({"hold": True}, "p hi  1.0-1", False),
        ({"version": "570.172.08"}, "p ii  570.172.08-1", False),
        ({"version": "570.172.08"}, "p ii  570.172.08-0ubuntu1", False),
        ({"version": "570.172.08"}, "p ii  2:570.172.08-1", False),
        ({"version": "570.172.08"}, "p ii  570.172.089-1", True),
        ({"version": "570.172.08"}, "p ii  570.172.08.1-1", True),
        ({"version": "2.27.7-1+cuda12.8"}, "p ii  2.27.7-1+cuda12.9", True),
        ({"version": "2.27.7-1+cuda12.8"}, "p ii  2.27.7-1+cuda12.8", False),
        ({"version": "20.10.*"}, "p ii  20.10.24+dfsg1-1", False),
        ({"version": "20.10.*"}, "p ii  5:20.10.24~3-0~debian", False),
        ({"version": "20.10.*"}, "p ii  20.100.1-1", True),
        ({"version": "20.10.*"}, "p ii  2010.1-1", True),
    ],
)
def test_what_is_due(evaluate: Callable[..., Any], wanted: dict[str, Any], line: str, due: bool) -> None:
    package = {"name": "p", **wanted}
    found = evaluate(
        "common", "__common_packages_due", common_packages=[package], __common_packages_query={"stdout_lines": [line]}
    )
    assert found == ([package] if due else [])


MADISON = [
    " libnccl2 | 2.27.7-1+cuda12.9 | http://head01/nvidia ./ Packages",
    " libnccl2 | 2.27.7-1+cuda12.8 | http://head01/nvidia ./ Packages",
    " libnccl2 | 2.26.5-1+cuda12.8 | http://head01/nvidia ./ Packages",
    "   chrony | 4.3-2 | http://head01/debian bookworm/main amd64 Packages",
]


def choice(evaluate: Callable[..., Any], name: str, *packages: dict[str, Any]) -> Any:
    return evaluate(
        "common",
        name,
        common_packages=list(packages),
        common_packages_repository="http://head01/nvidia",
        __common_packages_query={"stdout_lines": [], "stdout": ""},
        __common_packages_madison={"stdout_lines": MADISON},
    )


def test_the_best_offered_version_that_fits_is_chosen(evaluate: Callable[..., Any]) -> None:
    packages = ({"name": "libnccl2", "version": "2.27.7", "hold": True}, {"name": "chrony"})
    assert choice(evaluate, "__common_packages_specifiers", *packages) == ["libnccl2=2.27.7-1+cuda12.9", "chrony"]
    assert choice(evaluate, "__common_packages_absent", *packages) == []
    assert choice(evaluate, "__common_packages_to_hold", *packages) == ["libnccl2"]


def test_a_version_that_is_not_offered_is_refused_with_those_that_are(evaluate: Callable[..., Any]) -> None:
    packages = ({"name": "libnccl2", "version": "2.28.1"}, {"name": "nccl-tests"}, {"name": "chrony"})
    assert choice(evaluate, "__common_packages_absent", *packages) == ["libnccl2", "nccl-tests"]
    assert choice(evaluate, "__common_packages_absent_message", *packages) == (
        "libnccl2 2.28.1 is not in http://head01/nvidia, which offers "
        "2.27.7-1+cuda12.9, 2.27.7-1+cuda12.8, 2.26.5-1+cuda12.8. "
        "nccl-tests is not in http://head01/nvidia, which offers no version of it."
    )


def test_held_packages_of_former_names_are_released(evaluate: Callable[..., Any]) -> None:
    lines = [
        "nvidia-fabricmanager-570 hi  570.172.08-1",
        "nvidia-fabricmanager-575 un  ",
        "nvidia-driver-cuda hi  570.172.08-1",
    ]
    found = evaluate(
        "common",
        "__common_packages_to_release",
        common_packages=[{"name": "nvidia-driver-cuda"}, {"name": "nvidia-fabricmanager-575"}],
        __common_packages_query={"stdout_lines": lines},
    )
    assert found == ["nvidia-fabricmanager-570"]


@pytest.mark.parametrize(
    ("distribution", "version", "expected"),
    [
        (
            "Debian",
            "570.172.08",
            ["nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced", "nvidia-fabricmanager-570"],
        ),
        (
            "Ubuntu",
            "580.65.06",
            [
                "libnvidia-compute-580",
                "nvidia-utils-580",
                "nvidia-compute-utils-580",
                "nvidia-dkms-580-open",
                "nvidia-fabricmanager",
            ],
        ),
    ],
)
def test_packages_of_the_driver(
    evaluate: Callable[..., Any], distribution: str, version: str, expected: list[str]
) -> None:
    wanted = evaluate(
        "gpu_driver",
        "__gpu_driver_wanted",
        ansible_facts={"distribution": distribution},
        gpu_driver_version=version,
        gpu_driver_fabric_manager_version=version,
    )
    assert [item["name"] for item in wanted if item.get("hold")] == expected
    assert {item["version"] for item in wanted if item.get("hold")} == {version}


@pytest.mark.parametrize(
    ("distribution", "version", "major", "expected"),
    [
        ("Debian", "12.11", "12", True),
        ("Ubuntu", "22.04", "22", True),
        ("Ubuntu", "22.10", "22", False),
        ("Debian", "11.9", "11", False),
    ],
)
def test_supported_platforms(
    evaluate: Callable[..., Any], distribution: str, version: str, major: str, expected: bool
) -> None:
    facts = {"distribution": distribution, "distribution_version": version, "distribution_major_version": major}
    assert evaluate("common", "__common_platform in __common_supported_platforms", ansible_facts=facts) is expected
