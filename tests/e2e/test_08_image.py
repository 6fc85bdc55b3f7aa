# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of the site's own: built reproducibly, uploaded through a bad connection, and what a node then runs."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.session import ROOT, LabSession, PlaybookRun

pytestmark = pytest.mark.long
IMAGES, PROVISION = "playbooks/images.yml", "playbooks/provision.yml"
NODE, NAME = "node04", "e2e-image"
TARBALL = f"/var/lib/firstlight/images/{NAME}.tgz"
PINNED = "curl"
# Enough to be deployed, and no more: this is about the way of an image.
PACKAGES = ["apt", "cloud-init", "dbus", "iproute2", "openssh-server", "python3", "python3-apt", "sudo", "systemd-sysv"]
MARKER = '#!/bin/sh\nset -eu\necho "made by a hook" > "$1/etc/site-image"\n'


def mirrored(package: str) -> str:
    """The version of a package that the lab's mirror has."""
    index = ROOT / ".lab/cache/upstream/debian/dists/bookworm/main/binary-amd64/Packages"
    match = re.search(
        rf"^Package: {package}\n(?:.+\n)*?Version: (.+)$", index.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert match, f"the lab's mirror has no {package}"
    return match[1]


def images(lab: LabSession, *arguments: str, version: str = "", name: str = NAME) -> PlaybookRun:
    packages = [*({"name": package} for package in PACKAGES), {"name": PINNED, "version": version or mirrored(PINNED)}]
    options = {
        "maas_distro_series": name,
        "os_image_packages": packages,
        "os_image_hooks": [{"name": "marker", "content": MARKER}],
    }
    return lab.playbook(IMAGES, "-e", json.dumps(options), *arguments)


def writes(lab: LabSession) -> int:
    return len(lab.requests("maas", writing=True))


def digest(lab: LabSession) -> str:
    return lab.ssh("head01", f"sha256sum {TARBALL}").split()[0]


def found(lab: LabSession) -> set[str]:
    return set(lab.ssh("head01", "sudo ls -A /var/lib/firstlight/images").split())


def provision(lab: LabSession, name: str) -> PlaybookRun:
    return lab.playbook(PROVISION, "--limit", NODE, "-e", f"maas_distro_series={name}")


def test_check_mode_says_what_it_would_do(lab: LabSession) -> None:
    before = writes(lab)
    run = images(lab, "--check", "--diff")
    assert run.returncode == 0, run.output[-4000:]
    assert f"would build {NAME} (there is none yet) and upload it" in run.output
    assert writes(lab) == before
    assert lab.ssh("head01", "ls /var/lib/firstlight/images", check=False) == ""


def test_a_version_that_nobody_has_is_named_and_nothing_is_left(lab: LabSession) -> None:
    before = writes(lab)
    run = images(lab, version="99-1")
    assert run.returncode == 2
    assert f"no repository has {PINNED} 99-1" in run.output, run.output[-4000:]
    assert found(lab) == {f"{NAME}.tgz.log", f".{NAME}.tgz.lock"}
    assert writes(lab) == before


def test_it_arrives_through_a_bad_connection(lab: LabSession) -> None:
    """Pieces are lost before and after MAAS has them; each time the way on is asked of MAAS, and none is sent twice."""
    lab.lab("fault", "maas", "http-resets", "--percent", "15")
    try:
        run = images(lab)
    finally:
        lab.lab("heal", "maas")
    assert run.returncode == 0, run.output[-8000:]
    pieces = [entry for entry in lab.requests("maas", method="PUT") if "/upload/" in entry["path"]]
    assert len(pieces) > 10
    assert [entry for entry in pieces if entry.get("fault")], "the connection was never lost"
    assert len(lab.requests("maas", method="POST", path="/MAAS/api/2.0/boot-resources/", status=201)) == 1


def test_a_second_run_changes_nothing(lab: LabSession) -> None:
    before = writes(lab)
    run = images(lab)
    assert run.returncode == 0, run.output[-4000:]
    assert run.changed == {"head01": 0}
    assert writes(lab) == before


def test_built_again_it_is_the_same_and_not_uploaded_again(lab: LabSession) -> None:
    before, first = writes(lab), digest(lab)
    lab.ssh("head01", f"sudo rm {TARBALL}")
    run = images(lab)
    assert run.changed == {"head01": 1}, run.output[-4000:]
    assert digest(lab) == first
    assert writes(lab) == before


def by_hand(lab: LabSession, artifacts: Path, module: str, **options: Any) -> PlaybookRun:
    """What a person does in MAAS, or looks up there, as a task on the controller."""
    connection = {"url": "{{ maas_url }}", "api_key_file": "{{ maas_api_key_file }}"}
    # What is changed is shown.
    told = {"delegate_to": "localhost", "changed_when": True}
    task = {f"firstlight.cluster.{module}": {**connection, **options}, **told}
    playbook = artifacts / "by_hand.yml"
    playbook.write_text(json.dumps([{"hosts": NODE, "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
    run = lab.playbook(str(playbook), "-v")
    assert run.returncode == 0, run.output[-4000:]
    return run


@pytest.fixture(scope="module")
def released(lab: LabSession, artifacts: Path) -> None:
    """The node is MAAS's again, in service or not."""
    options = {"state": "released", "in_service_tag": "", "poll_interval": 1, "machines": [{"name": NODE}]}
    by_hand(lab, artifacts, "maas_machine", **options)


@pytest.mark.usefixtures("released")
def test_what_is_no_root_file_system_is_not_deployed(lab: LabSession, artifacts: Path) -> None:
    junk = artifacts / "junk.tgz"
    junk.write_bytes(gzip.compress(b"no archive"))
    by_hand(lab, artifacts, "maas_boot_resource", name="e2e-junk", path=str(junk))
    run = provision(lab, "e2e-junk")
    assert run.state(NODE) == "set_aside", run.output[-4000:]
    events = by_hand(lab, artifacts, "maas_event_info", hostnames=[NODE], level="ERROR")
    assert "'curtin' custom/e2e-junk: is no root file system" in events.output, events.output[-4000:]


@pytest.mark.usefixtures("released")
def test_a_node_runs_what_was_uploaded(lab: LabSession) -> None:
    run = provision(lab, NAME)
    assert run.returncode == 0, run.output[-8000:]
    assert run.state(NODE) != "set_aside", run.findings(NODE)
    assert lab.ssh(NODE, "cat /etc/site-image") == "made by a hook\n"
    assert lab.ssh(NODE, "dpkg-query -W -f '${db:Status-Abbrev} ${Version}' curl") == f"hi  {mirrored(PINNED)}"
    assert lab.ssh(NODE, "ls /usr/bin/chronyc", check=False) == "", "it is the image of every lab"
    # It was made for this node alone: nothing of it came with the image.
    assert lab.ssh(NODE, "cat /etc/machine-id") != lab.ssh("head01", "cat /etc/machine-id")
