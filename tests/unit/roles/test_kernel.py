# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pinned kernel, its command line and its values, users: what role base_os makes of its variables."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.due.files import why_text_due
from ansible_collections.firstlight.cluster.plugins.module_utils.reboot.reasons import hugepages_path

Evaluate = Callable[..., Any]
Render = Callable[..., str]
NOTHING_DUE = {"sysctl_unknown": [], "texts": [], "files": []}


@pytest.mark.parametrize(
    ("distribution", "kernel", "expected"),
    [
        ("Debian", "6.12.41+deb13-amd64", ["linux-image-6.12.41+deb13-amd64", "linux-headers-6.12.41+deb13-amd64"]),
        (
            "Ubuntu",
            "6.8.0-79-generic",
            [
                "linux-image-6.8.0-79-generic",
                "linux-modules-6.8.0-79-generic",
                "linux-modules-extra-6.8.0-79-generic",
                "linux-headers-6.8.0-79-generic",
            ],
        ),
    ],
)
def test_packages_of_the_kernel(evaluate: Evaluate, distribution: str, kernel: str, expected: list[str]) -> None:
    facts = {"distribution": distribution}
    wanted = evaluate("base_os", "__base_os_packages", ansible_facts=facts, base_os_kernel=kernel)
    assert [item["name"] for item in wanted if item.get("hold")] == expected
    given = {"base_os_kernel": kernel, "base_os_kernel_packages": ["linux-image-x"]}
    wanted = evaluate("base_os", "__base_os_packages", ansible_facts=facts, **given)
    assert [item["name"] for item in wanted if item.get("hold")] == ["linux-image-x"]


def test_without_a_kernel_none_is_wanted(evaluate: Evaluate) -> None:
    facts = {"distribution": "Debian"}
    assert not [item for item in evaluate("base_os", "__base_os_packages", ansible_facts=facts) if item.get("hold")]
    assert evaluate("base_os", "__base_os_boots", ansible_facts=facts) is False
    paths = [item["path"] for item in evaluate("base_os", "__base_os_files", ansible_facts=facts)]
    assert not [path for path in paths if "grub" in path]
    texts = evaluate("base_os", "__base_os_ground_texts") + evaluate("base_os", "__base_os_texts", ansible_facts=facts)
    assert [item["name"] for item in texts if "grub" in item["path"]] == ["left words", "former boot settings"]
    assert [why_text_due(item, None) for item in texts if "grub" in item["path"]] == [[], []]


PINNED = {
    "Ubuntu": (
        "6.8.0-1030-nvidia",
        [
            "linux-image-6.8.0-1030-nvidia",
            "linux-modules-6.8.0-1030-nvidia",
            "linux-headers-6.8.0-1030-nvidia",
            "linux-nvidia-headers-6.8.0-1030",
            "linux-modules-nvidia-570-open-6.8.0-1030-nvidia",
        ],
        [
            "linux-image-6.8.0-1031-nvidia",
            "linux-image-generic",
            "linux-headers-nvidia",
            "linux-modules-6.8.0-79-generic",
        ],
    ),
    "Debian": (
        "6.1.0-37-cloud-amd64",
        ["linux-image-6.1.0-37-cloud-amd64", "linux-headers-6.1.0-37-common", "linux-headers-6.1.0-37-cloud-amd64"],
        ["linux-image-amd64", "linux-image-6.1.0-38-cloud-amd64", "linux-headers-6.1.0-38-common"],
    ),
}


@pytest.mark.parametrize("distribution", PINNED)
def test_no_other_kernel_gets_in(evaluate: Evaluate, distribution: str) -> None:
    kernel, let_in, kept_out = PINNED[distribution]
    facts = {"distribution": distribution}
    pins = evaluate("base_os", "__base_os_kernel_pins", ansible_facts=facts, base_os_kernel=kernel)

    def priority(package: str) -> int:
        """As apt_preferences(5) has it: that of the first entry which names the package."""
        return int(next(pin["priority"] for pin in pins if any(fnmatch(package, name) for name in pin["packages"])))

    assert {priority(package) for package in let_in} == {500}
    assert {priority(package) for package in kept_out} == {-1}


