# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two roles do after the restart that loaded a driver: their tasks, with stand-ins for the programs of a host."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "a test"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """The socket of an engine that answers."""
    server = UnixStreamServer(str(tmp_path / "docker.sock"), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield str(tmp_path / "docker.sock")
    server.shutdown()
    server.server_close()


def test_modes_are_read_although_another_driver_was_loaded_before(run: Run) -> None:
    """The role's own look, of before the restart, is in `common_due`; there is no NVML here, which is a warning."""
    due = {"sysfs": [{"path": "/sys/module/nvidia/version"}], "packages": []}
    done = run("gpu_driver", "restarted", common_due=due, gpu_driver_venv="/nowhere")
    assert done.returncode == 0, done.stdout
    assert "The modes of the GPUs cannot be read" in done.stdout + done.stderr


def test_a_driver_that_does_not_answer_has_nothing_to_wait_for(
    run: Run, tool: Callable[[str, str], None], daemon: str
) -> None:
    tool("nvidia-ctk", "echo NVIDIA Container Toolkit CLI version 1.17.8")
    tool("nvidia-smi", "echo Failed to initialize NVML; exit 18")
    given = {"common_answer_socket": daemon, "container_runtime_nvidia_toolkit": True}
    done = run("container_runtime", "restarted", **given)
    assert done.returncode == 2, done.stdout
    assert "although the machine has been restarted" in done.stdout
    # Alone, the role waits for the restart.
    assert run("container_runtime", "gpus", **given).returncode == 0
