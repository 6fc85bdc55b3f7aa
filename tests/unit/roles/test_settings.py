# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles write, and what they hold to be changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.due.files import why_text_due
from ansible_collections.firstlight.cluster.plugins.modules import storage_plan
from role_files import ROLES, load

DOCKER_KEYS = {"container_runtime_registry_mirrors": ["https://head02:5000"], "container_runtime_nvidia_toolkit": True}
CONTAINERS = {"default-cgroupns-mode": "private", "default-shm-size": "16G", "live-restore": True}


def test_settings_of_the_daemon(evaluate: Callable[..., Any]) -> None:
    extra = {"container_runtime_daemon_extra": {"log-opts": {"max-file": "9"}}}
    assert evaluate("container_runtime", "__container_runtime_ours", **DOCKER_KEYS, **extra) == {
        "log-driver": "json-file",
        "log-opts": {"max-size": "100m", "max-file": "9"},
        **CONTAINERS,
        "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": []}},
        "registry-mirrors": ["https://head02:5000"],
    }
    plain = {"log-driver": "json-file", "log-opts": {"max-size": "100m", "max-file": "5"}, **CONTAINERS}
    assert evaluate("container_runtime", "__container_runtime_ours") == plain


@pytest.mark.parametrize(
    ("package", "distribution", "major", "expected"),
    [
        ("docker.io", "Debian", "12", ["docker.io"]),
        ("docker.io", "Debian", "13", ["docker.io", "docker-cli"]),
        ("docker.io", "Ubuntu", "24", ["docker.io"]),
        ("docker-ce", "Debian", "13", ["docker-ce"]),
    ],
)
def test_the_command_comes_with_the_daemon(
    evaluate: Callable[..., Any], package: str, distribution: str, major: str, expected: list[str]
) -> None:
    """Debian 13 has it in a package of its own, which must be of the same version."""
    given = {
        "ansible_facts": {"distribution": distribution, "distribution_major_version": major},
        "container_runtime_package": package,
        "container_runtime_version": "26.1.*",
    }
    wanted = evaluate("container_runtime", "__container_runtime_wanted", **given)
    assert wanted == [{"name": name, "version": "26.1.*", "hold": True} for name in expected]


@pytest.mark.parametrize(
    ("told", "expected"), [("  --validate  ", "dockerd --validate --config-file %s"), ("  --debug", ""), (None, "")]
)
def test_a_daemon_that_can_judge_its_configuration_does(
    evaluate: Callable[..., Any], told: str | None, expected: str
) -> None:
    variables = {} if told is None else {"__container_runtime_help": {"stdout": told}}
    files = evaluate("container_runtime", "__container_runtime_files", **variables)
    assert [item["validate"].strip() for item in files if "json" in item] == [expected]


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("20.10.*", False),
        ("24.0.9", False),
        ("25.*", True),
        ("28", True),
        ("5:28.5.2-1~debian.12~bookworm", True),
        ("", False),
    ],
)
def test_docker_takes_gpus_by_cdi_where_it_can(evaluate: Callable[..., Any], version: str, known: bool) -> None:
    given = {"container_runtime_nvidia_toolkit": True, "container_runtime_version": version}
    daemon = evaluate("container_runtime", "__container_runtime_ours", **given)
    assert daemon.get("features") == ({"cdi": True} if known else None)
    options = evaluate("container_runtime", "__container_runtime_all_gpus", **given)
    assert options[:2] == (["--device", "nvidia.com/gpu=all"] if known else ["--runtime", "nvidia"])
    # What a site sets beside it stays.
    more = {**given, "container_runtime_daemon": {"features": {"buildkit": True}}}
    features = {"buildkit": True, "cdi": True} if known else {"buildkit": True}
    assert evaluate("container_runtime", "__container_runtime_ours", **more)["features"] == features