def test_pins_have_their_priority(render: Render) -> None:
    pins = [{"packages": ["a", "b"], "version": "*", "priority": -1}, {"packages": ["c"], "version": "1*"}]
    text = render("common", "preferences.j2", common_packages_pins=pins)
    assert text.split("\n", 1)[1] == (
        "Package: a b\nPin: version *\nPin-Priority: -1\n\nPackage: c\nPin: version 1*\nPin-Priority: 1001\n\n"
    )


def grub(text: str, before: str = "quiet") -> dict[str, str]:
    """What grub-mkconfig has after it has read the file."""
    shell = f"GRUB_DEVICE_UUID=1-2\nGRUB_CMDLINE_LINUX={before}\n{text}\nset"
    shown = subprocess.run(["sh", "-euc", shell], capture_output=True, text=True, check=True).stdout
    return {key: value.strip("'") for key, _, value in (line.partition("=") for line in shown.splitlines())}


def test_what_grub_is_told(render: Render) -> None:
    words = ["iommu=pt", "pci=realloc", "hugepagesz=1G"]
    told = grub(render("base_os", "grub.cfg.j2", base_os_kernel="6.8.0-79-generic", base_os_kernel_command_line=words))
    assert told["GRUB_DEFAULT"] == "gnulinux-advanced-1-2>gnulinux-6.8.0-79-generic-advanced-1-2"
    assert told["GRUB_DISABLE_SUBMENU"] == "false"
    assert told["GRUB_CMDLINE_LINUX"] == "quiet iommu=pt pci=realloc hugepagesz=1G"
    told = grub(render("base_os", "grub.cfg.j2", base_os_kernel_command_line=words))
    assert "GRUB_DEFAULT" not in told
    assert "GRUB_CMDLINE_LINUX=" not in render("base_os", "grub.cfg.j2", base_os_kernel="6.8.0-79-generic")


MENU = """set default="gnulinux-advanced-1-2>gnulinux-6.1.0-37-amd64-advanced-1-2"
  linux /boot/vmlinuz-6.1.0-37-amd64 root=UUID=1-2 ro quiet iommu=pt pci=realloc
"""


@pytest.mark.parametrize(
    ("kernel", "words", "due"),
    [
        ("6.1.0-37-amd64", ["iommu=pt", "pci=realloc"], False),
        ("", ["iommu=pt"], False),
        ("6.1.0-38-amd64", [], True),
        ("6.1.0-37-amd64", ["iommu=pt", "x"], True),
    ],
)
def test_a_menu_that_would_start_something_else_is_due(
    evaluate: Evaluate, kernel: str, words: list[str], due: bool
) -> None:
    given = {"base_os_kernel": kernel, "base_os_kernel_command_line": words}
    (text,) = evaluate("base_os", "__base_os_grub_texts", **given)
    assert bool(why_text_due(text, MENU)) is due


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["iommu=pt", "pci=realloc"], False),
        (["pci=realloc", "iommu=pt", "quiet"], False),
        (["iommu=pt"], True),
        (["iommu=p", "pci=realloc"], True),
        ([], True),
    ],
)
def test_words_that_leave_the_command_line_are_noticed(
    evaluate: Evaluate, render: Render, words: list[str], left: bool
) -> None:
    file = render(
        "base_os", "grub.cfg.j2", base_os_kernel="6.8", base_os_kernel_command_line=["iommu=pt", "pci=realloc"]
    )
    for kernel in ("6.8", ""):
        variables = {"base_os_kernel": kernel, "base_os_kernel_command_line": words}
        texts = evaluate("base_os", "__base_os_ground_texts", **variables)
        (text,) = [item for item in texts if item["name"] == "left words"]
        assert bool(why_text_due(text, file)) is left
        assert why_text_due(text, None) == []


