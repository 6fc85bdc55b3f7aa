# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages the roles want, and of whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


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
    ("dcgm", "driver", "cuda", "expected"),
    [
        ("4.2.3", "570.172.08", "", "12"),
        ("4.4.1", "580.65.06", "", "13"),
        ("4.4.1", "580.65.06", "12.8", "12"),
        ("4.2.3", "470.256.02", "", "11"),
        ("3.3.9", "570.172.08", "12.8", None),
        ("", "570.172.08", "12.8", None),
    ],
)
def test_packages_of_dcgm(
    evaluate: Callable[..., Any], dcgm: str, driver: str, cuda: str, expected: str | None
) -> None:
    wanted = evaluate(
        "gpu_driver",
        "__gpu_driver_wanted",
        ansible_facts={"distribution": "Debian"},
        gpu_driver_version=driver,
        gpu_driver_dcgm_version=dcgm,
        gpu_driver_cuda_version=cuda,
    )
    found = [item for item in wanted if item["name"].startswith("datacenter")]
    names = ["core", f"cuda{expected}", "proprietary", f"proprietary-cuda{expected}"]
    packages = [f"datacenter-gpu-manager-4-{name}" for name in names] if expected else ["datacenter-gpu-manager"]
    assert found == [{"name": name, "version": dcgm, "hold": True} for name in packages if dcgm]


def test_gdrcopy_is_an_option(evaluate: Callable[..., Any]) -> None:
    variables = {"ansible_facts": {"distribution": "Debian"}, "gpu_driver_version": "570.172.08"}
    wanted = evaluate("gpu_driver", "__gpu_driver_wanted", gpu_driver_gdrcopy_version="2.5.1", **variables)
    assert [item for item in wanted if item.get("version") == "2.5.1"] == [
        {"name": name, "version": "2.5.1", "hold": True} for name in ("gdrdrv-dkms", "libgdrapi")
    ]
    assert all("gdr" not in item["name"] for item in evaluate("gpu_driver", "__gpu_driver_wanted", **variables))


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


@pytest.mark.parametrize(
    ("name", "pins", "expected"),
    [("", [], []), ("kernel", [], ["absent"]), ("kernel", [{"packages": ["a"], "version": "1"}], ["file"])],
)
def test_pins_that_are_not_wanted_any_more_go(
    evaluate: Callable[..., Any], name: str, pins: list[Any], expected: list[str]
) -> None:
    variables = {"common_packages_pin_name": name, "common_packages_pins": pins}
    files = evaluate("common", "__common_pins", **variables)
    assert [item.get("state", "file") for item in files] == expected
    assert [item["path"] for item in files] == ["/etc/apt/preferences.d/firstlight-kernel"] * len(expected)
    due = {"waiting": [], "files": [{"path": item["path"], "strangers": []} for item in files]}
    left = evaluate("common", "__common_pins_left", common_due=due, **variables)
    assert [item["path"] for item in left] == [item["path"] for item in files if "state" in item]
    assert evaluate("common", "__common_pins_left", common_due={"waiting": [], "files": []}, **variables) == []


REPOSITORY = {"name": "nvidia", "uris": ["http://head01/nvidia"], "suites": ["./"], "signed_by": "/usr/share/k.gpg"}


def test_a_repository_of_a_key_ring(render: Callable[..., str]) -> None:
    assert render("common", "sources.j2", repository=REPOSITORY).splitlines()[1:] == [
        "Types: deb",
        "URIs: http://head01/nvidia",
        "Suites: ./",
        "Signed-By: /usr/share/k.gpg",
    ]


def test_a_repository_of_a_written_key(render: Callable[..., str]) -> None:
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"
    repository = {**REPOSITORY, "components": ["main", "contrib"], "signed_by": key}
    assert render("common", "sources.j2", repository=repository).splitlines()[4:] == [
        "Components: main contrib",
        "Signed-By:",
        " -----BEGIN PGP PUBLIC KEY BLOCK-----",
        " .",
        " mDME",
        " -----END PGP PUBLIC KEY BLOCK-----",
    ]


@pytest.mark.parametrize(
    ("repositories", "disable", "expected"),
    [([REPOSITORY], True, True), ([REPOSITORY], False, False), ([], True, False)],
)
def test_the_distributions_sources_go_only_where_there_are_others(
    evaluate: Callable[..., Any], repositories: list[Any], disable: bool, expected: bool
) -> None:
    variables = {"common_apt_repositories": repositories, "common_apt_disable_default_sources": disable}
    assert evaluate("common", "__common_replaces_sources", **variables) is expected