@pytest.mark.parametrize(
    ("version", "path", "unit", "services"),
    [
        ("1.17.8", "/etc/cdi/nvidia.yaml", "firstlight-cdi.service", ["docker", "firstlight-cdi"]),
        ("", "/etc/cdi/nvidia.yaml", "firstlight-cdi.service", ["docker", "firstlight-cdi"]),
        (
            "1.18.0",
            "/var/run/cdi/nvidia.yaml",
            "nvidia-cdi-refresh.service",
            ["docker", "nvidia-cdi-refresh.path", "firstlight-cdi"],
        ),
    ],
)
def test_the_gpus_are_described_by_the_toolkits_own_service_where_there_is_one(
    evaluate: Callable[..., Any], version: str, path: str, unit: str, services: list[str]
) -> None:
    given = {"container_runtime_nvidia_toolkit": True, "container_runtime_nvidia_toolkit_version": version}
    assert evaluate("container_runtime", "__container_runtime_cdi_specification", **given) == path
    assert evaluate("container_runtime", "__container_runtime_cdi_unit", **given) == unit
    found = evaluate("container_runtime", "__container_runtime_services", **given)
    assert [item["name"] for item in found] == services
    # One of two specifications of the same devices would be stale.
    files = {item["path"]: item for item in evaluate("container_runtime", "__container_runtime_files", **given)}
    own = files.get("/etc/systemd/system/firstlight-cdi.service", {}).get("content", "")
    assert (f"--output={path}\n" in own) is (version != "1.18.0")
    assert (files.get("/etc/cdi/nvidia.yaml", {}).get("state") == "absent") is (version == "1.18.0")
    assert found[-1].get("state") == ("stopped" if version == "1.18.0" else None)
    pins = evaluate("container_runtime", "__container_runtime_pins", **given)
    assert [pin["version"] for pin in pins] == ([f"{version}*"] if version else [])


def test_without_gpus_nothing_of_them_is_done(evaluate: Callable[..., Any]) -> None:
    given = {"container_runtime_nvidia_toolkit_version": "1.18.0", "container_runtime_version": "28"}
    assert "features" not in evaluate("container_runtime", "__container_runtime_ours", **given)
    assert [item["name"] for item in evaluate("container_runtime", "__container_runtime_services", **given)] == [
        "docker"
    ]
    assert not [
        item for item in evaluate("container_runtime", "__container_runtime_files", **given) if "cdi" in item["path"]
    ]
    assert evaluate("container_runtime", "__container_runtime_pins", **given) == []


def test_registries_are_trusted_each_in_its_directory(evaluate: Callable[..., Any]) -> None:
    registries = [{"name": "head01:5000", "ca_certificate": "PEM\n\n"}]
    files = evaluate("container_runtime", "__container_runtime_files", container_runtime_registries=registries)
    assert files[-2:] == [
        {"path": "/etc/docker/certs.d/head01:5000", "state": "directory"},
        {"path": "/etc/docker/certs.d/head01:5000/ca.crt", "content": "PEM\n"},
    ]


def test_the_drivers_services_are_named_by_their_version(evaluate: Callable[..., Any]) -> None:
    version = {"gpu_driver_version": "570.172.08"}
    waits = {"waits_for": ["/sys/module/nvidia/version", "/sys/module/nouveau/initstate"]}
    persistence = {"name": "nvidia-persistenced", "words": ["570.172.08"], **waits}
    manager = {"name": "nvidia-fabricmanager", "words": ["570.172.08"], "reads": [], **waits}
    dcgm = {"name": "nvidia-dcgm", "words": ["4.2.3", "570.172.08"], **waits}
    assert evaluate("gpu_driver", "__gpu_driver_services", **version)[:-1] == [persistence]
    versions = version | {"gpu_driver_fabric_manager_version": "570.172.08", "gpu_driver_dcgm_version": "4.2.3"}
    assert evaluate("gpu_driver", "__gpu_driver_services", **versions)[:-1] == [persistence, manager, dcgm]