@pytest.mark.parametrize(("kernel", "words", "left"), [("", [], True), ("6.8", [], False), ("", ["iommu=pt"], False)])
@pytest.mark.parametrize("text", ["GRUB_DEFAULT=x\n", "# emptied by a run that was killed\n", ""])
def test_what_grub_was_told_is_left_where_nothing_is_asked_of_it(
    evaluate: Evaluate, kernel: str, words: list[str], left: bool, text: str
) -> None:
    variables = {"base_os_kernel": kernel, "base_os_kernel_command_line": words}
    texts = evaluate("base_os", "__base_os_texts", **variables)
    found = [item["name"] for item in texts if item["name"] != "boot menu" and why_text_due(item, text)]
    assert ("former boot settings" in found) is left


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"common_due": {**NOTHING_DUE, "texts": ["boot loader"]}}, ["node01 has no boot menu of GRUB", "empty there"]),
        ({"common_due": {**NOTHING_DUE, "texts": ["huge pages"]}}, ["has no huge pages", "Correct size_kb or node"]),
        ({"base_os_kernel_command_line": ["a=b", 'c="d e"', "$(f)"]}, ['c="d e", $(f): no word', "without quotes"]),
        ({"base_os_kernel": "linux-image-6.1"}, ["linux-image-6.1: no release"]),
        ({"base_os_hugepages_mounts": [{"path": "/dev/huge-1G", "size_kb": 1}]}, ["/dev/huge-1G: no path"]),
        ({"base_os_sysfs": {"/etc/passwd": "x", "/sys/a;b": 1}}, ["/etc/passwd, /sys/a;b: no path of a file"]),
    ],
)
def test_what_a_host_cannot_be_given_is_refused(
    evaluate: Evaluate, variables: dict[str, Any], words: list[str]
) -> None:
    (told,) = evaluate("base_os", "__base_os_refused", **{"common_due": NOTHING_DUE, **variables})
    assert [word for word in words if word not in told] == []


def test_what_is_right_is_not_refused(evaluate: Evaluate) -> None:
    variables = {
        "base_os_kernel": "6.12.117+deb12-cloud-amd64",
        "base_os_kernel_command_line": ["iommu=pt", "pcie_aspm=off", "console=ttyS0,115200n8", "isolcpus=1-3,5"],
        "base_os_hugepages_mounts": [{"path": "/dev/hugepages1G", "size_kb": 1048576}],
        "base_os_sysfs": {"/sys/block/nvme*n1/queue/scheduler": "none", "/sys/devices/system/cpu/cpu[0-9]*/x": 1},
    }
    assert evaluate("base_os", "__base_os_refused", common_due=NOTHING_DUE, **variables) == []


PAGES = [
    {"size_kb": 2048, "count": 512},
    {"size_kb": 1048576, "count": 8, "node": 0},
    {"size_kb": 2048, "count": 4, "node": 1},
]


def test_values_of_the_kernel(evaluate: Evaluate) -> None:
    assert evaluate("base_os", "__base_os_values") == {
        "/sys/kernel/mm/transparent_hugepage/enabled": "madvise",
        "/proc/sys/kernel/numa_balancing": "0",
        "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor": "performance",
    }
    variables = {
        "base_os_transparent_hugepages": "",
        "base_os_numa_balancing": True,
        "base_os_cpu_governor": "",
        "base_os_cpu_resume_latency_us": 20,
        "base_os_hugepages": PAGES,
        "base_os_sysfs": {"/sys/x": "y"},
    }
    assert evaluate("base_os", "__base_os_values", **variables) == {
        "/proc/sys/kernel/numa_balancing": "1",
        "/sys/devices/system/cpu/cpu[0-9]*/power/pm_qos_resume_latency_us": "20",
        **{hugepages_path(item["size_kb"], item.get("node")): str(item["count"]) for item in PAGES},
        "/sys/x": "y",
    }
    texts = evaluate("base_os", "__base_os_hugepage_texts", base_os_hugepages=PAGES)
    assert [bool(why_text_due(text, None)) for text in texts] == [True] * 3
    assert [why_text_due(text, "0\n") for text in texts] == [[]] * 3


