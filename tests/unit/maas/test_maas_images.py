# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom images: uploaded once, in pieces, whatever happens on the way; old ones go, those in use stay."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import boot_resources
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Response
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Status
from ansible_collections.firstlight.cluster.plugins.modules import maas_boot_resource, maas_boot_resource_info
from fake_maas import Box, FakeMaas, broken, text

Run = Callable[..., dict[str, Any]]
CONTENT = bytes(random.Random(1).randbytes(1000))


@pytest.fixture
def image(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "image.tgz"
    file.write_bytes(CONTENT)
    return {"name": "custom/gpu-node", "path": str(file), "piece_size": 300}


def stored(maas: FakeMaas) -> list[bytes]:
    """The content of every complete image."""
    return [bytes(content) for content in maas.site.files.values() if content == CONTENT]


def test_an_image_is_uploaded_once_in_pieces(run: Run, image: dict[str, Any], tmp_path: Path) -> None:
    maas = FakeMaas()
    progress = tmp_path / "progress"
    foretold = run(maas_boot_resource, maas, check=True, diff=True, **image)
    assert maas.writes == [] and foretold["actions"] == ["upload:custom/gpu-node"]
    result = run(maas_boot_resource, maas, diff=True, progress_file=str(progress), **image)
    assert (result["changed"], result["diff"]) == (True, foretold["diff"])
    assert result["diff"] == {"before": {"images": []}, "after": {"images": ["gpu-node"]}}
    assert (result["image"]["sent"], result["image"]["resumed_at"], result["image"]["size"]) == (1000, 0, 1000)
    assert len(maas.writes) == 1 + 4 and stored(maas) == [CONTENT]
    assert progress.read_text().splitlines()[0].endswith("custom/gpu-node: 300 of 1000 bytes")
    maas.requests.clear()
    assert run(maas_boot_resource, maas, **image)["changed"] is False
    assert maas.writes == []


def test_an_interrupted_upload_goes_on_where_it_ended(run: Run, image: dict[str, Any]) -> None:
    maas = FakeMaas()
    pieces = 0

    def dead(method: str, what: str) -> Any:
        nonlocal pieces
        pieces += "upload" in what
        return broken(sent=False) if pieces > 2 else None

    maas.before = dead
    assert run(maas_boot_resource, maas, **image)["failed"] is True
    maas.before = lambda method, what: None
    result = run(maas_boot_resource, maas, **image)
    assert (result["image"]["resumed_at"], result["image"]["sent"]) == (600, 400)
    assert stored(maas) == [CONTENT] and maas.counts["boot-resources/"] > 0
    assert [method for method, what in maas.requests if (method, what) == ("POST", "boot-resources/")] == ["POST"]


@pytest.mark.parametrize("seed", range(20))
def test_an_upload_through_a_storm_is_whole(run: Run, image: dict[str, Any], seed: int) -> None:
    maas = FakeMaas()
    chance = random.Random(seed)

    def storm(method: str, what: str) -> Response | Exception | None:
        kinds = [text(500, "boom"), text(503, "busy"), broken(sent=True), Response(200, {}, b'{"cut')]
        return chance.choice(kinds) if chance.random() < 0.1 else None

    maas.before = maas.after = storm
    result = run(maas_boot_resource, maas, **{**image, "piece_size": 100})
    assert not result.get("failed"), result
    assert stored(maas) == [CONTENT] and len(maas.site.images) == 1


def test_a_piece_too_much_is_noticed_and_the_upload_begun_anew(run: Run, image: dict[str, Any]) -> None:
    """Somebody else's upload of the same image got in between."""
    maas = FakeMaas()
    again: list[str] = []

    def twice(method: str, what: str) -> None:
        if method == "PUT" and not again:
            again.append(what)
            maas.site.files[max(maas.site.files)] += b"x" * 300

    maas.before = twice
    result = run(maas_boot_resource, maas, **image)
    assert result["changed"] is True and stored(maas) == [CONTENT]


def test_a_file_that_is_not_what_was_declared_is_an_error_in_the_end(run: Run, image: dict[str, Any]) -> None:
    maas = FakeMaas()
    wrong = text(400, "Saved content does not match given SHA256 value.")
    maas.before = lambda method, what: wrong if method == "PUT" else None
    result = run(maas_boot_resource, maas, **image)
    assert result["failed"] is True and "upload it anew" in result["msg"]
    assert maas.counts["boot-resources/"] < 20


def test_maas_that_never_takes_the_image_for_whole_is_not_waited_for_for_ever(run: Run, image: dict[str, Any]) -> None:
    maas = FakeMaas()

    def stuck(method: str, what: str) -> None:
        for one in maas.site.images.values():
            for version in one["sets"].values():
                version["files"]["root.tgz"].update(complete=False, progress=100.0, upload_uri="")

    maas.site.declare({"name": "gpu-node", "architecture": "amd64/generic", "sha256": "0" * 64, "size": "1000"})
    run(maas_boot_resource, maas, **image)
    maas.before = stuck
    result = run(maas_boot_resource, maas, timeout=60, **image)
    assert result["failed"] is True and "After 60 s MAAS has 1000 of 1000 bytes" in result["msg"]


def test_a_new_build_under_the_same_name_is_a_new_version(run: Run, image: dict[str, Any]) -> None:
    maas = FakeMaas()
    run(maas_boot_resource, maas, **image)
    Path(image["path"]).write_bytes(CONTENT[::-1])
    assert run(maas_boot_resource, maas, **image)["changed"] is True
    assert run(maas_boot_resource, maas, **image)["changed"] is False
    assert len(maas.site.images) == 1


def test_old_images_go_and_those_in_use_stay(run: Run, image: dict[str, Any]) -> None:
    deployed = {"status": Status.DEPLOYED, "osystem": "custom", "owner": "admin"}
    maas = FakeMaas(Box("a", "n1", distro_series="gpu-1", **deployed))
    for number in (1, 2, 3):
        maas.site.declare({"name": f"gpu-{number}", "architecture": "amd64/generic", "sha256": "0" * 64, "size": "1"})
    maas.site.declare({"name": "gpu-0", "architecture": "arm64/generic", "sha256": "0" * 64, "size": "1"})
    options = {**image, "name": "gpu-4", "prune_prefix": "gpu-", "keep": 2}
    foretold = run(maas_boot_resource, maas, check=True, diff=True, **options)
    assert maas.writes == []
    result = run(maas_boot_resource, maas, diff=True, **options)
    assert result["actions"] == foretold["actions"] == ["upload:gpu-4", "delete:gpu-2"]
    assert result["diff"] == foretold["diff"]
    assert result["kept_in_use"] == ["gpu-1"]
    assert sorted(one["name"] for one in maas.site.images.values()) == ["gpu-0", "gpu-1", "gpu-3", "gpu-4"]
    assert "in use" in run(maas_boot_resource, maas, name="gpu-1", state="absent")["msg"]
    assert run(maas_boot_resource, maas, name="custom/gpu-3", state="absent")["actions"] == ["delete:gpu-3"]


def test_a_deletion_that_was_carried_out_and_not_answered_is_done(run: Run) -> None:
    maas = FakeMaas()
    maas.site.declare({"name": "old", "architecture": "amd64/generic", "sha256": "0" * 64, "size": "1"})
    maas.after = lambda method, what: broken(sent=True) if method == "DELETE" else None
    assert run(maas_boot_resource, maas, name="old", state="absent")["changed"] is True
    assert maas.site.images == {}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"path": "/no/such/file"}, "path: /no/such/file cannot be read"),
        ({"piece_size": 0}, "piece_size: 0 is too small"),
        ({"path": None}, "state is present but all of the following are missing: path"),
    ],
)
def test_what_cannot_be_uploaded_is_named(run: Run, image: dict[str, Any], options: dict[str, Any], part: str) -> None:
    maas = FakeMaas()
    assert part in run(maas_boot_resource, maas, **{**image, **options})["msg"]
    assert maas.requests == []