@pytest.mark.parametrize(
    ("persistence", "watts", "commands"),
    [
        ("enabled", 0, ["--persistence-mode=1"]),
        ("disabled", 0, ["--persistence-mode=0"]),
        ("enabled", 650, ["--persistence-mode=1", "--power-limit=650"]),
        ("", 650, ["--power-limit=650"]),
        ("", 0, []),
    ],
)
def test_what_gpus_forget_is_set_by_every_start(
    evaluate: Callable[..., Any], persistence: str, watts: int, commands: list[str]
) -> None:
    variables = {
        "gpu_driver_version": "570.172.08",
        "gpu_driver_persistence": persistence,
        "gpu_driver_power_limit": watts,
    }
    files = {item["path"]: item for item in evaluate("gpu_driver", "__gpu_driver_files", **variables)}
    unit = files.get("/etc/systemd/system/firstlight-gpu-modes.service", {}).get("content", "")
    assert re.findall("(?m)^ExecStart=-/usr/bin/nvidia-smi (.*)$", unit) == commands
    service = evaluate("gpu_driver", "__gpu_driver_services", **variables)[-1]
    assert service["name"] == "firstlight-gpu-modes"
    assert service.get("state", "started") == ("started" if commands else "stopped")


@pytest.mark.parametrize(("force", "command"), [(True, "zpool import -f 1234"), (False, "zpool import 1234")])
def test_a_pool_is_imported_by_force_where_the_plan_says_so(
    evaluate: Callable[..., Any], force: bool, command: str
) -> None:
    tasks = load(ROLES / "storage" / "tasks" / "pools.yml")
    (task,) = [task for task in tasks if "import" in task.get("ansible.builtin.command", {}).get("argv", "")]
    given = task["ansible.builtin.command"]["argv"].strip("{} ")
    assert evaluate("storage", given, item={"arguments": {"id": "1234", "force": force}}) == command.split()


def test_a_limit_that_is_not_asked_for_any_more_is_lifted(evaluate: Callable[..., Any]) -> None:
    """What GPUs do not take is refused before; that there is no limit, never."""
    for file, expected in (("modes.yml", 0), ("before_files.yml", evaluate("gpu_driver", "omit", omit="omitted"))):
        task = load(ROLES / "gpu_driver" / "tasks" / file)[0]
        given = task["firstlight.cluster.gpu_modes"]["power_limit"].strip("{} ")
        assert evaluate("gpu_driver", given, omit="omitted") == expected
        assert evaluate("gpu_driver", given, omit="omitted", gpu_driver_power_limit=650) == 650


def test_parameters_of_the_module(evaluate: Callable[..., Any]) -> None:
    given = {
        "NVreg_EnableStreamMemOPs": 1,
        "NVreg_EnableGpuFirmware": True,
        "NVreg_RegistryDwords": '"PeerMappingOverride=1;"',
    }
    path = "/etc/modprobe.d/firstlight-nvidia.conf"
    file = evaluate("gpu_driver", "__gpu_driver_files", gpu_driver_module_parameters=given)[0]
    assert file["path"] == path
    assert file["content"].splitlines()[1:] == [
        "options nvidia NVreg_EnableStreamMemOPs=1",
        "options nvidia NVreg_EnableGpuFirmware=1",
        'options nvidia NVreg_RegistryDwords="PeerMappingOverride=1;"',
    ]
    assert evaluate("gpu_driver", "__gpu_driver_files")[0] == {"path": path, "state": "absent"}


def test_nvlsm_comes_with_its_module_and_before_the_fabric_manager(evaluate: Callable[..., Any]) -> None:
    path = "/etc/systemd/system/nvidia-fabricmanager.service.d/50-firstlight-nvlsm.conf"
    given = {"gpu_driver_version": "570.172.08", "gpu_driver_fabric_manager_version": "570.172.08"}
    given |= {"ansible_facts": {"distribution": "Ubuntu"}}
    files = {item["path"]: item for item in evaluate("gpu_driver", "__gpu_driver_files", **given)}
    assert files[path]["state"] == "absent"
    given["gpu_driver_nvlsm_version"] = "2025.10.14"
    files = {item["path"]: item for item in evaluate("gpu_driver", "__gpu_driver_files", **given)}
    assert "Wants=modprobe@ib_umad.service\nAfter=modprobe@ib_umad.service" in files[path]["content"]
    assert files[path.rpartition("/")[0]]["state"] == "directory"
    manager = evaluate("gpu_driver", "__gpu_driver_services", **given)[1]
    assert (manager["name"], manager["reads"]) == ("nvidia-fabricmanager", [path])
    (nvlsm,) = [item for item in evaluate("gpu_driver", "__gpu_driver_wanted", **given) if item["name"] == "nvlsm"]
    assert (nvlsm["version"], nvlsm["hold"]) == ("2025.10.14", True)


