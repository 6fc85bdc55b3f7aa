# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site would fetch from the outside world: Debian's and the vendor's repositories, and a Python wheel."""

from lab.upstream.build import ensure, folder

__all__ = ["ensure", "folder"]
