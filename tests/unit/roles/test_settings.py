# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles write, and what they hold to be changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

DOCKER_KEYS = {"container_runtime_registry_mirrors": ["https://head02:5000"], "container_runtime_nvidia_toolkit": True}


def test_daemon_settings_are_merged(evaluate: Callable[..., Any]) -> None:
    present = '{"debug": true, "log-driver": "none", "runtimes": {"kata": {"path": "kata"}}, "log-opts": {"tag": "x"}}'
    merged = evaluate(
        "container_runtime", "__container_runtime_merged", __container_runtime_read={"stdout": present}, **DOCKER_KEYS
    )
    assert merged == {
        "debug": True,
        "log-driver": "json-file",
        "log-opts": {"tag": "x", "max-size": "100m", "max-file": "5"},
        "runtimes": {"kata": {"path": "kata"}, "nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": []}},
        "registry-mirrors": ["https://head02:5000"],
    }


@pytest.mark.parametrize("stdout", ["", "{}"])
def test_daemon_settings_where_there_are_none(evaluate: Callable[..., Any], stdout: str) -> None:
    merged = evaluate("container_runtime", "__container_runtime_merged", __container_runtime_read={"stdout": stdout})
    assert merged == {"log-driver": "json-file", "log-opts": {"max-size": "100m", "max-file": "5"}}


def test_only_kernel_settings_that_differ_are_changed(evaluate: Callable[..., Any]) -> None:
    live = ["vm.swappiness = 60", "net.ipv4.tcp_rmem = 4096\t131072\t6291456", "kernel.core_pattern = |/bin/x %p =y"]
    wanted = {"vm.swappiness": 1, "net.ipv4.tcp_rmem": "4096 131072 6291456", "kernel.core_pattern": "|/bin/x %p =y"}
    variables = {"base_os_sysctl": wanted, "__base_os_sysctl_read": {"stdout_lines": live}}
    assert evaluate("base_os", "__base_os_sysctl_due", **variables) == ["vm.swappiness"]
    assert evaluate("base_os", "__base_os_sysctl_unknown", **variables) == []
    variables["base_os_sysctl"] = {"vm.swappyness": 1}
    assert evaluate("base_os", "__base_os_sysctl_unknown", **variables) == ["vm.swappyness"]


def test_nccl_takes_adapters_by_their_exact_names(render: Callable[..., str]) -> None:
    text = render("nccl", "nccl.conf.j2", nccl_ib_hcas=["mlx5_0", "mlx5_1"], nccl_environment={"NCCL_DEBUG": "WARN"})
    assert text.splitlines()[1:] == ["NCCL_DEBUG=WARN", "NCCL_IB_HCA==mlx5_0,mlx5_1"]


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