def test_the_recorded_answers_are_read_as_they_are(recorded: Path) -> None:
    def copy(name: str) -> boot_resources.Copy:
        body = json.loads((recorded / "maas" / f"{name}.json").read_text())["response"]["body"]
        found = boot_resources.newest(body, "/MAAS/api/2.0/")
        assert found is not None
        return found

    assert copy("623-boot-resource-create-declare").upload == "boot-resources/9/upload/25/"
    assert copy("627-boot-resource-half").offset(300) == 500, "pieces of another size were sent"
    assert copy("627-boot-resource-half").offset(250) == 500
    assert copy("631-boot-resource-complete").complete
    assert copy("648-boot-resource-same-again").upload == "boot-resources/9/upload/33/", "the newest version counts"


def test_images_are_listed(run: Run) -> None:
    maas = FakeMaas()
    maas.site.synced = [{"id": 1, "type": "Synced", "name": "ubuntu/noble", "architecture": "amd64/ga-24.04"}]
    maas.site.declare({"name": "old", "architecture": "amd64/generic", "sha256": "0" * 64, "size": "1"})
    result = run(maas_boot_resource_info, maas)
    assert [(one["name"], one["type"]) for one in result["images"]] == [("old", "uploaded"), ("ubuntu/noble", "synced")]
    assert result["importing"] is False
    assert len(run(maas_boot_resource_info, maas, type="synced")["images"]) == 1
