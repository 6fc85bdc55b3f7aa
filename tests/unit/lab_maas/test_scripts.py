# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts: uploaded, changed, reverted; run with parameters; their results with output."""

from __future__ import annotations

import base64
from typing import Any

from .world import Answer, World, hardware_of, mac_of, oauth

BURN_IN = """#!/bin/sh
# --- Start MAAS 1.0 script metadata ---
# name: burn-in
# script_type: testing
# hardware_type: gpu
# parallel: any
# timeout: 01:30:00
# packages: {apt: [stress-ng]}
# parameters:
#   seconds: {type: runtime, default: 60}
#   key: {type: password}
# --- End MAAS 1.0 script metadata ---
exit 0
"""


def _upload(
    world: World,
    text: str,
    *pairs: tuple[str, str],
    field: str = "script",
    method: str = "POST",
    path: str = "scripts/",
) -> Answer:
    parts = [f'--xyz\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in pairs]
    parts.append(f'--xyz\r\nContent-Disposition: form-data; name="{field}"; filename="f"\r\n\r\n{text}\r\n--xyz--\r\n')
    headers = {"Authorization": oauth(world.key), "Content-Type": "multipart/form-data; boundary=xyz"}
    return world.send(method, "/MAAS/api/2.0/" + path, headers, "".join(parts).encode())


def test_a_script_says_of_itself_what_it_is(world: World) -> None:
    shown = _upload(world, BURN_IN).json
    assert (shown["name"], shown["type_name"], shown["hardware_type_name"]) == ("burn-in", "Testing script", "GPU")
    assert (shown["timeout"], shown["packages"], shown["tags"]) == ("1:30:00", {"apt": ["stress-ng"]}, ["gpu"])
    assert world.get("scripts/burn-in")["parameters"]["seconds"]["default"] == 60
    assert [one["name"] for one in world.get("scripts/?hardware_type=gpu")] == ["burn-in"]


def test_the_field_of_the_only_file_names_the_script(world: World) -> None:
    assert _upload(world, "#!/bin/sh\n", ("type", "commissioning"), field="10-site").json["name"] == "10-site"
    assert world.get("scripts/10-site")["type_name"] == "Commissioning script"


def test_revisions_come_and_go(world: World) -> None:
    _upload(world, BURN_IN)
    _upload(world, BURN_IN.replace("exit 0", "exit 1"), ("comment", "worse"), method="PUT", path="scripts/burn-in")
    history = world.get("scripts/burn-in")["history"]
    assert [one["comment"] for one in history] == ["worse", None]
    assert world.call("GET", "scripts/burn-in?op=download").text.endswith("exit 1\n")
    first = world.call("GET", f"scripts/burn-in?op=download&revision={history[1]['id']}")
    assert first.text == BURN_IN
    world.post("scripts/burn-in?op=revert", ("to", str(history[1]["id"])))
    assert world.call("GET", "scripts/burn-in?op=download").text == BURN_IN
    assert world.call("POST", "scripts/burn-in?op=revert", ("to", "12345")).text == "12345 not found in history"
    content = base64.b64decode(world.get("scripts/burn-in?include_script=true")["history"][0]["data"])
    assert content.decode() == BURN_IN


def test_forms_of_scripts_are_checked(world: World) -> None:
    bad = BURN_IN.replace("# parallel: any", "# parallel: [").replace("#!/bin/sh", "echo")
    answer = _upload(world, bad)
    assert answer.status == 400
    assert answer.json["script"][0] == "Must start with shebang."
    assert "Invalid YAML" in answer.json["script"][1]
    for pairs, field in (
        ((("name", "x"), ("timeout", "soon")), "timeout"),
        ((("name", "x"), ("hardware_type", "disk")), "hardware_type"),
        ((("name", "x"), ("parallel", "maybe")), "parallel"),
        ((("name", "none"),), "name"),
        ((("name", "12"),), "name"),
    ):
        answer = world.call("POST", "scripts/", *pairs, ("script", "#!/bin/sh\n"))
        assert (answer.status, set(answer.json)) == (400, {field})


def _tested(world: World, outputs: Any, *pairs: tuple[str, str]) -> str:
    """A machine that was commissioned with burn-in as a test, which said so."""
    system_id = world.create("node01", 1, kind="manual")
    fields = [("testing_scripts", "burn-in"), *pairs]
    world.post(f"machines/{system_id}/?op=commission", *fields)
    order = world.pxe(mac_of(1))
    report = {"token": order["token"], "hardware": hardware_of(1), "exit_status": 0, "scripts": outputs}
    assert world.report(order["results_url"], report).status == 200
    return system_id


def test_parameters_and_outputs_of_a_run(world: World) -> None:
    _upload(world, BURN_IN)
    said = {"burn-in": {"exit_status": 0, "stdout": "warm\n", "stderr": "hot\n", "result": "status: passed\n"}}
    system_id = _tested(world, said, ("burn-in_seconds", "5"), ("key", "secret"))
    path = f"nodes/{system_id}/results/current-testing/"
    [result] = world.get(f"{path}?include_output=true")["results"]
    assert result["parameters"]["seconds"]["value"] == "5"
    assert result["parameters"]["key"]["value"] == "REDACTED"
    assert base64.b64decode(result["output"]) == b"warm\nhot\n"
    assert base64.b64decode(result["result"]) == b"status: passed\n"
    assert "stdout" not in world.get(path)["results"][0]
    assert world.call("GET", f"{path}?op=download&output=stdout").text == "warm\n"
    assert "hot" in world.call("GET", f"{path}?op=download&output=all").text
    assert world.call("DELETE", path).status == 204
    assert world.call("GET", path).text == "No current testing script set exists for this node."


def test_a_test_that_fails_fails_the_machine(world: World) -> None:
    _upload(world, BURN_IN)
    system_id = _tested(world, {"burn-in": {"exit_status": 3, "stderr": "too hot"}})
    shown = world.machine(system_id)
    assert (shown["status_name"], shown["testing_status_name"]) == ("Failed testing", "Failed")
    path = f"nodes/{system_id}/results/current-testing/"
    [result] = world.get(path)["results"]
    assert (result["exit_status"], result["suppressed"]) == (3, False)
    assert world.call("PUT", path, ("suppressed", "true")).json["results"][0]["suppressed"] is True


def test_a_commissioning_script_that_fails_fails_the_commissioning(world: World) -> None:
    _upload(world, "#!/bin/sh\n", ("type", "commissioning"), field="10-site")
    system_id = world.create("node01", 1, kind="manual")
    world.post(f"machines/{system_id}/?op=commission", ("testing_scripts", "none"))
    order = world.pxe(mac_of(1))
    report = {"token": order["token"], "hardware": hardware_of(1), "exit_status": 0}
    world.report(order["results_url"], {**report, "scripts": {"10-site": {"exit_status": 1, "stderr": "no disk"}}})
    shown = world.machine(system_id)
    assert (shown["status_name"], shown["commissioning_status_name"]) == ("Failed commissioning", "Failed")
    assert world.get(f"events/?op=query&id={system_id}")["events"][1]["description"] == "10-site failed"


def test_a_deleted_script_leaves_its_results(world: World) -> None:
    _upload(world, BURN_IN)
    system_id = _tested(world, {})
    assert world.call("DELETE", "scripts/burn-in").status == 204
    assert world.get(f"nodes/{system_id}/results/current-testing/")["results"][0]["name"] == "burn-in"
    answer = world.call("POST", f"machines/{system_id}/?op=commission", ("testing_scripts", "burn-in"))
    assert answer.status == 400