def test_nouveau_is_kept_from_the_gpus(evaluate: Callable[..., Any]) -> None:
    file = evaluate("gpu_driver", "__gpu_driver_files", gpu_driver_version="570.172.08")[1]
    assert file["path"] == "/etc/modprobe.d/firstlight-nouveau.conf"
    told = [line for line in file["content"].splitlines() if not line.startswith("#")]
    assert told == ["blacklist nouveau", "options nouveau modeset=0"]


@pytest.mark.parametrize(
    ("loaded", "reason"),
    [
        (["/sys/module/nouveau/initstate"], "nouveau is loaded, and keeps the GPUs from the driver"),
        (["/sys/module/nvidia/version"], "the driver that is loaded is not 570.172.08"),
    ],
)
def test_a_restart_is_asked_for_with_what_is_loaded(
    evaluate: Callable[..., Any], loaded: list[str], reason: str
) -> None:
    task = load(ROLES / "gpu_driver" / "tasks" / "install.yml")[-1]
    given = task["vars"]["common_reboot_reason"].strip("{} ")
    told = {"gpu_driver_version": "570.172.08", "common_due": {"sysfs": loaded}}
    assert evaluate("gpu_driver", given, **told) == reason


def due(*paths: str, packages: int = 0, sysfs: int = 0) -> dict[str, Any]:
    """What the look at a host said."""
    files = [{"path": path} for path in paths]
    return {"files": files, "packages": [{}] * packages, "waiting": [], "sysfs": [""] * sysfs}


def test_files_of_modules_that_are_due(evaluate: Callable[..., Any]) -> None:
    paths = ["/etc/modprobe.d/firstlight-nvidia.conf", "/etc/modules-load.d/firstlight-nvidia.conf"]
    found = due("/etc/systemd/system/firstlight-gpu-modes.service", *paths)
    assert evaluate("gpu_driver", "__gpu_driver_module_files_due", common_due=found) == paths
    assert evaluate("gpu_driver", "__gpu_driver_module_files_due", common_due=due(paths[1])) == paths[1:]


@pytest.mark.parametrize(
    ("found", "check_mode", "bindings", "unknown"),
    [
        (due(), False, "13.615.71", False),
        (due(packages=1), False, "13.615.71", False),
        (due(sysfs=1), False, "13.615.71", True),
        (due(), True, "13.615.71", False),
        (due(packages=1), True, "13.615.71", True),
        (due(), True, "", True),
    ],
)
def test_modes_are_unknown_before_a_driver_is_there_and_loaded(
    evaluate: Callable[..., Any], found: dict[str, Any], check_mode: bool, bindings: str, unknown: bool
) -> None:
    variables = {"common_due": found, "ansible_check_mode": check_mode, "__gpu_driver_nvml": {"stdout": bindings}}
    assert evaluate("gpu_driver", "__gpu_driver_modes_unknown", **variables) is unknown


@pytest.mark.parametrize(("way", "loaded"), [("dmabuf", False), ("peermem", True)])
def test_peermem_is_loaded_where_it_is_asked_for(evaluate: Callable[..., Any], way: str, loaded: bool) -> None:
    variables = {"gpu_driver_version": "570.172.08", "gpu_driver_peermem": way}
    file = evaluate("gpu_driver", "__gpu_driver_files", **variables)[2]
    assert (file.get("content"), file.get("state")) == (("nvidia-peermem\n", None) if loaded else (None, "absent"))


@pytest.mark.parametrize(
    ("manager", "words"),
    [
        ("570.172.08", "told: nothing"),
        ("570.158.01", "told: fabric_manager is 570.158.01, but gpu_driver is 570.172.08. Remedy: give both the same"),
    ],
)
def test_a_driver_and_a_fabric_manager_of_two_versions_are_told(manager: str, words: str) -> None:
    # By Ansible itself: the filter is the collection's own, and the collection was imported here as plain Python.
    versions = {"gpu_driver_version": "570.172.08", "gpu_driver_fabric_manager_version": manager}
    versions |= {"gpu_driver_dcgm_version": "4.2.3", "gpu_driver_cuda_version": "12.8"}
    command = [
        str(Path(sys.executable).parent / "ansible"),
        "-i",
        "localhost,",
        "-c",
        "local",
        "localhost",
        "-m",
        "debug",
    ]
    command += ["-e", f"@{ROLES / 'gpu_driver/vars/main.yml'}", "-e", json.dumps(versions)]
    command += ["-a", "msg='told: {{ __gpu_driver_conflicts | join | default(\"nothing\", true) }}'"]
    done = subprocess.run(command, cwd=ROLES.parent, check=False, capture_output=True, text=True, timeout=60)
    assert words in done.stdout, done


