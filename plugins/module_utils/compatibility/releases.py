# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operating systems by the names that MAAS and the distributions' repositories give them."""

from __future__ import annotations

# Name of a series or suite -> name of the release, as roles/common tells the supported ones.
RELEASES: dict[str, str] = {
    "buster": "Debian 10",
    "bullseye": "Debian 11",
    "bookworm": "Debian 12",
    "trixie": "Debian 13",
    "forky": "Debian 14",
    "xenial": "Ubuntu 16.04",
    "bionic": "Ubuntu 18.04",
    "focal": "Ubuntu 20.04",
    "jammy": "Ubuntu 22.04",
    "noble": "Ubuntu 24.04",
    "plucky": "Ubuntu 25.04",
    "questing": "Ubuntu 25.10",
    "resolute": "Ubuntu 26.04",
}
CUSTOM = "custom"


def deployed(osystem: str, series: str, suite: str = "") -> str:
    """The release that MAAS deploys as `osystem` and `series`; empty where these do not tell it.

    The name of a custom image says nothing of what is in it: that tells `suite`, if the site builds the image itself.
    """
    system, _slash, name = series.rpartition("/")
    system = osystem or system
    if system == CUSTOM:
        return RELEASES.get(suite, "")
    known = RELEASES.get(name, "")
    return known or (f"{system} {name}" if system and name else "")
