# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a module as Ansible does, against the MAAS in memory; time passes only while somebody sleeps."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import (
    boot_resources,
    boot_sources,
    client,
    connection,
    reconcile,
)
from ansible_collections.firstlight.cluster.plugins.modules import maas_machine
from fake_maas import KEY, URL, Clock, FakeMaas

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a module against a fake MAAS; returns what it prints."""
    clock = Clock()
    monkeypatch.setattr(
        maas_machine, "Fleet", functools.partial(maas_machine.Fleet, sleep=clock.sleep, monotonic=clock)
    )
    for function in (
        client.Client.__init__,
        reconcile.converge,
        boot_sources.import_images,
        boot_resources.Upload.__init__,
    ):
        defaults = function.__kwdefaults__
        for name, value in (("sleep", clock.sleep), ("monotonic", clock)):
            if name in defaults:
                monkeypatch.setitem(defaults, name, value)
    monkeypatch.delenv("MAAS_URL", raising=False)
    monkeypatch.delenv("MAAS_API_KEY", raising=False)

    def start(
        module: ModuleType, maas: FakeMaas, *, check: bool = False, diff: bool = False, **options: Any
    ) -> dict[str, Any]:
        monkeypatch.setattr(connection, "OpenUrl", lambda **settings: maas)
        controls = {"_ansible_check_mode": check, "_ansible_diff": diff}
        connecting = {"url": URL, "api_key": KEY}
        given = {name: value for name, value in {**connecting, **options}.items() if value is not None}
        with patch_module_args({**given, **controls}), pytest.raises(SystemExit):
            module.main()
        printed = capfd.readouterr()
        assert KEY not in printed.out + printed.err
        assert "verysecretpart" not in printed.out + printed.err
        result: dict[str, Any] = json.loads(printed.out)
        return result

    return start
