# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role file_mirror on a head node."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

MIRROR = "http://head01:8081"
FILES = "/srv/mirror/files"
LICENCE = "licences/GPL-3.0.txt"
# nginx notes what it has cached and to whom it spoke.
CACHE = "file /srv/mirror/cache/"


def headers(machine: Machine, path: str) -> dict[str, str]:
    """Status and headers of an answer, names in small letters."""
    lines = machine.run("curl --silent --dump-header - --output /dev/null %s", f"{MIRROR}/{path}").splitlines()
    return {"status": lines[0].split()[1]} | {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if ":" in line)
    }


def test_the_server_runs_and_starts_with_the_machine(machine: Machine) -> None:
    assert machine.host.service("nginx").is_running and machine.host.service("nginx").is_enabled
    assert machine.run("curl --silent --fail %s/healthz", MIRROR) == "ok"
    assert machine.host.socket("tcp://0.0.0.0:8081").is_listening
    assert not machine.host.socket("tcp://0.0.0.0:80").is_listening


def test_its_own_packages_come_from_the_sites_sources(machine: Machine, scenario: Scenario) -> None:
    sources = {line.split()[1] for line in machine.run("apt-cache policy").splitlines() if "http" in line}
    assert sources == {scenario.lab["upstream"]["debian"]}
    assert [name for name in ("nginx", "ca-certificates") if not machine.host.package(name).is_installed] == []


@pytest.mark.parametrize(("repository", "place"), [("debian", "{suite} main"), ("nvidia", "./")])
def test_apt_accepts_the_indexes_as_signed_and_downloads(
    machine: Machine, scenario: Scenario, repository: str, place: str
) -> None:
    """A client with the upstream's key and no other, which knows nothing but the mirror."""
    key = Path(scenario.lab["upstream"][f"{repository}_key_file"]).read_text(encoding="utf-8")
    place = place.format(suite=scenario.lab["release"]["suite"])
    package = {"debian": "jq", "nvidia": "libnccl2"}[repository]
    directory = machine.run("mktemp --directory /var/tmp/client.XXXXXX")
    options = [f"Dir::Etc::SourceList={directory}/list", "Dir::Etc::SourceParts=/nowhere"]
    options += [f"Dir::State::Lists={directory}/lists", f"Dir::Cache={directory}", "Dir::Cache::Archives=archives"]
    client = "apt-get -qq " + " ".join(f"-o {option}" for option in options)
    machine.run(f"cd {directory} && mkdir -p lists/partial archives/partial && chmod --recursive a+rwx .")
    machine.write(f"{directory}/key.asc", key)
    machine.write(f"{directory}/list", f"deb [signed-by={directory}/key.asc] {MIRROR}/{repository} {place}\n")

    assert machine.run(f"{client} update 2>&1") == ""
    # The index says what the package's sum is, and apt compares.
    machine.run(f"cd {directory} && {client} download {package} && dpkg-deb --info {package}_*.deb")
    machine.run(f"rm -r {directory}")


def test_a_package_is_fetched_from_upstream_once(machine: Machine, scenario: Scenario) -> None:
    dists = f"{MIRROR}/debian/dists/{scenario.lab['release']['suite']}"
    pool = machine.run("curl --silent --fail %s/main/binary-amd64/Packages", dists)
    path = "debian/" + next(name for name in re.findall(r"^Filename: (\S+)$", pool, re.MULTILINE) if "/lsof_" in name)
    assert [headers(machine, path)["x-cache-status"] for _ in range(2)] == ["MISS", "HIT"]
    # Upstream need not even be there: what is wanted is on the disk.
    assert machine.run("find /srv/mirror/cache -type f | wc -l") != "0"
    owner = machine.host.file("/srv/mirror/cache")
    assert (owner.user, owner.group, owner.mode) == ("www-data", "root", 0o750)


def test_an_index_is_asked_for_again(machine: Machine, scenario: Scenario) -> None:
    path = f"debian/dists/{scenario.lab['release']['suite']}/InRelease"
    headers(machine, path)
    machine.run("sleep 2.1")  # an index is believed for one second, and nginx counts whole ones
    assert headers(machine, path)["x-cache-status"] in ("REVALIDATED", "EXPIRED")


