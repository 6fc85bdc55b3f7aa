# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab leaves behind is told from what another lab has beside it."""

from __future__ import annotations

from pathlib import Path

from lab.site import Lab
from tests.e2e.host import without_other_labs

MINE, OTHER = Lab("e2e", Path("/clone")), Lab("m-nccl", Path("/clone"))


def _names(lab: Lab) -> list[str]:
    return sorted(
        [
            f"fl{lab.tag}",
            f"fl{lab.tag}-10",
            f"firstlight-{lab.tag}-node01 (id: 5)",
            f"/run/netns/firstlight-{lab.tag}-fabric",
            f"{lab.directory}/podman/storage/overlay",
        ]
    )


def test_names_of_another_lab_are_left_out() -> None:
    assert without_other_labs(MINE, _names(MINE) + _names(OTHER)) == _names(MINE)


def test_what_bears_no_name_of_a_lab_counts() -> None:
    names = ["/", "/mnt/firstlight", "eth0", "flannel.1"]
    assert without_other_labs(MINE, names) == names
