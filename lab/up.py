# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a lab, from nothing to powered-off nodes, that MAAS knows of or not yet, and a head node that answers."""

from __future__ import annotations

import base64
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab import (
    enrol,
    fabric,
    files,
    inventory,
    machine_view,
    machines,
    network,
    pki,
    preflight,
    processes,
    seed,
    upstream,
)
from lab import release as releases
from lab.bmc import places
from lab.clear import clear, exclusive
from lab.engine import Engine
from lab.errors import LabError
from lab.image import build as image
from lab.machines import Machine, Site
from lab.release import Release
from lab.site import Lab
from lab.vendor import gpus

ROSTER = Path("inventories/lab/hosts.yml")
_HEAD_SECONDS = 120.0

Say = Callable[[str], None]


def up(lab: Lab, say: Say, *, bare: bool = False) -> None:
    """Bring `lab` up. Remains of an earlier one that was killed are cleared first.

    Its machines get the release that `LAB_RELEASE` names. MAAS knows its nodes, or, where the racks are `bare`, no
    machine at all. Of a lab that is up, simulators that have ended are started again, and nothing else is done.

    :raises LabError: the host cannot carry it, it is up with another release, or a part did not come up.
    """
    wanted = releases.from_environment()
    with exclusive(lab):
        if is_up(lab):
            _refuse_another(lab, wanted)
            _start_what_ended(lab, say)
            return
        preflight.check(lab)
        clear(lab)
        release = wanted or releases.DEFAULT
        say(f"{release.title}: node image and package repositories (built once, kept in .lab/cache)")
        built = image.ensure(lab.cache, release)
        upstream.ensure(lab.cache, release)
        say("network, keys and machines")
        site = _lay_out(lab)
        engine = Engine(lab)
        engine.set_up()
        engine.import_image(built.tar, built.reference)
        chosen = {"reference": built.reference, "digest": built.digest, "release": release.name}
        files.write_json(lab.directory / "image.json", chosen)
        ours = {"osystem": "custom", "series": release.name, "title": f"{release.title} of the lab"}
        files.write_json(lab.directory / "maas-config.json", {"images": [ours]})
        inventory.write(lab, release)
        say("InfiniBand fabric")
        fabric.start(lab.directory, json.loads((lab.directory / "machines.json").read_text()))
        say("MAAS, BMCs, package repositories, time server")
        enrol.create_key(lab.directory / "maas.key")
        for part in processes.PARTS:
            processes.start(lab, part, site)
        if not bare:
            enrol.enrol(site, lab.directory / "maas.key")
        say("head node")
        description = _describe(lab, site, release)
        for machine in heads(site):
            _install_head(lab, engine, machine, built.reference)
            _power_on(lab, machine)
        for machine in heads(site):
            _wait_for_ssh(machine)
        files.write_json(lab.description, description)


def is_up(lab: Lab) -> bool:
    """Whether this lab is up, at least in part. After a restart of the host only remains of it are there."""
    return lab.description.exists() and any(processes.pid_of(lab, part) for part in processes.PARTS)


def _refuse_another(lab: Lab, wanted: Release | None) -> None:
    if wanted and wanted != (running := releases.of(lab.directory)):
        raise LabError(
            f"is up already, with {running.title}: `python -m lab down` takes it down, or LAB_NAME names another, "
            f"or leave {releases.VARIABLE} unset"
        )


def _start_what_ended(lab: Lab, say: Say) -> None:
    ended = [part for part in processes.PARTS if not processes.pid_of(lab, part)]
    for part in ended:
        say(f"{part} had ended and is started again")
        processes.start(lab, part, machines.load(lab.directory))
    if not ended:
        say("is up already; `python -m lab down` takes it down, LAB_NAME names another")


def heads(site: Site) -> list[Machine]:
    return [machine for machine in site.machines.values() if machine.role == "head"]