def test_python_packages(machine: Machine) -> None:
    page = machine.run("curl --silent --fail %s/pypi/simple/nvidia-ml-py/", MIRROR)
    link = re.search(r'href="([^"#]+)#sha256=([0-9a-f]{64})"', page)
    assert link, page
    assert (
        machine.run(f"curl --silent --fail {MIRROR}/pypi/simple/nvidia-ml-py/{link[1]} | sha256sum").split()[0]
        == link[2]
    )
    assert headers(machine, f"pypi/simple/nvidia-ml-py/{link[1]}")["x-cache-status"] == "HIT"


def test_files_are_published_with_their_sums(machine: Machine, scenario: Scenario) -> None:
    text = (scenario.project / "LICENSE").read_bytes()
    served = machine.run(f"curl --silent --fail {MIRROR}/files/{LICENCE} | sha256sum").split()[0]
    assert served == hashlib.sha256(text).hexdigest()
    assert machine.run("curl --silent --fail %s/files/SHA256SUMS", MIRROR) == f"{served}  {LICENCE}"
    published = machine.host.file(f"{FILES}/{LICENCE}")
    assert (published.user, published.mode) == ("root", 0o644)
    machine.run(f"touch {FILES}/.hidden")
    assert headers(machine, "files/.hidden")["status"] == "404"
    machine.run(f"rm {FILES}/.hidden")


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(
        f"echo altered >> {FILES}/{LICENCE}"
        f" && rm {FILES}/SHA256SUMS"
        " && sed -i s/worker_connections/#/ /etc/nginx/nginx.conf"
        " && chmod 777 /srv/mirror/cache"
        " && systemctl disable --quiet --now nginx"
    )
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before, without=[CACHE]) == set()
    assert after.touched_since(drifted, without=[CACHE]) == {
        f"file {FILES}/{LICENCE}",
        f"file {FILES}/SHA256SUMS",
        "file /etc/nginx/nginx.conf",
        "file /etc/systemd/system/multi-user.target.wants/nginx.service",
        "file /srv/mirror/cache",
        "file /var/lib/firstlight/applied/nginx",
        "unit nginx.service",
    }
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def upload(scenario: Scenario, **changes: str) -> list[dict[str, str]]:
    """What the scenario publishes, with one thing else."""
    licence = scenario.project / "LICENSE"
    file = {"path": LICENCE, "src": str(licence), "sha256": hashlib.sha256(licence.read_bytes()).hexdigest()}
    return [file | changes]


def test_a_file_that_is_not_what_was_promised_is_refused(machine: Machine, scenario: Scenario) -> None:
    good = upload(scenario)[0]["sha256"]
    before = machine.state()

    run = scenario.converge(variables={"file_mirror_files": upload(scenario, path="other.txt", sha256="0" * 64)})

    assert run.returncode != 0
    assert f"LICENSE: expected sha256 {'0' * 64}, got {good}" in run.messages, run.tail
    assert "Nothing was published" in run.messages and "Fetch the files anew" in run.messages
    assert machine.state().touched_since(before, without=[CACHE]) == set()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"file_mirror_files": [{"path": "a", "src": "/nowhere/a", "sha256": "0" * 64}]},
            ["Missing on the controller: /nowhere/a", "Fetch the files anew"],
        ),
        pytest.param(
            {"file_mirror_upstreams": [{"name": "files", "url": "http://x/"}]},
            ["other than files, pypi, healthz", "Correct the inventory"],
            marks=pytest.mark.long,
        ),
        # nginx itself judges a configuration before it takes the place of the old one.
        pytest.param(
            {"file_mirror_cache_size": "much"},
            ["failed to validate", 'invalid max_size value "max_size=much"'],
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_cannot_be_is_refused(
    machine: Machine, scenario: Scenario, variables: dict[str, object], words: list[str]
) -> None:
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert [word for word in words if word not in run.messages] == [], run.tail
    assert machine.state().touched_since(before, without=[CACHE, *PACKAGE_MANAGERS]) == set()
    assert machine.run("curl --silent --fail %s/healthz", MIRROR) == "ok"
