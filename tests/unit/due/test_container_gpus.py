# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the GPUs are described anew to container engines, and when a container has to prove that it gets them."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.due.container_gpus import (
    Gpus,
    libraries,
    named,
    parse_gpus,
    parse_toolkit,
    why_changed,
    why_unnamed,
    why_unproved,
)
from ansible_collections.firstlight.cluster.plugins.modules import container_gpus

TWO = Gpus("570.172.08", {"0": "GPU-a", "1": "GPU-b"})
ROWS = "570.172.08, 0, GPU-a\n570.172.08, 1, GPU-b\n"
YAML = """\
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidiactl
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - hookName: createContainer
    args: [nvidia-ctk, hook]
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia1
  name: "1"
- name: GPU-a
- name: all
kind: nvidia.com/gpu
"""
LDD = """\
\tlinux-vdso.so.1 (0x00007ffc)
\tlibnvidia-ml.so.1 => /lib/x86_64-linux-gnu/libnvidia-ml.so.1 (0x00007f01)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f02)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f03)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f04)
"""


def test_what_programs_print_is_read() -> None:
    assert parse_gpus(ROWS) == TWO
    assert parse_toolkit("NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80a\n") == "1.17.8"
    assert parse_toolkit("odd\n") == "odd"
    for text in ("", "No devices were found\n", "570, 0\n"):
        with pytest.raises(ValueError, match="lists no GPUs"):
            parse_gpus(text)


def test_names_are_found_in_yaml_and_in_json() -> None:
    assert named(YAML) == {"0", "1", "GPU-a", "all"}
    assert named(json.dumps({"devices": [{"name": "0"}, {"name": "all"}]}, indent=2)) == {"0", "all"}


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (YAML, []),
        (None, ["is missing"]),
        (YAML.replace('"1"', "none"), ["lacks GPU 1"]),
        (YAML + '- name: "2"\n', ["names GPUs that are not there: 2"]),
        (YAML.replace("all", "none"), ["lacks the device all"]),
        ("", ["lacks GPU 0, 1", "lacks the device all"]),
    ],
)
def test_a_specification_names_the_gpus_that_there_are(text: str | None, reasons: list[str]) -> None:
    assert why_unnamed(text, TWO) == reasons


def test_why_something_is_made_again() -> None:
    before = {"driver": "570.158.01", "gpus": ["GPU-a"], "content": "0" * 64, "image": ""}
    now = {"driver": "570.172.08", "gpus": ["GPU-a"], "content": "1" * 64, "image": "x", "engine": "28.5"}
    assert why_changed(before, before) == []
    assert why_changed(now, before) == [
        "was made for driver 570.158.01, and this is 570.172.08",
        "was made for another state of content",
        "was made for image none, and this is x",
        "was made without regard to engine",
    ]


@pytest.mark.parametrize(
    ("seen", "count", "reasons"),
    [
        (["GPU-a", "GPU-b"], 2, []),
        (["GPU-b", "GPU-a"], 0, []),
        (["GPU-a"], 2, ["sees 1 of 2 GPUs", "misses GPU-b"]),
        (["GPU-a", "GPU-c"], 2, ["misses GPU-b"]),
        (["GPU-a", "GPU-b"], 8, ["sees 2 of 8 GPUs"]),
        ([], 0, ["sees 0 of 2 GPUs", "misses GPU-a, GPU-b"]),
    ],
)
def test_a_container_sees_the_gpus_of_the_host_and_as_many_as_it_should(
    seen: list[str], count: int, reasons: list[str]
) -> None:
    assert why_unproved(seen, TWO, count) == reasons


def test_an_image_holds_the_c_library_and_nothing_of_the_driver() -> None:
    assert libraries(LDD) == [
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libpthread.so.0",
        "/lib/x86_64-linux-gnu/libdl.so.2",
        "/lib/x86_64-linux-gnu/librt.so.1",
    ]


