# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role maas_config through `ansible-playbook`, against the MAAS in memory on loopback."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Request
from fake_maas import KEY, FakeMaas

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: firstlight.cluster.maas_config
      vars:
        maas_config_url: "{{ served }}"
        maas_config_api_key: "{{ lookup('ansible.builtin.env', 'TEST_KEY') }}"
        maas_config_settings: {ntp_servers: [10.0.0.1, 10.0.0.2]}
        maas_config_pools: [{name: gpu, description: nodes}]
        maas_config_zones: [{name: row-a}]
        maas_config_tags: [{name: slow, kernel_opts: nohz=off}]
        maas_config_networks:
          - name: provisioning
            vlans:
              - vid: 0
                dhcp: true
                primary_rack: maas01
                subnets:
                  - cidr: 10.20.0.0/16
                    ranges: [{type: dynamic, start_ip: 10.20.250.1, end_ip: 10.20.255.254}]
        maas_config_scripts: [{name: gpus, content: "#!/bin/sh\\nnvidia-smi\\n", timeout: 60}]
        maas_config_ssh_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIaaaaaaaaaaaaaaaaaaaaaaa ops]
        maas_config_images: [{name: gpu-node, path: "{{ image }}"}]
"""


@pytest.fixture
def served() -> Iterator[tuple[FakeMaas, str]]:
    """A fake MAAS and its URL."""
    maas = FakeMaas()

    class Handler(http.server.BaseHTTPRequestHandler):
        def carry(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = maas(Request(self.command, f"http://maas{self.path}", self.headers, body, 5.0))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = carry

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield maas, f"http://127.0.0.1:{server.server_port}/MAAS"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_region_is_set_up_from_data_once(served: tuple[FakeMaas, str], tmp_path: Path) -> None:
    playbook = Path(sys.executable).with_name("ansible-playbook")
    maas, url = served
    (tmp_path / "image.tgz").write_bytes(b"image")
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")

    def play(*arguments: str) -> str:
        extra = ["-e", f"served={url}", "-e", f"image={tmp_path}/image.tgz"]
        done = subprocess.run(
            [str(playbook), "-i", "localhost,", str(tmp_path / "play.yml"), *extra, *arguments],
            env=os.environ
            | {
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
                "ANSIBLE_HOME": str(tmp_path / "home"),
                "TEST_KEY": KEY,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "verysecretpart" not in done.stdout + done.stderr
        return done.stdout

    assert "changed=8" in play("--diff", "-vvvv")
    assert maas.site.settings["ntp_servers"] == "10.0.0.1 10.0.0.2"
    assert maas.site.fabrics[0]["vlans"][0]["dhcp_on"] is True
    assert [image["name"] for image in maas.site.images.values()] == ["gpu-node"]
    maas.requests.clear()
    assert "changed=0" in play("--check")
    assert maas.writes == []