def test_the_program_sets_what_there_is_and_tells_what_was_not_taken(render: Render, tmp_path: Path) -> None:
    for name, text in {"policy0": "schedutil\n", "policy1": "performance\n", "thp": "always [madvise] never\n"}.items():
        (tmp_path / name).write_text(text)
    # The link stands for a file that takes no value.
    (tmp_path / "refusing").symlink_to("/dev/null")
    values = {f"{tmp_path}/policy*": "performance", f"{tmp_path}/none": 1, f"{tmp_path}/thp": "never"}
    program = render("base_os", "kernel-values.sh.j2", __base_os_values=values)
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {
        "policy0": "performance\n",
        "policy1": "performance\n",
        "thp": "never\n",
    }
    program = render("base_os", "kernel-values.sh.j2", __base_os_values={f"{tmp_path}/refusing": "x y"})
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}/refusing is , wanted is x y\n")


def test_a_mount_of_huge_pages_is_a_unit_of_its_name(evaluate: Evaluate) -> None:
    mounts = [{"path": "/dev/hugepages1G", "size_kb": 1048576}]
    (file,) = evaluate("base_os", "__base_os_mount_files", base_os_hugepages_mounts=mounts)
    assert file["path"] == "/etc/systemd/system/dev-hugepages1G.mount"
    (service,) = evaluate("base_os", "__base_os_mount_services", base_os_hugepages_mounts=mounts)
    assert service == {"name": "dev-hugepages1G.mount", "reads": [file["path"]]}


USERS = [
    {
        "name": "ada",
        "groups": ["docker"],
        "authorized_keys": ["ssh-ed25519 A ada\n", "ssh-ed25519 B ada"],
        "sudo": True,
    },
    {"name": "ci", "uid": 2000, "home": "/srv/ci", "shell": "/bin/sh"},
]


def test_users_and_their_keys(evaluate: Evaluate, render: Render) -> None:
    assert evaluate("base_os", "__base_os_users", base_os_users=USERS) == [
        {"name": "ada", "home": "/home/ada", "shell": "/bin/bash", "groups": ["docker"]},
        {"name": "ci", "uid": 2000, "home": "/srv/ci", "shell": "/bin/sh"},
    ]
    files = {item["path"]: item for item in evaluate("base_os", "__base_os_user_files", base_os_users=USERS)}
    keys = files["/home/ada/.ssh/authorized_keys"]
    assert (keys["content"], keys["mode"], keys["owner"]) == (
        "ssh-ed25519 A ada\nssh-ed25519 B ada\n",
        "u=rw,go=",
        "ada",
    )
    assert files["/srv/ci/.ssh/authorized_keys"]["content"] == ""
    assert re.findall("^(.*) ALL=", render("base_os", "sudoers.j2", base_os_users=USERS), re.MULTILINE) == ["ada"]
    assert "sudo" in [item["name"] for item in evaluate("base_os", "__base_os_packages", base_os_users=USERS)]
    assert evaluate("base_os", "__base_os_user_files") == []


LOGROTATE = "weekly\nrotate 4\n# BEGIN size of logs\nmaxsize 1G\n# END size of logs\ninclude /etc/logrotate.d\n"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        (LOGROTATE, False),
        (LOGROTATE.replace("1G", "10G"), True),
        ("weekly\ninclude /etc/logrotate.d\n", True),
        (None, False),
    ],
)
def test_a_bound_for_logs_where_there_is_logrotate(evaluate: Evaluate, text: str | None, due: bool) -> None:
    (wanted,) = evaluate("base_os", "__base_os_log_texts")
    assert bool(why_text_due(wanted, text)) is due