def _lay_out(lab: Lab) -> Site:
    site = machines.build(lab.clone / ROSTER, network.plan(lab))
    lab.directory.mkdir(parents=True, mode=0o700)
    lab.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    machines.save(lab.directory, site)
    for machine in site.machines.values():
        directory = lab.machine_directory(machine.name)
        machine_view.prepare(directory, machine, site.network)
        if machine.gpus:
            gpus.write(directory, gpus.healthy(machine.gpus, machine.serial))
    network.create(lab, site)
    authority = pki.Authority(lab.directory)
    authority.create(lab.name)
    for machine in site.machines.values():
        authority.issue(f"{machine.name}-bmc", machine.bmc.address, f"bmc-{machine.name}")
    for machine in heads(site):
        authority.issue(machine.name, machine.address, machine.name)
    pki.SshKeys(lab.directory).create(lab.name)
    return site


def _install_head(lab: Lab, engine: Engine, machine: Machine, reference: str) -> None:
    keys = pki.SshKeys(lab.directory)
    host_key = keys.host_key([machine.name, machine.address])
    user_data = seed.head_user_data(machine, host_key, keys.public_key_file.read_text())
    directory = lab.machine_directory(machine.name) / "seed"
    seed.write(directory, f"factory-{machine.serial}", machine.name, user_data, b"")
    engine.create(machine, reference, directory)


def _power_on(lab: Lab, machine: Machine) -> None:
    """As a person would: through the BMC."""
    login = base64.b64encode(f"{machine.bmc.user}:{machine.bmc.password}".encode()).decode()
    request = urllib.request.Request(
        f"https://{machine.bmc.address}:{machine.bmc.port}{places.RESET}",
        b'{"ResetType": "On"}',
        {"Authorization": f"Basic {login}", "Content-Type": "application/json"},
    )
    trust = ssl.create_default_context(cafile=str(pki.Authority(lab.directory).certificate_file))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(request, timeout=30):
            pass
    except OSError as error:
        raise LabError(f"the BMC of {machine.name} did not switch it on: {error}") from error


def _wait_for_ssh(machine: Machine) -> None:
    deadline = time.monotonic() + _HEAD_SECONDS
    while not processes.greets_with_ssh(machine.address):
        if time.monotonic() > deadline:
            raise LabError(
                f"{machine.name} does not answer on ssh after {_HEAD_SECONDS:.0f} s; "
                f"`python -m lab logs {machine.name}` shows its console"
            )
        time.sleep(0.2)


def _describe(lab: Lab, site: Site, release: Release) -> dict[str, Any]:
    """What an inventory needs to know; every path absolute."""
    gateway = site.network.gateway
    repositories = f"http://{gateway}:{processes.UPSTREAM_PORT}"
    keys = pki.SshKeys(lab.directory)
    certificates = pki.Authority(lab.directory).directory
    upstream_keys = upstream.folder(lab.cache, release) / "keys"
    return {
        "schema": 1,
        "name": lab.name,
        "release": release.describe(),
        "inventory": str(inventory.directory(lab, release)),
        "network": asdict(site.network),
        "maas": {"url": enrol.maas_url(site), "api_key_file": str(lab.directory / "maas.key")},
        "upstream": {
            "debian": f"{repositories}/debian",
            "nvidia": f"{repositories}/nvidia",
            "doca": f"{repositories}/doca",
            "pypi": f"{repositories}/pypi/simple/",
            "debian_key_file": str(upstream_keys / "debian.asc"),
            "nvidia_key_file": str(upstream_keys / "nvidia.asc"),
            "doca_key_file": str(upstream_keys / "doca.asc"),
        },
        "ntp_servers": [gateway],
        "head": {machine.name: machine.address for machine in heads(site)},
        "ssh": {
            "user": seed.LOGIN_USER,
            "private_key_file": str(keys.private_key_file),
            "public_key_file": str(keys.public_key_file),
            "host_ca_file": str(keys.host_ca_file),
            "host_ca_public_file": str(keys.host_ca_public_file),
            "known_hosts_file": str(keys.known_hosts_file),
        },
        "pki": {
            "ca_file": str(certificates / "ca.crt"),
            "server": {
                machine.name: {
                    "certificate_file": str(certificates / f"{machine.name}.crt"),
                    "key_file": str(certificates / f"{machine.name}.key"),
                }
                for machine in heads(site)
            },
        },
        "kernel_release": os.uname().release,
    }