def test_kernel_settings_are_what_the_kernel_shows(evaluate: Callable[..., Any]) -> None:
    settings = {"net.ipv4.ip_forward": True, "kernel.sysrq": False, "vm.swappiness": 1, "net.ipv4.tcp_rmem": "4096 8 9"}
    shown = {"net.ipv4.ip_forward": "1", "kernel.sysrq": "0", "vm.swappiness": "1", "net.ipv4.tcp_rmem": "4096 8 9"}
    assert evaluate("base_os", "__base_os_sysctl", base_os_sysctl=settings) == shown
    assert evaluate("base_os", "__base_os_sysctl", base_os_sysctl={}) == {}


SWAP = "UUID=1 / ext4 defaults 0 1\n{}UUID=2 none swap sw 0 0\n"


@pytest.mark.parametrize(("comment", "due"), [("", ["swap"]), ("# swap is off: ", [])])
def test_swap_in_fstab_is_found(evaluate: Callable[..., Any], comment: str, due: list[str]) -> None:
    text = evaluate("base_os", "__base_os_swap_texts")[0]
    assert text["path"] == "/etc/fstab"
    assert bool(why_text_due(text, SWAP.format(comment))) is bool(due)


def test_swap_in_use_is_found(evaluate: Callable[..., Any]) -> None:
    text = evaluate("base_os", "__base_os_swap_texts")[1]
    header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    assert why_text_due(text, header) == []
    assert why_text_due(text, header + "/dev/sda2 partition\t8\t0\t-2\n")


def test_secrets_are_marked(evaluate: Callable[..., Any]) -> None:
    pair = {
        "__cluster_ssh_private_key": {"content": "a2V5"},
        "__cluster_ssh_public_key": {"stdout": "ssh-ed25519 AAAA"},
        "cluster_ssh_host_authorities": [],
    }
    contents = load(ROLES / "cluster_ssh" / "vars" / "main.yml")["__cluster_ssh_contents"]
    secret = [item for item in contents if "private_key" in item.get("content", "")]
    assert [item.get("secret") for item in secret] == [True]
    assert evaluate("cluster_ssh", "__cluster_ssh_contents[1].content", **pair) == "key"
    variables = load(ROLES / "registry" / "vars" / "main.yml")
    files = variables["__registry_own_files"] + variables["__registry_users_files"]
    assert [item["path"] for item in files if item.get("secret")] == [
        "/etc/docker/registry/tls.key",
        "/etc/docker/registry/htpasswd",
    ]


def test_nccl_takes_adapters_by_their_exact_names(render: Callable[..., str]) -> None:
    text = render("nccl", "nccl.conf.j2", nccl_ib_hcas=["mlx5_0", "mlx5_1"], nccl_environment={"NCCL_DEBUG": "WARN"})
    assert text.splitlines()[1:] == ["NCCL_DEBUG=WARN", "NCCL_IB_HCA==mlx5_0,mlx5_1"]


def test_nccl_is_told_the_nearest(evaluate: Callable[..., Any]) -> None:
    told = {
        "nccl_class_environment": {"NCCL_NVLS_ENABLE": 1, "NCCL_DEBUG": "INFO", "NCCL_IB_TC": 1},
        "nccl_environment": {"NCCL_DEBUG": "WARN", "NCCL_IB_TC": 2},
        "nccl_environment_extra": {"NCCL_IB_TC": 3, "X": 1},
        "nccl_topology_file": "/site/topology.xml",
    }
    assert evaluate("nccl", "__nccl_settings", **told) == {
        "NCCL_NVLS_ENABLE": 1,
        "NCCL_DEBUG": "WARN",
        "NCCL_IB_TC": 3,
        "NCCL_TOPO_FILE": "/etc/nccl/topology.xml",
        "X": 1,
    }
    assert "X" not in evaluate("nccl", "__nccl_checked", **told)


