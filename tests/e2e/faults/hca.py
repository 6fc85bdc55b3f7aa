# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the area hca that the lab is tried with."""

from __future__ import annotations

from . import Fault

FAULTS: list[Fault] = [
    ("hca-down", ["--hca", "6"], "hca.state", "hca:mlx5_6", "fail"),
    ("hca-flaps", ["--hca", "4"], "hca.link_downed", "hca:mlx5_4", "fail"),
    ("hca-symbol-errors", ["--hca", "1"], "hca.symbol_errors", "hca:mlx5_1", "fail"),
    ("hca-link-integrity", ["--hca", "3"], "hca.link_integrity", "hca:mlx5_3", "fail"),
    ("hca-remote-errors", ["--hca", "2"], "hca.remote_errors", "hca:mlx5_2", "warn"),
    ("hca-limited", ["--hca", "1"], "hca.pkey", "hca:mlx5_1", "fail"),
]
