# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role os_image through `ansible-playbook`, against the MAAS in memory, with something else in place of the build.

What the module root_tarball does is in tests/unit/image; with mmdebstrap it runs in tests/e2e.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_maas import KEY, FakeMaas
from test_maas_config_role import ROOT, served

__all__ = ["served"]
Play = Callable[..., subprocess.CompletedProcess[str]]
KERNEL = {"name": "linux-image-6.1.0-50-amd64", "version": "6.1.176-1"}
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: firstlight.cluster.os_image
      vars:
        os_image_name: "{{ name | default('gpu-node-1') }}"
        os_image_suite: bookworm
        os_image_repositories: [{name: debian, uris: [http://m/], suites: [bookworm], signed_by: /k.gpg}]
        os_image_kernel: "{{ kernel }}"
        os_image_kernel_version: 6.1.176-1
        os_image_packages: [{name: cloud-init}]
        os_image_directory: "{{ folder }}"
        os_image_maas_url: "{{ maas | default('') }}"
        os_image_maas_api_key: "{{ lookup('ansible.builtin.env', 'TEST_KEY') }}"
"""
# Builds at once, and writes down what it was told.
STAND_IN = """
import json, os
from ansible.module_utils.basic import AnsibleModule
options = "path suite architecture variant repositories packages hooks source_date_epoch timeout".split()
module = AnsibleModule(argument_spec={name: {"type": "raw"} for name in options}, supports_check_mode=True)
path = module.params["path"]
there = os.path.exists(path)
if not there and module.check_mode:
    module.exit_json(changed=True, why=["there is none yet"])
with open(path, "w") as file:
    file.write("image")
with open(path + ".told", "w") as file:
    json.dump(module.params, file)
module.exit_json(changed=not there, why=[], image={"path": path})
"""


@pytest.fixture
def play(tmp_path: Path) -> Play:
    playbook = Path(sys.executable).with_name("ansible-playbook")
    collection = tmp_path / "collections" / "ansible_collections" / "firstlight" / "cluster"
    for name in ("plugins", "roles", "meta"):
        shutil.copytree(ROOT / name, collection / name)
    shutil.copy(ROOT / "galaxy.yml", collection)
    (collection / "plugins/modules/root_tarball.py").write_text(STAND_IN)
    # Nothing is installed on the machine that runs the tests.
    for name in ("platform", "wanted"):
        (collection / f"roles/common/tasks/{name}.yml").write_text("[{ansible.builtin.meta: noop}]\n")
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        options = {"folder": str(tmp_path), "ansible_become": False, "kernel": KERNEL["name"]}
        extra = ["-e", json.dumps(options)]
        done = subprocess.run(
            [str(playbook), "-i", "localhost,", str(tmp_path / "play.yml"), *extra, *arguments],
            env=os.environ
            | {
                "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
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
        assert "verysecretpart" not in done.stdout + done.stderr
        return done

    return run


def test_an_image_is_built_and_uploaded_once(served: tuple[FakeMaas, str], play: Play, tmp_path: Path) -> None:
    maas, url = served
    where = ("-e", f"maas={url}")
    done = play(*where, "--check")
    assert "would build gpu-node-1 (there is none yet) and upload it" in done.stdout, done.stdout + done.stderr
    assert (done.returncode, maas.writes) == (0, [])
    assert "changed=2" in play(*where, "-vvvv").stdout
    assert [image["name"] for image in maas.site.images.values()] == ["gpu-node-1"]
    maas.requests.clear()
    assert "changed=0" in play(*where).stdout
    assert maas.writes == []
    told: dict[str, Any] = json.loads((tmp_path / "gpu-node-1.tgz.told").read_text())
    assert told["packages"] == [KERNEL, {"name": "cloud-init"}]


def test_without_a_maas_it_is_only_built_and_without_a_kernel_it_has_none(play: Play, tmp_path: Path) -> None:
    done = play("-e", "kernel=")
    assert "changed=1" in done.stdout, done.stdout
    told: dict[str, Any] = json.loads((tmp_path / "gpu-node-1.tgz.told").read_text())
    assert told["packages"] == [{"name": "cloud-init"}]


def test_a_name_that_is_a_path_is_refused(play: Play) -> None:
    done = play("-e", "name=custom/gpu-node-1")
    assert done.returncode == 2
    assert "os_image_name is 'custom/gpu-node-1': give small letters" in done.stdout
