# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has beside what its class wants: each item same, other, absent and unread."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError
from ansible_collections.firstlight.cluster.plugins.module_utils.software import matrix, reading
from ansible_collections.firstlight.cluster.plugins.modules import software_info

SOFTWARE = {
    "kernel": "6.8.0-60-generic",
    "gpu_driver": "570.172.08",
    "fabric_manager": "570.172.08",
    "dcgm": "4.2.3",
    "doca_ofed": "3.1.0-091000",
    "cuda": "12.8",
    "nccl": "2.27.7",
    "container_toolkit": "1.17.8",
    "docker": "20.10",
}
HCAS: dict[str, Any] = {"devices": ["mlx5_0", "mlx5_3"], "firmware": "28.39.1002"}
IMAGE = {"psid": "MT_0000000838", "image_uri": "http://head01/files/new.bin", "sha256": "a" * 64}
PACKAGES = {
    "datacenter-gpu-manager-4-core": "1:4.2.3-1",
    "doca-ofed": "3.1.0-091000",
    "cuda-toolkit-12-8": "12.8.1-1",
    "cuda-toolkit-12-8-config-common": "12.8.90-1",
    "libnccl2": "2.27.7-1+cuda12.9",
    "nvidia-container-toolkit": "1.17.8-1",
}


def ok(**data: Any) -> dict[str, Any]:
    return {"status": "ok", "data": data, "seconds": 0.1}


def broken(status: str, error: str) -> dict[str, Any]:
    return {"status": status, "error": error, "seconds": 0.1}


def devices(psid: Any = "MT_0000000838", **firmware: Any) -> dict[str, Any]:
    return ok(devices={name: {"firmware": value, "board_id": psid} for name, value in firmware.items()})


def read(**other: Any) -> dict[str, Any]:
    """What a node that is as its class says shows, with some readers' results replaced."""
    return {
        "host": ok(kernel="6.8.0-60-generic"),
        "nvml": ok(driver_version="570.172.08"),
        "fabric_manager": ok(version="570.172.08"),
        "infiniband": devices(mlx5_0="28.39.1002", mlx5_3="28.46.1006"),
        "docker": ok(answers=True, version="20.10.24"),
        "packages": ok(**PACKAGES),
    } | other


def without(package: str, **others: str) -> dict[str, Any]:
    return ok(**{name: version for name, version in PACKAGES.items() if name != package} | others)


def unlike(found: dict[str, Any], software: dict[str, str] | None = None) -> list[str]:
    return [str(each) for each in matrix.compare(found, software or SOFTWARE, HCAS) if not each.same]


def test_a_node_as_its_class_says_has_no_difference() -> None:
    found = matrix.compare(read(), SOFTWARE, HCAS)
    assert [each.name for each in found] == [*SOFTWARE, "hca_firmware of mlx5_0", "hca_firmware of mlx5_3"]
    assert unlike(read()) == []
    assert not matrix.is_due(found)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"host": ok(kernel="6.8.0-71-generic")}, "kernel is 6.8.0-71-generic, the class has 6.8.0-60-generic"),
        ({"nvml": ok(driver_version="575.57.08")}, "gpu_driver is 575.57.08, the class has 570.172.08"),
        ({"nvml": ok(driver_version="570.172")}, "gpu_driver is 570.172, the class has 570.172.08"),
        (
            {"nvml": ok(driver_version={"error": "not ready"})},
            "gpu_driver cannot be told (not ready), the class has 570.172.08",
        ),
        (
            {"nvml": broken("error", "driver/library version mismatch")},
            "gpu_driver cannot be told (driver/library version mismatch), the class has 570.172.08",
        ),
        ({"nvml": broken("timeout", "no answer within 20 s")}, "gpu_driver cannot be told (no answer within 20 s)"),
        ({"fabric_manager": broken("missing", "no such command")}, "fabric_manager is not installed, the class has"),
        ({"fabric_manager": broken("error", "names no version")}, "fabric_manager cannot be told (names no version)"),
        (
            {"packages": without("datacenter-gpu-manager-4-core", **{"datacenter-gpu-manager": "1:3.3.9"})},
            "dcgm is 3.3.9, the class has 4.2.3",
        ),
        ({"packages": without("doca-ofed")}, "doca_ofed is not installed, the class has 3.1.0-091000"),
        ({"packages": without("doca-ofed", **{"doca-ofed": "2.9.3-081000"})}, "doca_ofed is 2.9.3-081000, the class"),
        (
            {"packages": without("cuda-toolkit-12-8", **{"cuda-toolkit-12-4": "12.4.1-1"})},
            "cuda is 12.4.1-1, the class has 12.8 (which the nodes' image brings, and no role)",
        ),
        ({"packages": without("libnccl2", libnccl2="2.27.70-1")}, "nccl is 2.27.70-1, the class has 2.27.7"),
        ({"packages": without("nvidia-container-toolkit")}, "container_toolkit is not installed, the class has 1.17.8"),
        ({"docker": ok(answers=True, version="20.100.1")}, "docker is 20.100.1, the class has 20.10"),
        (
            {"docker": ok(answers=False, reason="docker.service is inactive")},
            "docker cannot be told (docker.service is inactive), the class has 20.10",
        ),
        (
            {"infiniband": devices(mlx5_0="28.39.1001", mlx5_3="28.39.1002")},
            "hca_firmware of mlx5_0 is 28.39.1001, the class has 28.39.1002 (of which it has no image in hardware.hcas",
        ),
        ({"infiniband": devices(mlx5_0="28.39.1002")}, "hca_firmware of mlx5_3 cannot be told (there is no firmware)"),
    ],
)
def test_what_differs_is_told_with_both_versions(other: dict[str, Any], told: str) -> None:
    [line] = unlike(read(**other))
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("wants", "told"),
    [
        ("2.27.7", ["nccl is 2.27.7-1+cuda13.0, the class has 2.27.7-*+cuda12.*"]),
        ("2.27.7-1+cuda12.9", ["nccl is 2.27.7-1+cuda13.0, the class has 2.27.7-1+cuda12.9"]),
        ("2.27.7-1+cuda13.0", []),
    ],
)
def test_a_build_of_nccl_for_another_cuda_is_a_difference(wants: str, told: list[str]) -> None:
    found = read(packages=without("libnccl2", libnccl2="2.27.7-1+cuda13.0"))
    assert unlike(found, {**SOFTWARE, "nccl": wants}) == told
    assert matrix.is_due(matrix.compare(found, {**SOFTWARE, "nccl": wants}, {})) is bool(told)