class Host:
    """A host of made-up programs, each of which writes down how it was called."""

    def __init__(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.root, self._capfd = tmp_path, capfd
        self.specification, self.daemon = tmp_path / "cdi" / "nvidia.yaml", tmp_path / "daemon.json"
        (tmp_path / "bin").mkdir()
        self.specification.parent.mkdir()
        self.daemon.write_text("{}")
        self.program("nvidia-ctk", "echo NVIDIA Container Toolkit CLI version 1.17.8")
        self.program("nvidia-smi", f"cat {self.file('gpus', ROWS)}")
        self.program("ldd", f"cat {self.file('ldd', LDD)}")
        self.program("systemctl", f"cp {self.file('written', YAML)} {self.specification}")
        seen = self.file("seen", "GPU-a\nGPU-b\n")
        kept = f"import) cp $2 {tmp_path}/image.tar;;"
        self.program("docker", f"case $1 in version) echo 28.5.2;; run) cat {seen};; {kept} esac")

    def file(self, name: str, text: str) -> Path:
        (self.root / name).write_text(text)
        return self.root / name

    def program(self, name: str, does: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $@" >> {self.root}/calls\n{does}\n')
        path.chmod(0o755)

    def calls(self, beginning: str) -> list[str]:
        """How programs were called since the last time that this was asked."""
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(beginning)]

    def run(self, check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = {
            "specification": str(self.specification),
            "unit": "firstlight-cdi.service",
            "count": 2,
            "run_options": ["--runtime", "nvidia"],
            "depends_on": [str(self.daemon)],
            "stamp": str(self.root / "lib" / "stamp.json"),
            "_ansible_check_mode": check,
            "_ansible_remote_tmp": str(self.root),
            **more,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            container_gpus.main()
        result: dict[str, Any] = json.loads(self._capfd.readouterr().out)
        return result


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Host:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return Host(tmp_path, capfd)


@pytest.fixture
def proved(host: Host) -> Host:
    assert host.run()["changed"]
    host.calls("")
    return host


def test_the_first_run_describes_and_proves(host: Host) -> None:
    assert host.run(check=True)["why"] == [
        "specification: is missing",
        "proof that a container gets the GPUs: there is none",
    ]
    assert host.calls("systemctl") == [] and not host.specification.exists()

    result = host.run()

    assert (result["changed"], result["gpus"]) == (True, ["GPU-a", "GPU-b"])
    assert host.specification.read_text() == YAML
    called = host.calls("")
    assert "systemctl restart firstlight-cdi.service" in called
    start = "docker run --name firstlight-gpu-smoke --rm --network none --runtime nvidia firstlight-gpu-smoke:local"
    assert f"{start} nvidia-smi --query-gpu=uuid --format=csv,noheader" in called
    # Nothing of it is left, and nothing was pulled for it.
    assert called[-1] == "docker rmi --force firstlight-gpu-smoke:local"
    with tarfile.open(host.root / "image.tar") as tar:
        names = tar.getnames()
    assert {"etc", "tmp"} < set(names) and not [name for name in names if "nvidia" in name]


def test_nothing_is_started_where_nothing_has_changed(proved: Host) -> None:
    for check in (False, True):
        assert proved.run(check=check)["changed"] is False
        assert [call.split()[1] for call in proved.calls("docker")] == ["version"]


def change_driver(host: Host) -> None:
    host.file("gpus", ROWS.replace("570.172.08", "580.1"))


def change_gpu(host: Host) -> None:
    host.file("gpus", ROWS.replace("GPU-b", "GPU-c"))
    host.file("seen", "GPU-a\nGPU-c\n")


def change_toolkit(host: Host) -> None:
    host.program("nvidia-ctk", "echo version 1.17.9")


def edit_specification(host: Host) -> None:
    host.specification.write_text(YAML + "# by hand\n")


def lose_specification(host: Host) -> None:
    host.specification.unlink()


def lose_stamp(host: Host) -> None:
    (host.root / "lib" / "stamp.json").write_text("{half")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_driver, "was made for driver 570.172.08, and this is 580.1"),
        (change_gpu, "was made for"),
        (change_toolkit, "was made for toolkit 1.17.8, and this is 1.17.9"),
        (edit_specification, "was made for another state of content"),
        (lose_specification, "is missing"),
        (lose_stamp, "was made for nobody knows what"),
    ],
)
def test_the_gpus_are_described_anew(proved: Host, change: Callable[[Host], None], words: str) -> None:
    change(proved)
    result = proved.run()
    assert result["why"][0].startswith("specification: ") and words in result["why"][0]
    assert proved.calls("systemctl") == ["systemctl restart firstlight-cdi.service"]
    assert proved.run()["changed"] is False


