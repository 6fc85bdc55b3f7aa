# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords in URLs are refused before anything is changed, without being shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.action.preflight import OWN, _url_problems
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import load_file
from ansible_collections.firstlight.cluster.plugins.module_utils.site.urls import holds_credentials

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "value",
    [
        "http://somebody:hidden-word@mirror.example.com/debian",
        "HTTPS://hidden-word@mirror.example.com",
        {"uris": ["http://mirror/", "https://a:hidden-word@b/"]},
        "deb http://somebody:hidden-word@mirror/debian bookworm main",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_shown(value: Any) -> None:
    variables = {
        "groups": {"all": ["node01", "head01"], "head_nodes": ["head01"], "empty": []},
        "hostvars": {
            "node01": {"gpu_driver_pypi_url": "http://head01/pypi"},
            "head01": {"file_mirror_upstreams": value, "somebody_elses_url": "http://a:b@c/"},
        },
    }
    (problem,) = _url_problems(variables)
    assert problem.key == "file_mirror_upstreams"
    assert "hidden-word" not in render([problem])


@pytest.mark.parametrize(
    "value",
    [
        "http://mirror.example.com:8080/debian",
        "http://mirror/a@b",
        "http://mirror/?mail=a@b",
        "ssh-ed25519 AAAA operator@site",
        "see http://docs and write to operator@site",
        ["http://[fd00::1]/", None, 5, True],
    ],
)
def test_other_values_are_not(value: Any) -> None:
    assert not holds_credentials(value)


def test_a_password_in_the_url_of_a_firmware_image_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "lab-h100.yml"
    known = yaml.safe_load((ROOT / "inventories/lab/node_classes/lab-h100.yml").read_text(encoding="utf-8"))
    image = {"component": "BIOS", "version": "2", "image_uri": "https://somebody:hidden-word@mirror/bios"}
    path.write_text(yaml.safe_dump({**known, "firmware": [image]}), encoding="utf-8")
    data, problems = load_file(path)
    assert data is None
    (told,) = render(problems).splitlines()
    assert "firmware[0].image_uri: a URL in it holds a password" in told
    assert "hidden-word" not in told


def test_the_variables_of_every_role_are_looked_at() -> None:
    roles = {path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/main.yml")}
    assert {f"{role}_" for role in roles} <= set(OWN)
