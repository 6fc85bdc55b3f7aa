# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How machines are confined, and what the engine makes of podman's answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import engine as engine_module
from lab import mounts
from lab.engine import FORBIDDEN_CALLS, Engine, State
from lab.errors import LabError
from lab.machines import Site
from lab.site import Lab

Podman = Callable[[str], None]


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Podman:
    """A program of that name which writes down its arguments and does what the test says, in shell."""
    directory = tmp_path / "bin"
    directory.mkdir()

    def behave(script: str) -> None:
        path = directory / "podman"
        path.write_text(f'#!/bin/sh\nfor a in "$@"; do printf "%s\\n" "$a"; done >> {tmp_path}/arguments\n{script}\n')
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    behave("exit 0")
    return behave


@pytest.fixture
def engine(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(Lab, "runtime", property(lambda self: tmp_path / "run"))
    monkeypatch.setattr(mounts, "make_scratch", lambda directory, mebibytes: directory.mkdir(parents=True))
    one = Engine(lab)
    one.set_up()
    return one


def created(engine: Engine, site: Site, tmp_path: Path, name: str = "node01") -> list[str]:
    engine.create(site.machines[name], "image", tmp_path / "seed")
    arguments = (tmp_path / "arguments").read_text().splitlines()
    return arguments[arguments.index("create") :]


def test_no_machine_is_privileged_or_may_touch_its_host(
    engine: Engine, site: Site, tmp_path: Path, podman: Podman
) -> None:
    arguments = created(engine, site, tmp_path)
    assert "--privileged" not in arguments
    dropped = [arguments[at + 1] for at, one in enumerate(arguments) if one == "--cap-drop"]
    assert dropped == ["SYS_TIME", "SYS_MODULE"]
    options = [arguments[at + 1] for at, one in enumerate(arguments) if one == "--security-opt"]
    assert not any("unconfined" in option or option == "unmask=all" for option in options)
    rules = [one.partition("=")[2] for one in arguments if one.startswith("--device-cgroup-rule=")]
    assert all(rule.endswith(" m") or rule.startswith(("c 5:1 ", "c 10:")) for rule in rules), "no host device to open"
    profile = json.loads(Path(next(one for one in options if one.startswith("seccomp=")).partition("=")[2]).read_text())
    assert profile["syscalls"][0]["names"] == FORBIDDEN_CALLS
    assert {"swapon", "syslog", "clock_settime", "finit_module", "kexec_load"} <= set(FORBIDDEN_CALLS)


def test_a_node_has_scratch_and_a_head_has_none(engine: Engine, site: Site, tmp_path: Path, podman: Podman) -> None:
    assert any(one.endswith(":/data") for one in created(engine, site, tmp_path, "node01"))
    (tmp_path / "arguments").unlink()
    assert not any(one.endswith(":/data") for one in created(engine, site, tmp_path, "head01"))


def test_everything_of_podman_s_is_the_lab_s_own(engine: Engine, site: Site, tmp_path: Path, podman: Podman) -> None:
    podman(f'printf "%s\\n" "$FIRSTLIGHT_LAB" "$CONTAINERS_CONF" > {tmp_path}/environment')
    engine.start("node01")
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[arguments.index("--root") + 1].startswith(str(engine.lab.directory))
    assert arguments[arguments.index("--runroot") + 1].startswith(str(engine.lab.runtime))
    marker, configuration = (tmp_path / "environment").read_text().splitlines()
    assert marker == engine.lab.marker
    assert 'lock_type = "file"' in Path(configuration).read_text()


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ('echo \'{"Status": "running", "ExitCode": 0, "Pid": 7}\'', State(True, True, 0, 7)),
        ('echo \'{"Status": "exited", "ExitCode": 129, "Pid": 0}\'', State(True, False, 129, 0)),
        ('echo \'{"Status": "created", "ExitCode": 0, "Pid": 0}\'', State(True, False, 0, 0)),
        ("echo 'Error: no such container node01' >&2; exit 125", State(False)),
    ],
)
def test_state(engine: Engine, podman: Podman, script: str, state: State) -> None:
    podman(script)
    assert engine.state("node01") == state


def test_a_state_that_cannot_be_told_is_no_state(engine: Engine, podman: Podman) -> None:
    podman("echo 'database is locked' >&2; exit 125")
    with pytest.raises(LabError, match="database is locked"):
        engine.state("node01")


def test_the_end_of_a_machine_is_waited_for_and_its_status_told(engine: Engine, podman: Podman, tmp_path: Path) -> None:
    # Says twice that it runs (a process that has ended already), then how it ended.
    podman(
        f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/n\n"
        'if [ $n -lt 2 ]; then echo \'{"Status": "running", "ExitCode": 0, "Pid": 4194303}\'\n'
        'else echo \'{"Status": "exited", "ExitCode": 130, "Pid": 0}\'; fi'
    )
    assert engine.wait("node01") == 130


def test_a_machine_that_ends_without_podman_s_knowing_is_an_error(
    engine: Engine, podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_SETTLE_SECONDS", 0.1)
    podman('echo \'{"Status": "running", "ExitCode": 0, "Pid": 4194303}\'')
    with pytest.raises(LabError, match="node01 ended"):
        engine.wait("node01")


def test_a_failure_is_told_in_podman_s_words(engine: Engine, podman: Podman) -> None:
    podman("echo 'no space left on device' >&2; exit 125")
    with pytest.raises(LabError, match=r"podman start.*no space left"):
        engine.start("node01")