def change_engine(host: Host) -> None:
    host.program("docker", f"case $1 in version) echo 29.0.0;; run) cat {host.root}/seen;; esac")


def change_configuration(host: Host) -> None:
    host.daemon.write_text('{"debug": true}')


@pytest.mark.parametrize("change", [change_driver, change_gpu, change_toolkit, change_engine, change_configuration])
def test_a_container_proves_it_again(proved: Host, change: Callable[[Host], None]) -> None:
    change(proved)
    assert proved.run()["why"][-1].startswith("proof that a container gets the GPUs: was made for ")
    assert proved.calls("docker run")
    assert proved.run()["changed"] is False


def test_another_image_is_run_as_it_is(proved: Host) -> None:
    result = proved.run(image="head01:5000/cuda:12")
    assert result["why"] == [
        "proof that a container gets the GPUs: was made for image none, and this is head01:5000/cuda:12"
    ]
    called = proved.calls("docker")
    assert any(call.startswith("docker run") and " head01:5000/cuda:12 nvidia-smi" in call for call in called)
    assert not [call for call in called if call.split()[1] in ("import", "rmi")]


def test_it_is_proved_on_demand_only(host: Host) -> None:
    assert host.run(smoke=False)["why"] == ["specification: is missing"]
    assert host.calls("docker") == []


def test_too_few_gpus_in_a_container_fail_every_run(proved: Host) -> None:
    proved.file("seen", "GPU-a\n")
    change_configuration(proved)
    for _ in range(2):
        result = proved.run()
        assert result["failed"]
        assert "a container with all GPUs sees 1 of 2 GPUs and misses GPU-b" in result["msg"]
        assert "nvidia-smi -L" in result["msg"]


def test_a_container_that_does_not_start_is_told_with_what_it_said(host: Host) -> None:
    host.program("docker", "case $1 in version) echo 28.5.2;; run) echo unknown runtime >&2; exit 125;; esac")
    assert (
        "sees 0 of 2 GPUs and misses GPU-a, GPU-b. It ended with 125: unknown runtime Try `docker run"
        in host.run()["msg"]
    )


def test_a_container_that_hangs_is_ended(host: Host) -> None:
    host.program("docker", "case $1 in version) echo 28.5.2;; run) exec sleep 60;; esac")
    result = host.run(timeout=1)
    assert "a container with all GPUs was waited for 1 seconds: docker run" in result["msg"]
    assert "docker rm --force firstlight-gpu-smoke" in host.calls("docker")[-2:]


def test_a_unit_that_describes_too_little_is_told(host: Host) -> None:
    host.file("written", YAML.replace('"1"', "none"))
    result = host.run()
    assert f"firstlight-cdi.service ran, but {host.specification} lacks GPU 1. See `journalctl" in result["msg"]


def test_a_driver_that_does_not_answer_is_waited_for(proved: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where Ansible keeps a warning depends on what else of it this process has loaded.
    warnings: list[str] = []
    monkeypatch.setattr(container_gpus.AnsibleModule, "warn", lambda _, text: warnings.append(text))
    proved.program("nvidia-smi", "echo Failed to initialize NVML: Driver/library version mismatch; exit 18")
    result = proved.run()
    assert (result["changed"], result["gpus"]) == (False, [])
    assert ["Driver/library version mismatch" in text for text in warnings] == [True]
    # After the restart nothing is left to wait for.
    message = proved.run(driver_required=True)["msg"]
    assert (
        "Driver/library version mismatch), although the machine has been restarted: no container gets a GPU." in message
    )


def test_what_is_not_installed_is_said_in_check_mode_and_refused_otherwise(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.root / "bin" / "nvidia-smi").unlink()
    monkeypatch.setenv("PATH", str(host.root / "bin"))
    assert host.run(check=True)["why"] == ["nvidia-smi is not installed yet"]
    assert "nvidia-smi is not installed. Run the roles that bring it" in host.run()["msg"]
