# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that tells a simulated machine's GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.vendor import gpus


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    wanted = gpus.healthy(3, "FL0000N01")
    wanted[1].update(fail={"nvmlDeviceGetTemperature": 15}, hang={"nvmlDeviceGetName": 1.5}, nvlink_state=[1, 0])
    gpus.write(tmp_path, wanted, {"driver_loaded": "570.172.08", "fail": {"nvmlInit": 9}, "hang": {}})
    assert gpus.read(tmp_path) == wanted
    assert gpus.read_system(tmp_path) == {"driver_loaded": "570.172.08", "fail": {"nvmlInit": 9}, "hang": {}}


def test_writing_gpus_keeps_what_is_said_of_the_machine(tmp_path: Path) -> None:
    gpus.write(tmp_path, gpus.healthy(1, "FL0000N01"), {"driver_loaded": "none"})
    gpus.write(tmp_path, gpus.healthy(2, "FL0000N01"))
    assert gpus.read_system(tmp_path)["driver_loaded"] == "none"
    assert len(gpus.read(tmp_path)) == 2


def test_gpus_are_the_same_for_the_same_machine_and_for_no_other() -> None:
    first, again, other = (gpus.healthy(8, serial) for serial in ("FL0000N01", "FL0000N01", "FL0000N02"))
    assert first == again
    for key in ("uuid", "serial"):
        assert len({gpu[key] for gpu in first + other}) == 16
    assert len({gpu["pci"] for gpu in gpus.healthy(16, "FL0000N01")}) == 16
    assert all(len(gpu["serial"]) == 13 and gpu["serial"].isdigit() for gpu in first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": "hot"}, "temperature: expected a number"),
        ({"temperature": -1}, "temperature: expected a number"),
        ({"name": "two\nlines"}, "name: .* is not one line"),
        ({"fail": {"nvml Init": 3}}, "is no name of a function"),
        ({"uuid": ""}, "uuid must be given"),
    ],
)
def test_a_state_that_cannot_be_read_is_not_written(tmp_path: Path, change: dict[str, object], message: str) -> None:
    gpus.write(tmp_path, gpus.healthy(1, "FL0000N01"))
    before = (tmp_path / gpus.FILE_NAME).read_text()
    with pytest.raises(gpus.StateError, match=message):
        gpus.write(tmp_path, [{**gpus.healthy(1, "FL0000N01")[0], **change}])
    assert (tmp_path / gpus.FILE_NAME).read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == [gpus.FILE_NAME]


def test_two_gpus_of_one_uuid_are_refused(tmp_path: Path) -> None:
    twin = gpus.healthy(1, "FL0000N01")[0]
    with pytest.raises(gpus.StateError, match="gpu 1: uuid must be given and be unique"):
        gpus.write(tmp_path, [twin, twin])


def test_a_line_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    (tmp_path / gpus.FILE_NAME).write_text("gpu 0\nuuid GPU-1\ntemperature warm\n")
    with pytest.raises(gpus.StateError, match=r"gpus.state, line 3: cannot read 'temperature warm'"):
        gpus.read(tmp_path)
