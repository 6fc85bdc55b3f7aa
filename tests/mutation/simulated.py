# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every role without a scenario a broken task: its test runs it against a simulated server, or with stand-ins."""

from __future__ import annotations

from pathlib import Path

from .mutant import Mutant

WITHOUT_SCENARIO = Path(__file__).resolve().parents[2] / "molecule" / "without_scenario.txt"


def without_scenario() -> dict[str, str]:
    """Roles without a scenario, each with the test that runs it."""
    lines = WITHOUT_SCENARIO.read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


_TESTS = without_scenario()


def _mutant(role: str, name: str, file: str, what: str, old: str, new: str, noticing: str = "") -> Mutant:
    """`noticing`: which tests of the role's file, as pytest's -k takes it, where all of them take minutes."""
    tests = (_TESTS[role], *(("-k", noticing) if noticing else ()))
    return Mutant(f"role {role}: {name}", f"roles/{file}", what, old, new, tests)


_NEVER = "when: false"

MUTANTS = [
    _mutant(
        "bmc",
        "in service",
        "bmc/tasks/refuse.yml",
        "a node in service is changed",
        "that: not bmc_in_service",
        "that: true",
        "node_in_service",
    ),
    _mutant(
        "bmc",
        "cap",
        "bmc/tasks/cap.yml",
        "the number of nodes is not capped",
        "that: __bmc_firmware_on | length <= bmc_firmware_most | int",
        "that: true",
        "than_allowed",
    ),
    _mutant(
        "bmc",
        "restart",
        "bmc/tasks/bios.yml",
        "the machine is restarted without leave",
        'restart: "{{ bmc_restart }}"',
        "restart: true",
        "check_mode_sends",
    ),
    _mutant(
        "maas_config",
        "settings",
        "maas_config/tasks/main.yml",
        "the region keeps its settings",
        "when: maas_config_settings | length > 0",
        _NEVER,
    ),
    _mutant(
        "maas_config",
        "networks",
        "maas_config/tasks/main.yml",
        "networks and DHCP are not set up",
        "when: maas_config_networks | length > 0",
        _NEVER,
    ),
    _mutant(
        "maas_server",
        "series",
        "maas_server/tasks/refuse.yml",
        "packages of another Ubuntu release are installed",
        "      - __maas_server_series in __maas_server_series_of_release"
        "[ansible_facts['distribution_version']] | default([])\n",
        "",
        "what_cannot_be",
    ),
    _mutant(
        "maas_server",
        "migration",
        "maas_server/vars/main.yml",
        "the tables are made anew in every run",
        "| b64decode | trim) != __maas_server_schema }}",
        "| b64decode | trim) != '' }}",
        "installed_in_order",
    ),
    _mutant(
        "maas_server",
        "password",
        "maas_server/tasks/admin.yml",
        "the administrator's password is logged",
        """{{ maas_server_admin_password }}"
    __seconds: "{{ maas_server_command_timeout }}"
    __secret: true
""",
        """{{ maas_server_admin_password }}"
    __seconds: "{{ maas_server_command_timeout }}"
    __secret: false
""",
        "installed_in_order or differs or fails_stops",
    ),
    _mutant(
        "maas_server",
        "rack",
        "maas_server/vars/main.yml",
        "a rack controller stays with another region",
        "{{ __maas_server_rack_urls == [__maas_server_url]\n     and ",
        "{{ ",
        "another_region or registered_anew",
    ),
    _mutant(
        "os_image",
        "name",
        "os_image/tasks/main.yml",
        "a name that is a path becomes one",
        "that: os_image_name is match('^[a-z0-9][a-z0-9._-]*$')",
        "that: true",
    ),
    _mutant(
        "os_image",
        "kernel",
        "os_image/vars/main.yml",
        "the kernel is left out",
        "if os_image_kernel else []",
        "if false else []",
    ),
    _mutant(
        "os_image",
        "upload",
        "os_image/tasks/upload.yml",
        "the image stays where it was built",
        "when: __os_image_built.image is defined",
        _NEVER,
    ),
]