def test_a_topology_file_goes_where_nccl_looks_for_it(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "topology.xml"
    file.write_text("<system/>\n")
    files = evaluate("nccl", "__nccl_files", nccl_topology_file=str(file), ansible_managed="managed")
    assert [(item["path"], item.get("content")) for item in files[:2]] == [
        ("/etc/nccl", None),
        ("/etc/nccl/topology.xml", "<system/>\n"),
    ]
    assert [item["path"] for item in evaluate("nccl", "__nccl_files")] == ["/etc/nccl.conf"]
    assert evaluate("nccl", "__nccl_topology", nccl_topology_file=str(tmp_path / "none.xml")) == ""


def mirror(render: Callable[..., str], **variables: Any) -> str:
    upstreams = [
        {"name": "debian", "url": "https://deb.debian.org/debian/"},
        {"name": "flat.repo", "url": "http://x:81"},
    ]
    text = render("file_mirror", "nginx.conf.j2", file_mirror_upstreams=upstreams, **variables)
    assert text.count("{") == text.count("}")
    return text


def test_the_mirror_maps_paths_to_upstreams(render: Callable[..., str]) -> None:
    text = mirror(render)
    assert text.count("rewrite ^/debian/(.*)$ /debian/$1 break;") == 2
    assert text.count("proxy_pass https://deb.debian.org;") == 2
    assert text.count(r"rewrite ^/flat\.repo/(.*)$ /$1 break;") == 2
    assert text.count("proxy_pass http://x:81;") == 2
    assert "/pypi/" not in text and "resolver" not in text


def test_the_mirror_looks_names_up_anew_where_it_has_resolvers(render: Callable[..., str]) -> None:
    text = mirror(render, file_mirror_resolvers=["10.0.0.53"])
    assert "resolver 10.0.0.53;" in text
    assert "set $mirror_upstream https://deb.debian.org;" in text
    assert re.findall(r"proxy_pass (\S+);", text) == ["$mirror_upstream"] * 4


def test_the_mirror_brings_an_indexs_files_home(render: Callable[..., str]) -> None:
    text = mirror(
        render, file_mirror_pypi_url="https://pypi.org/", file_mirror_pypi_files_url="https://files.pythonhosted.org/"
    )
    assert "sub_filter https://files.pythonhosted.org/ /pypi/files/;" in text
    assert "rewrite ^/pypi/files/(.*)$ /$1 break;" in text


def test_a_file_of_another_checksum_is_named(evaluate: Callable[..., Any]) -> None:
    results = [
        {"item": {"src": "/a", "sha256": "AB"}, "stat": {"exists": True, "checksum": "ab"}},
        {"item": {"src": "/b", "sha256": "ab"}, "stat": {"exists": True, "checksum": "cd"}},
        {"item": {"src": "/c", "sha256": "ab"}, "stat": {"exists": False}},
    ]
    sources = {"__file_mirror_sources": {"results": results}}
    assert evaluate("file_mirror", "__file_mirror_wrong", **sources) == ["/b: expected sha256 ab, got cd"]
    assert evaluate("file_mirror", "__file_mirror_missing", **sources) == ["/c"]


def test_host_authorities_vouch_for_the_patterns_alone(render: Callable[..., str]) -> None:
    text = render(
        "cluster_ssh",
        "known_hosts.j2",
        cluster_ssh_host_authorities=["ssh-ed25519 AAAA ca\n"],
        cluster_ssh_host_patterns=["node*", "head*"],
    )
    assert text.splitlines()[1:] == ["@cert-authority node*,head* ssh-ed25519 AAAA ca"]


def test_the_folder_of_docker_is_the_class_s(evaluate: Callable[..., Any]) -> None:
    moved = {"container_runtime_data_root": "/scratch/docker"}
    assert evaluate("container_runtime", "__container_runtime_ours", **moved)["data-root"] == "/scratch/docker"
    assert "data-root" not in evaluate("container_runtime", "__container_runtime_ours")


VOLUMES = [
    {"name": "a", "layout": "raid1", "filesystem": "xfs"},
    {"name": "b", "layout": "lvm", "filesystem": "ext4"},
    {"name": "c", "layout": "zfs"},
]


@pytest.mark.parametrize(
    ("distribution", "volumes", "names"),
    [
        ("Debian", VOLUMES[:1], ["nvme-cli", "mdadm", "xfsprogs"]),
        ("Ubuntu", VOLUMES[1:2], ["nvme-cli", "lvm2", "e2fsprogs"]),
        ("Ubuntu", VOLUMES[2:], ["nvme-cli", "zfsutils-linux"]),
        ("Debian", VOLUMES[2:], ["nvme-cli", "zfs-dkms", "zfsutils-linux"]),
        ("Debian", [{"name": "d", "layout": "single", "filesystem": "ext4"}], ["nvme-cli", "e2fsprogs"]),
    ],
)
def test_packages_of_the_data_disks(
    evaluate: Callable[..., Any], distribution: str, volumes: list[dict[str, Any]], names: list[str]
) -> None:
    facts = {"ansible_facts": {"distribution": distribution}, "storage_volumes": volumes}
    assert [item["name"] for item in evaluate("storage", "__storage_packages", **facts)] == names


def test_units_do_not_start_without_their_mounts(render: Callable[..., str]) -> None:
    assert render("storage", "mounts.conf.j2", mounts=["/scratch", "/keep"]).splitlines()[1:] == [
        "[Unit]",
        "RequiresMountsFor=/scratch /keep",
        "After=zfs-mount.service",
        "AssertPathIsMountPoint=/scratch",
        "AssertPathIsMountPoint=/keep",
    ]


STEPS = load(ROLES / "storage" / "tasks" / "devices.yml")


@pytest.mark.parametrize(
    ("level", "extra"),
    [("raid0", []), ("raid1", ["--bitmap=internal"]), ("raid5", ["--bitmap=internal", "--force"])],
)
def test_an_array_is_made_without_questions(evaluate: Callable[..., Any], level: str, extra: list[str]) -> None:
    task = next(task for task in STEPS if task["name"] == "devices | Make arrays")
    expression = task["ansible.builtin.command"]["argv"].strip()[2:-2]
    disks = ["/dev/disk/by-id/nvme-A", "/dev/disk/by-id/nvme-B"]
    arguments = {"path": "/dev/md/scratch", "name": "scratch", "level": level, "disks": disks}
    assert evaluate("storage", expression, item={"arguments": arguments}, storage_homehost="node01") == [
        *["mdadm", "--create", "/dev/md/scratch", "--run", "--homehost=node01", "--name=scratch", "--metadata=1.2"],
        *[f"--level={level}", "--raid-devices=2", *extra, *disks],
    ]


def test_a_new_array_shows_nothing_of_an_earlier_one() -> None:
    """Its file system would be taken for the volume's own, though one of the disks is another."""
    names = [task["name"] for task in STEPS]
    made = names.index("devices | Make arrays")
    # Between erasing and making: a run that is killed leaves bare disks, or an array that shows nothing.
    assert names.index("devices | Erase disks that were named for it") < made - 1
    cleared = STEPS[made - 1]
    command = [re.sub(r"\{\{ item\.1\.(\w+) }}", r"<\1>", word) for word in cleared["ansible.builtin.command"]["argv"]]
    extent = ["of=<path>", "bs=<block>", "seek=<seek>", "count=<count>"]
    assert command == ["dd", "if=/dev/zero", *extent, "conv=notrunc,fsync", "status=none"]
    # Of bare disks alone: a started array holds what is wanted, and from then on what shows on one is somebody's.
    assert "'equalto', 'array')" in cleared["loop"] and "when" not in cleared
    later = [task["ansible.builtin.command"]["argv"][0] for task in STEPS[made:] if "ansible.builtin.command" in task]
    assert not {"dd", "wipefs"} & {*later}


@pytest.mark.parametrize(
    ("fstab", "note"), [(["UUID=1 /a xfs", "UUID=2 /b ext4"], "UUID=1 /a xfs\nUUID=2 /b ext4\n"), ([], None)]
)
def test_the_role_notes_which_lines_of_fstab_are_its_own(
    evaluate: Callable[..., Any], fstab: list[str], note: str | None
) -> None:
    look = {"units": {}, "former_units": ["docker.service"], "fstab": fstab}
    files = {item["path"]: item for item in evaluate("storage", "__storage_files", __storage_look=look)}
    assert files["/var/lib/firstlight/storage/fstab"].get("content") == note
    assert ("state" in files["/var/lib/firstlight/storage/fstab"]) is (note is None)
    assert files["/etc/systemd/system/docker.service.d/50-firstlight-storage.conf"]["state"] == "absent"


@pytest.mark.parametrize(
    ("volumes", "look", "acts"),
    [
        ([], {}, False),
        ([], {"steps": [1]}, True),
        ([], {"former_units": ["docker.service"]}, True),
        ([], {"noted": True}, True),
        ([{}], {}, True),
    ],
)
def test_without_volumes_what_is_left_of_former_ones_is_taken_back(
    evaluate: Callable[..., Any], volumes: list[Any], look: dict[str, Any], acts: bool
) -> None:
    block = load(ROLES / "storage" / "tasks" / "main.yml")[1]["block"]
    known = {"steps": [], "former_units": [], "noted": False} | look
    assert evaluate("storage", block[1]["when"], storage_volumes=volumes, __storage_look=known) is acts


def test_a_former_mount_is_known_until_it_is_gone() -> None:
    """The line of fstab tells that there is one: whenever a run is killed, the next goes on."""
    states = [task.get("ansible.posix.mount", {}).get("state") for task in load(ROLES / "storage/tasks/former.yml")]
    assert [state for state in states if state] == ["unmounted", "absent_from_fstab"]


def test_systemd_knows_of_fstab_before_anything_is_mounted() -> None:
    """Else it has the unit of a file system that is gone, and unmounts at once what is mounted in its place."""
    tasks = load(ROLES / "storage" / "tasks" / "mounts.yml")
    written, told, mounted = (
        next(at for at, task in enumerate(tasks) if words(task))
        for words in (
            lambda task: task.get("ansible.posix.mount", {}).get("state") == "present",
            lambda task: task.get("ansible.builtin.command") == {"argv": ["systemctl", "daemon-reload"]},
            lambda task: task.get("ansible.posix.mount", {}).get("state") == "mounted",
        )
    )
    assert written < told < mounted
    described = [{**tasks[at]["ansible.posix.mount"], "state": ""} for at in (written, mounted)]
    assert described[0] == described[1] and tasks[written]["loop"] == tasks[mounted]["loop"]
    # Also where an earlier run was killed in between: what is due is the mount, and each time all three happen.
    assert "'mount'" in tasks[told]["when"]


def test_pools_are_made_as_their_module_takes_it(evaluate: Callable[..., Any]) -> None:
    """No machine of the lab has ZFS."""
    # Once Ansible finds collections by itself: before, the filters of this one would be lost to it.
    from ansible_collections.community.general.plugins.modules import zpool

    task = next(task for task in load(ROLES / "storage/tasks/pools.yml") if task["name"] == "pools | Make pools")
    given = task["community.general.zpool"]
    options = yaml.safe_load(zpool.DOCUMENTATION)["options"]
    assert set(given) <= set(options)
    (vdev,) = given["vdevs"]
    assert set(vdev) <= set(options["vdevs"]["suboptions"])
    assert set(storage_plan._VOLUME["zfs"]["options"]["vdev"]["choices"]) <= set(
        options["vdevs"]["suboptions"]["type"]["choices"]
    )
    properties = {"mountpoint": "/keep", "compression": "lz4"}
    item = {"arguments": {"name": "keep", "vdev": "mirror", "disks": ["/dev/a", "/dev/b"], "properties": properties}}
    for expression, value in (
        (given["name"], "keep"),
        (given["filesystem_properties"], properties),
        (vdev["type"], "mirror"),
        (vdev["disks"], ["/dev/a", "/dev/b"]),
    ):
        assert evaluate("storage", expression.strip("{} "), item=item) == value
