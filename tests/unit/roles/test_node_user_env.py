# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sessions begin with, and which limits are too low."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from role_files import ROLES

Render = Callable[..., str]
Evaluate = Callable[..., Any]


def shell(profile: str, prints: str, **environment: str) -> str:
    """What a shell prints that minds errors, after it has read the profile."""
    command = ["sh", "-euc", f"{profile}\nprintf %s {prints}"]
    given = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("value", ['it\'s "so" $HOME `id` \\', 12, 0.5, "", "a b"])
def test_values_reach_programs_to_the_letter(render: Render, value: Any) -> None:
    profile = render("node_user_env", "profile.sh.j2", node_user_env_environment={"NOTE": value})
    assert shell(profile, '"$NOTE"') == str(value)
    assert shell(profile, '"$NOTE"', NOTE="mine") == "mine"
    assert shell(profile, '"$NOTE"', NOTE="") == ""


def test_what_a_site_adds_wins(render: Render) -> None:
    given = {"node_user_env_environment": {"A": 1, "B": 1}, "node_user_env_environment_extra": {"B": 2}}
    assert shell(render("node_user_env", "profile.sh.j2", **given), '"$A $B"') == "1 2"


def test_folders_come_first_in_their_order_where_they_are_there(render: Render, tmp_path: Path) -> None:
    (tmp_path / "cuda" / "bin").mkdir(parents=True)
    (tmp_path / "tools").mkdir()
    paths = [str(tmp_path / "tools"), str(tmp_path / "none")]
    given = {"node_user_env_cuda_home": str(tmp_path / "cuda"), "node_user_env_paths": paths}
    profile = render("node_user_env", "profile.sh.j2", **given)
    expected = f"{tmp_path}/cuda/bin:{tmp_path}/tools:/usr/bin:/bin"
    assert shell(profile, '"$PATH"') == expected
    assert shell(f"{profile}\n{profile}", '"$PATH"') == expected
    assert shell(profile, '"$CUDA_HOME"') == f"{tmp_path}/cuda"
    assert shell(profile, '"$CUDA_HOME"', CUDA_HOME="/mine") == "/mine"
    gone = render("node_user_env", "profile.sh.j2", node_user_env_cuda_home=str(tmp_path / "gone"))
    assert shell(gone, '"${CUDA_HOME-none} $PATH"') == "none /usr/bin:/bin"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"A": 1, "b_2": "x", "C": 0.5, "D": ""}, []),
        ({"NCCL_DEBUG": "INFO"}, ["NCCL_DEBUG is a setting of NCCL: write it into nccl_environment."]),
        ({"PATH": "/opt"}, ["PATH is made of node_user_env_paths: write the folders there."]),
        ({"A-B": 1}, ["A-B is no name that a shell takes: use letters, digits and _ alone."]),
        ({"A": True}, ["A is no text and no number: write it in quotes, as programs are to read it."]),
        ({"A": [1]}, ["A is no text and no number: write it in quotes, as programs are to read it."]),
        ({"A": {"b": 1}}, ["A is no text and no number: write it in quotes, as programs are to read it."]),
        ({"A": None}, ["A is no text and no number: write it in quotes, as programs are to read it."]),
    ],
)
def test_what_no_session_could_begin_with(evaluate: Evaluate, given: dict[str, Any], words: list[str]) -> None:
    assert evaluate("node_user_env", "__node_user_env_faults", node_user_env_environment={}) == []
    assert evaluate("node_user_env", "__node_user_env_faults", node_user_env_environment_extra=given) == words


@pytest.mark.parametrize(("path", "sound"), [("/opt/bin", True), ("bin", False), ("/a:/b", False), ("/a b", False)])
def test_folders_are_absolute(evaluate: Evaluate, path: str, sound: bool) -> None:
    faults = evaluate("node_user_env", "__node_user_env_faults", node_user_env_paths=[path])
    assert faults == ([] if sound else [f"{path} is no absolute path without colon and blank."])


@pytest.mark.parametrize(
    ("limits", "low"),
    [
        ({"memlock": "unlimited", "nofile": 65536}, []),
        ({"nofile": "1048576"}, []),
        ({"nofile": 1048577}, ["nofile 1048576, wanted is 1048577"]),
        ({"nproc": "unlimited"}, ["nproc 500, wanted is unlimited"]),
        ({"memlok": 1}, ["memlok none of that name, wanted is 1"]),
        ({}, []),
    ],
)
def test_limits_that_are_too_low(evaluate: Evaluate, limits: dict[str, Any], low: list[str]) -> None:
    session = {"stdout_lines": ["MEMLOCK unlimited", "NOFILE 1048576", "NPROC 500"]}
    given = {"__node_user_env_session": session, "node_user_env_limits": limits}
    assert evaluate("node_user_env", "__node_user_env_low", **given) == low


def test_sessions_keep_the_ranks_and_the_launcher_of_every_open_mpi_to_one_network() -> None:
    """The launcher of version 5, Debian 13's, reads nothing but its own PRTE_MCA_*."""
    common = yaml.safe_load((ROLES.parent / "inventories/common/00-common.yml").read_text(encoding="utf-8"))
    names = ("OMPI_MCA_btl_tcp_if_include", "OMPI_MCA_oob_tcp_if_include", "PRTE_MCA_prte_if_include")
    assert common["all"]["vars"]["node_user_env_environment"] == dict.fromkeys(names, "{{ mpi_network }}")