def test_one_of_several_toolkits_is_enough() -> None:
    both = without("cuda-toolkit-12-8", **{"cuda-toolkit-12-4": "12.4.1-1", "cuda-toolkit-12-8": "12.8.1-1"})
    assert unlike(read(packages=both)) == []
    other = without("cuda-toolkit-12-8", **{"cuda-toolkit-12-4": "12.4.1-1", "cuda-toolkit-13-0": "13.0.2-1"})
    [line] = unlike(read(packages=other))
    assert line.startswith("cuda is 12.4.1-1, 13.0.2-1, the class has 12.8")


def test_a_node_without_any_cuda_is_as_its_class_says() -> None:
    """No role installs it: a node that runs containers only would never be the same."""
    none = read(packages=without("cuda-toolkit-12-8"))
    assert unlike(none) == []
    found = {each.item: each for each in matrix.compare(none, SOFTWARE, HCAS)}
    assert (found["cuda"].has, str(found["cuda"])) == ("", "cuda is not installed")


def test_what_no_role_brings_about_sets_no_node_aside() -> None:
    """Where upgrade.yml compares once more, to configure the node has changed nothing of it."""
    packages = without("cuda-toolkit-12-8", **{"cuda-toolkit-12-4": "12.4.1-1"})
    other = read(packages=packages, infiniband=devices(mlx5_0="28.39.1001", mlx5_3="28.39.1002"))
    told = {
        each.component: each.verdict for each in matrix.findings(matrix.compare(other, SOFTWARE, HCAS), Verdict.FAIL)
    }
    assert (told["software:cuda"], told["hca:mlx5_0"]) == (Verdict.WARN, Verdict.WARN)
    burned = HCAS | {"firmware_images": [IMAGE]}
    told = {each.component: each.verdict for each in matrix.findings(matrix.compare(other, {}, burned), Verdict.FAIL)}
    assert told["hca:mlx5_0"] == Verdict.FAIL
    unread = read(packages=broken("timeout", "no answer"))
    told = {
        each.component: each.verdict for each in matrix.findings(matrix.compare(unread, SOFTWARE, HCAS), Verdict.FAIL)
    }
    assert told["software:cuda"] == Verdict.UNKNOWN


def test_where_packages_cannot_be_read_none_is_taken_for_absent() -> None:
    lines = unlike(read(packages=broken("timeout", "no answer within 20 s")))
    assert len(lines) == 5 and all("cannot be told (no answer within 20 s)" in line for line in lines)


def test_what_the_class_does_not_name_is_not_compared() -> None:
    found = matrix.compare(read(nvml=broken("error", "gone")), {"nccl": "2.27.7"}, {"devices": ["mlx5_0"]})
    assert [each.name for each in found] == ["nccl"]
    [told] = matrix.findings([], Verdict.FAIL)
    assert (told.verdict, told.component) == (Verdict.PASS, "host")


