# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role registry on a head node."""

from __future__ import annotations

import hashlib
import json

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

URL = "https://head01:5443/v2"
USER = "--user puller:first-light-of-a-test"
DIRECTORY = "/etc/docker/registry"
# What the lab's authority signed; nothing else of the machine is trusted in these calls.
TRUST = f"--cacert {DIRECTORY}/ca.crt --capath /nowhere"
BLOB = b"a layer of an image"
DIGEST = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"


def status(machine: Machine, options: str, url: str) -> str:
    return machine.run(f"curl --silent --output /dev/null --write-out '%{{http_code}}' {TRUST} {options} {url}")


def served(machine: Machine) -> str:
    """The certificate that the registry shows, as PEM."""
    return machine.run("openssl s_client -connect head01:5443 </dev/null 2>/dev/null | openssl x509")


def test_the_service_runs_and_starts_with_the_machine(machine: Machine) -> None:
    assert machine.host.service("docker-registry").is_running and machine.host.service("docker-registry").is_enabled
    assert machine.host.package("docker-registry").is_installed


def test_it_answers_under_its_name_with_the_sites_certificate(machine: Machine, scenario: Scenario) -> None:
    certificate = served(machine)
    given = scenario.lab["pki"]["server"]["head01"]["certificate_file"]
    with open(given, encoding="utf-8") as stream:  # noqa: PTH123
        assert certificate.strip() == stream.read().strip()
    assert status(machine, USER, f"{URL}/") == "200"
    # The machine's own trust does not have the site's authority.
    assert machine.host.run(f"curl --silent {USER} {URL}/").rc == 60
    assert (
        machine.host.run("curl --silent http://head01:5443/v2/").stdout.strip()
        == "Client sent an HTTP request to an HTTPS server."
    )


def test_only_users_are_let_in(machine: Machine) -> None:
    assert status(machine, "", f"{URL}/") == "401"
    assert status(machine, "--user puller:wrong", f"{URL}/") == "401"
    for name in ("tls.key", "htpasswd"):
        secret = machine.host.file(f"{DIRECTORY}/{name}")
        assert (secret.user, secret.group, secret.mode) == ("root", "docker-registry", 0o640)


def test_it_stores_an_image_and_gives_it_back(machine: Machine) -> None:
    curl = f"curl --silent --fail {TRUST} {USER}"
    place = machine.run(
        f"{curl} --request POST --dump-header - --output /dev/null {URL}/molecule/blobs/uploads/"
        " | sed -n 's/^[Ll]ocation: //p' | tr -d '\\r'"
    )
    machine.run(
        f"printf %%s %s | {curl} --request PUT --header 'Content-Type: application/octet-stream' --data-binary @- %s",
        BLOB.decode(),
        f"{place}&digest={DIGEST}",
    )
    layer = {"mediaType": "application/octet-stream", "size": len(BLOB), "digest": DIGEST}
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": layer, "layers": [layer]})
    machine.run(
        f"printf %%s %s | {curl} --request PUT --header %s --data-binary @- {URL}/molecule/manifests/test",
        manifest,
        f"Content-Type: {kind}",
    )
    assert machine.run(f"{curl} {URL}/molecule/blobs/{DIGEST}") == BLOB.decode()
    assert json.loads(machine.run(f"{curl} {URL}/molecule/tags/list"))["tags"] == ["test"]
    assert machine.run(f"find /srv/images -name data -path '*{DIGEST[7:]}*'")
    images = machine.host.file("/srv/images")
    assert (images.user, images.group, images.mode) == ("docker-registry", "docker-registry", 0o750)
    assert status(machine, f"{USER} --request DELETE", f"{URL}/molecule/blobs/{DIGEST}") == "202"


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(
        f"sed -i s/5443/5999/ {DIRECTORY}/config.yml"
        f" && openssl genrsa -out {DIRECTORY}/tls.key 2048 2> /dev/null"
        f" && : > {DIRECTORY}/ca.crt"
        f" && echo 'intruder:$2y$05$x' >> {DIRECTORY}/htpasswd"
        " && chmod 777 /srv/images"
        " && systemctl disable --quiet --now docker-registry"
    )
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before) == set()
    assert after.touched_since(drifted) == {
        f"file {DIRECTORY}/ca.crt",
        f"file {DIRECTORY}/config.yml",
        f"file {DIRECTORY}/htpasswd",
        f"file {DIRECTORY}/tls.key",
        "file /etc/systemd/system/multi-user.target.wants/docker-registry.service",
        "file /srv/images",
        "file /var/lib/firstlight/applied/docker-registry",
        "unit docker-registry.service",
    }
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_a_certificate_that_was_renewed_is_served(machine: Machine, scenario: Scenario) -> None:
    """Of the same key, so that nothing but the certificate is another."""
    before = served(machine)
    renewed = machine.run(
        f"openssl req -x509 -new -key {DIRECTORY}/tls.key -days 2 -subj /CN=renewed -addext subjectAltName=DNS:head01"
    )
    run = scenario.converge(
        variables={"registry_tls_certificate": renewed + "\n", "registry_ca_certificate": renewed + "\n"}
    )
    assert run.returncode == 0, run.tail
    assert served(machine).strip() == renewed.strip()

    back = scenario.converge()

    assert back.returncode == 0, back.tail
    assert served(machine) == before


def test_a_certificate_and_a_key_that_do_not_belong_together_are_refused(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"registry_tls_key": machine.run("openssl genrsa 2048 2> /dev/null")})

    assert run.returncode != 0
    assert "registry_tls_key is not the key of registry_tls_certificate" in run.messages, run.tail
    assert "Correct the inventory" in run.messages
    assert machine.state().touched_since(before) == set()


@pytest.mark.parametrize(
    "variables",
    [
        {"registry_tls_certificate": "head01.crt"},
        pytest.param({"registry_tls_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"}, marks=pytest.mark.long),
        pytest.param({"registry_htpasswd": ["puller:a-password"]}, marks=pytest.mark.long),
    ],
)
def test_what_cannot_be_is_refused(machine: Machine, scenario: Scenario, variables: dict[str, object]) -> None:
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert "both as PEM text" in run.messages and "htpasswd -nB USER" in run.messages, run.tail
    assert "a-password" not in run.output
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()
