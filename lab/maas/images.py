# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be deployed: the images of the lab, as boot resources and as choices of `deploy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.maas import region_config
from lab.maas.settings import LabImage
from lab.maas.wire import invalid

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record


def architectures(region: Region) -> list[str]:
    """Architectures that some image supports."""
    return sorted({arch for image in region.settings.images for arch in image.architectures})


def deployable(region: Region) -> list[LabImage]:
    """The lab's own images, and custom ones whose upload is complete."""
    custom = [
        LabImage("custom", one["name"], one["title"], (one["architecture"],))
        for one in region.store.data["images"]
        if "/" not in one["name"] and any(each["file"] and each["file"]["complete"] for each in one["sets"])
    ]
    return [*region.settings.images, *custom]


def uploaded(region: Region, osystem: str, series: str) -> Record | None:
    """The newest complete file of a custom image; None for the lab's own, of which nobody uploaded another one."""
    for one in region.store.data["images"]:
        if (osystem, series) == ("custom", one["name"]):
            files: list[Record] = [each["file"] for each in one["sets"] if each["file"] and each["file"]["complete"]]
            return files[-1] if files else None
    return None


def choose(region: Region, series: str, kernel: str, architecture: str) -> tuple[LabImage, str | None]:
    """(image, kernel) of a deployment.

    Args:
        series: "debian-12", "custom/debian-12", "ubuntu/jammy" or "" for the region's default.
        kernel: flavour such as "ga-24.04", or "".
        architecture: the machine's.

    Raises:
        Refusal: 400 for an image or kernel that is not there.
    """
    images = deployable(region)
    if not series:
        system = str(region_config.value(region, "default_osystem"))
        series = f"{system}/{region_config.value(region, 'default_distro_series')}"
    image = next((one for one in images if series in (one.series, f"{one.osystem}/{one.series}")), None)
    if image is None:
        names = sorted(f"{one.osystem}/{one.series}" for one in images)
        choices = ", ".join(repr(name) for name in ["", *names])
        raise invalid({"distro_series": [f"'{series}' is not a valid distro_series.  It should be one of: {choices}."]})
    if not image.kernels:
        return image, None
    if kernel and kernel not in image.kernels:
        message = f"{kernel} is not available for {image.osystem}/{image.series} on {architecture}."
        raise invalid({"hwe_kernel": [message]})
    return image, kernel or image.kernels[0]


def synced(region: Region) -> list[Record]:
    """The lab's own images as boot resources."""
    found: list[Record] = []
    for image in region.settings.images:
        uploaded = image.osystem == "custom"
        for architecture in image.architectures:
            arch = architecture.partition("/")[0]
            for kernel in image.kernels or ("generic",):
                number = len(found) + 1
                found.append(
                    {
                        "id": number,
                        "type": "Uploaded" if uploaded else "Synced",
                        "name": image.series if uploaded else f"{image.osystem}/{image.series}",
                        "architecture": f"{arch}/{kernel}",
                        "resource_uri": f"/MAAS/api/2.0/boot-resources/{number}/",
                        "last_deployed": None,
                        "title": image.title,
                        "subarches": ",".join(("generic", *(image.subarches or image.kernels))),
                    }
                )
    return found


def default_base(region: Region) -> str:
    """What a custom image is made of when nobody says so: the system that machines are commissioned with."""
    series = region_config.value(region, "commissioning_distro_series")
    return f"ubuntu/{series}"