@pytest.mark.parametrize(
    ("other", "due"),
    [
        ({"nvml": ok(driver_version="575.57.08")}, True),
        ({"nvml": broken("error", "gone")}, True),
        ({"packages": without("datacenter-gpu-manager-4-core")}, True),
        # The class has nothing to burn: to configure the node would not end the difference.
        ({"infiniband": devices(mlx5_0="28.39.1001", mlx5_3="28.39.1002")}, False),
    ],
)
def test_a_node_is_due_for_what_a_role_can_mend(other: dict[str, Any], due: bool) -> None:
    assert matrix.is_due(matrix.compare(read(**other), SOFTWARE, HCAS)) is due


@pytest.mark.parametrize(
    ("has", "image", "told", "due"),
    [
        (devices(mlx5_0="28.39.1001"), {}, "is 28.39.1001, the class has 28.39.1002", True),
        # What the class has of other boards says nothing of these.
        (devices("DEL0000000031", mlx5_0="28.39.1001"), {}, "is 28.39.1001, the class has 28.39.1002", False),
        (devices(mlx5_0="28.39.1002"), {"version": "28.46.1006"}, "is 28.39.1002, the class has 28.46.1006", True),
        (devices(mlx5_0="28.46.1006"), {}, "", False),
        (devices(mlx5_0="28.46.1006"), {"exact": True}, "is 28.46.1006, the class has 28.39.1002", True),
        (devices({"error": "denied"}, mlx5_0="28.46.1006"), {}, "cannot be told (denied), the class has", True),
    ],
)
def test_firmware_that_the_class_can_burn_makes_a_node_due(
    has: dict[str, Any], image: dict[str, Any], told: str, due: bool
) -> None:
    hcas = {"devices": ["mlx5_0"], "firmware": "28.39.1002", "firmware_images": [{**IMAGE, **image}]}
    [found] = matrix.compare(read(infiniband=has), {}, hcas)
    assert ("" if found.same else str(found).removeprefix("hca_firmware of mlx5_0 "))[: len(told)] == told
    assert found.same == (not told) and matrix.is_due([found]) is due


@pytest.mark.parametrize("against", [Verdict.WARN, Verdict.FAIL])
def test_findings_name_item_and_both_versions(against: Verdict) -> None:
    other = read(nvml=ok(driver_version="575.57.08"), docker=broken("error", "no permission"))
    found = {each.component: each for each in matrix.findings(matrix.compare(other, SOFTWARE, HCAS), against)}
    driver = found["software:gpu_driver"]
    assert (driver.verdict, driver.observed, driver.expected) == (against, "575.57.08", "570.172.08")
    assert (found["software:docker"].verdict, found["software:docker"].observed) == (Verdict.UNKNOWN, None)
    assert {found["software:nccl"].verdict, found["hca:mlx5_3"].verdict} == {Verdict.PASS}


# -- reading


def test_packages_that_are_not_installed_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = "libnccl2 hi  2.27.7-1\ndoca-ofed rc  3.1.0\nnvidia-container-toolkit iU  1.17.8-1\nnever un \n"
    monkeypatch.setattr(reading, "run_tool", lambda command: printed if command[0] == "dpkg-query" else "")
    assert reading.read_packages() == {"libnccl2": "2.27.7-1"}


def test_a_reader_that_fails_costs_its_own_items_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, str]:
        raise SourceError("dpkg's database is locked")

    monkeypatch.setattr(reading, "read_packages", fail)
    monkeypatch.setattr(reading, "read_fabric_manager", lambda: {"version": "570.172.08"})
    found = reading.read_versions([], 10)
    assert found["packages"]["error"] == "dpkg's database is locked"
    assert found["fabric_manager"]["data"] == {"version": "570.172.08"}
    assert found["host"]["data"]["kernel"]


def module(capfd: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    arguments = {"node": "node01", "software": SOFTWARE, "hcas": HCAS, **options}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        software_info.main()
    return dict(json.loads(capfd.readouterr().out))


def test_the_module_tells_versions_differences_and_findings(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def versions(*arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        return read(nvml=ok(driver_version="575.57.08"))

    monkeypatch.setattr(software_info, "read_versions", versions)
    told = module(capfd, nvml_path=["/opt/venv"], deadline=3)
    assert asked == [(["/opt/venv"], 3.0)]
    assert (told["changed"], told["due"]) == (False, True)
    assert told["versions"]["nccl"] == "2.27.7-1+cuda12.9"
    [differs] = told["differences"]
    assert (differs["item"], differs["has"], differs["wants"]) == ("gpu_driver", "575.57.08", "570.172.08")
    assert {each["verdict"] for each in told["findings"]["node01"]} == {"pass", "warn"}
    assert "fail" in {each["verdict"] for each in module(capfd, against="fail")["findings"]["node01"]}
    assert "deadline must be" in module(capfd, deadline=0)["msg"]
