# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a lab from coming up, each with its remedy."""

from __future__ import annotations

import os
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from lab import packages, preflight
from lab.errors import LabError
from lab.site import Lab

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which nothing is wrong but what a test makes wrong."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, 1 << 40))
    monkeypatch.setattr(preflight, "_containers", list)
    for name in ("MAAS_PORT", "UPSTREAM_PORT", "BMC_PORT", "NTP_PORT"):
        monkeypatch.setattr(preflight, name, 1)


def complaint(lab: Lab) -> str:
    with pytest.raises(LabError) as caught:
        preflight.check(lab)
    return str(caught.value)


def test_a_fit_host_passes(lab: Lab) -> None:
    preflight.check(lab)


def test_not_root(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo" in complaint(lab)


def test_missing_programs_are_one_line_to_type(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda: ["podman", "runc"])
    assert "apt-get install --no-install-recommends podman runc" in complaint(lab)


def test_what_dpkg_does_not_call_installed_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_text("dpkg\nno-such-package-at-all\n")
    monkeypatch.setattr(packages, "LIST", tmp_path / "list")
    assert packages.missing() == ["no-such-package-at-all"]


def test_further_lists_add_to_the_labs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in (("list", "no-such-package-at-all"), ("further", "nor-this-one")):
        (tmp_path / name).write_text(f"dpkg\n{package}\n")
    monkeypatch.setattr(packages, "LIST", tmp_path / "list")
    assert packages.missing(tmp_path / "further") == ["no-such-package-at-all", "nor-this-one"]
    with pytest.raises(LabError, match="misspelt: the list of packages cannot be read"):
        packages.missing(tmp_path / "misspelt")


def test_a_host_without_dpkg_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(LabError, match="Debian or Ubuntu"):
        packages.missing()


def test_installing_packages_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda: ["podman"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="podman needs root"):
        packages.install()


def test_everything_wrong_is_said_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda: ["podman"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, 7 << 30))
    text = complaint(lab)
    assert "apt-get install" in text
    assert "7.0 GiB free, a lab needs 8" in text


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_port_that_is_taken_everywhere(lab: Lab, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener, socket.socket(family, socket.SOCK_DGRAM) as receiver:
        for one in (listener, receiver):
            one.bind((address, 0))
        listener.listen()
        monkeypatch.setattr(preflight, "MAAS_PORT", listener.getsockname()[1])
        monkeypatch.setattr(preflight, "NTP_PORT", receiver.getsockname()[1])
        text = complaint(lab)
    assert f"tcp port {preflight.MAAS_PORT} is taken" in text
    assert f"udp port {preflight.NTP_PORT} is taken" in text


def test_a_port_on_one_address_is_nobody_s_trouble(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setattr(preflight, "MAAS_PORT", listener.getsockname()[1])
        preflight.check(lab)
