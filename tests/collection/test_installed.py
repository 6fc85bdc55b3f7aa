# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed collection, used by its full names from a directory that has nothing of the clone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.collection.artefact import ROOT
from tests.collection.conftest import Site
from tests.e2e.session import LabSession

COLLECTION = "firstlight.cluster"
NAME = "fqcn"
NODES = ["node01", "node02", "node03", "node04"]


def test_a_site_without_secrets_is_told_file_key_and_remedy(site: Site) -> None:
    done = site.run("ansible-playbook", f"{COLLECTION}.site", "--check")
    told = done.stdout + done.stderr
    assert done.returncode == 2, told
    key = site.directory / "example" / "secrets" / "maas.key"
    assert f"inventory: maas_url: api_key_file: {key} cannot be read (No such file or directory). Remedy: " in told
    assert "inventory: registry_tls_key: " in told
    for name in ("cluster_ssh_host_authorities[0]", "node_authorized_keys[0]"):
        assert f"inventory: {name}: is no public key that ssh-keygen can read (node001). Remedy: " in told
    assert "ERROR! " not in told
    assert "firstlight.cluster.progress" not in told, "the callback of the installed collection writes the report"
    assert f"Report: {site.directory}/artifacts/" in told
    report = json.loads((site.directory / "artifacts" / "latest" / "report.json").read_text(encoding="utf-8"))
    assert [phase["name"] for phase in report["phases"]] == ["preflight"]
    assert report["summary"]["admitted"] == 0


def test_without_any_ansible_cfg_preflight_says_so(site: Site, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "gpu_nodes: {hosts: {node001: {node_class: none}}, vars: {maas_url: http://localhost, maas_api_key_file: none,"
        " fabric_cable_plan: none, site_secret_files: []}}\n",
        encoding="utf-8",
    )
    done = site.run("ansible-playbook", f"{COLLECTION}.preflight", "-i", inventory, cwd=tmp_path)
    told = done.stdout + done.stderr
    assert done.returncode == 2, told
    assert "ansible.cfg: defaults.callbacks_enabled: the run keeps no findings and no report. Remedy: " in told
    assert "inventory: mpi_network: " in told


def test_shipped_node_classes_are_found(site: Site) -> None:
    shipped = "h100-sxm5-8x400g"
    assert not (site.directory / "example" / "node_classes" / f"{shipped}.yml").exists()
    done = site.run("ansible", "node001", "-m", f"{COLLECTION}.node_classes", "-e", f"node_class={shipped}", "-o")
    assert done.returncode == 0, done.stdout + done.stderr
    classes = json.loads(done.stdout.partition("=>")[2])["classes"]
    assert classes[shipped]["hardware"]["gpus"]["count"] == 8


@pytest.mark.parametrize("kind", ["module", "callback", "filter", "inventory", "role"])
def test_every_plugin_and_role_is_documented(site: Site, kind: str) -> None:
    if kind == "role":
        names = {path.name for path in (ROOT / "roles").iterdir()}
    else:
        folder = "modules" if kind == "module" else kind
        names = {path.stem for path in (ROOT / "plugins" / folder).glob("[a-z]*.py")}
    done = site.run("ansible-doc", "-t", kind, "--json", *(f"{COLLECTION}.{name}" for name in sorted(names)))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {*told} == {f"{COLLECTION}.{name}" for name in names}
    for name, documented in told.items():
        if kind == "role":
            assert documented["path"] == str(site.collection), name
            assert all(point["short_description"] for point in documented["entry_points"].values()), name
        else:
            assert documented["doc"]["filename"].startswith(str(site.collection)), name
            assert documented["doc"]["description"], name


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="runs containers, which needs root")
def test_the_whole_bring_up_by_its_full_name(site: Site, tmp_path: Path) -> None:
    """The inventory of the lab, copied; where the lab is, it finds through .lab beside its folder."""
    for name in ("common", "lab"):
        shutil.copytree(ROOT / "inventories" / name, tmp_path / "inventories" / name, symlinks=True)
    shutil.copy(site.collection / "inventories" / "ansible.cfg", tmp_path)
    (tmp_path / ".lab").symlink_to(ROOT / ".lab")
    lab = LabSession(NAME, tmp_path / "artifacts")
    lab.lab("down")
    lab.lab("up")
    try:
        # Machines boot slowly where other labs share the host; nothing else depends on it.
        command = ["ansible-playbook", f"{COLLECTION}.site", "-i", "inventories/lab", "-e", "maas_deploy_timeout=1500"]
        done = site.run(*command, cwd=tmp_path, LAB_NAME=NAME)
    finally:
        lab.lab("down")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    report = json.loads((tmp_path / "artifacts" / "latest" / "report.json").read_text(encoding="utf-8"))
    assert report["summary"]["admitted"] == report["summary"]["total"] == len(NODES)
    assert {name: node["state"] for name, node in report["nodes"].items()} == dict.fromkeys(NODES, "admitted")
