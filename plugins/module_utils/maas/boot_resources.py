# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom images in MAAS: is one there, declare it, upload it piece by piece, and take old ones away.

MAAS appends every piece that it gets, and knows how far it is. So after anything doubtful the way on is asked of MAAS
itself: a piece is never sent twice, and an upload that was interrupted goes on where it ended, even in another run.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .client import Client, Fields
from .errors import (
    BadRequest,
    InvalidResponse,
    MaasError,
    NotFound,
    ServerError,
    Unavailable,
    Unreachable,
)
from .requests import list_machines

PIECE = 4 << 20  # bytes, as MAAS's own command line sends them
_DOUBTFUL = (ServerError, Unavailable, Unreachable, InvalidResponse)
_TRIES = 6  # failures in a row, without a byte more in MAAS
_DECLARATIONS = 4
_COMPLETE = "Cannot upload to a complete file"
# What MAAS says where what it has is not the beginning of this file, or two uploads got in each other's way.
_MIXED = ("does not match given SHA256", "Too much data received", _COMPLETE)


@dataclass(frozen=True)
class Image:
    """An image as wanted: a file on this machine, and what MAAS is told of it."""

    name: str
    path: Path
    size: int
    sha256: str
    architecture: str
    filetype: str
    base_image: str | None = None
    title: str | None = None

    def form(self) -> Fields:
        """The declaration."""
        return {
            "name": self.name,
            "architecture": self.architecture,
            "filetype": self.filetype,
            "size": self.size,
            "sha256": self.sha256,
            "base_image": self.base_image,
            "title": self.title,
        }


@dataclass(frozen=True)
class Copy:
    """MAAS's newest version of an image. `upload` is where pieces go, empty where it is complete or takes none."""

    resource: int
    sha256: str
    size: int
    complete: bool
    progress: float
    upload: str

    def offset(self, piece: int) -> int:
        """Bytes that MAAS has. It tells a percentage and only ever keeps whole pieces, so the nearest one is meant."""
        exact = self.progress * self.size / 100
        nearest = min(self.size, round(exact / piece) * piece)
        return nearest if abs(nearest - exact) < piece / 4 else round(exact)


def digest(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 in hex; raises MaasError that names the file where it cannot be read or is empty."""
    total, summed = 0, hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total += len(block)
                summed.update(block)
    except OSError as error:
        raise MaasError(f"path: {path} cannot be read ({error.strerror}).", remedy="Build the image first.") from error
    if not total:
        raise MaasError(f"path: {path} is empty.", remedy="Build the image anew.")
    return total, summed.hexdigest()


def same_name(one: str, other: str) -> bool:
    """MAAS shows custom/x as x."""
    return one.removeprefix("custom/") == other.removeprefix("custom/")


def list_uploaded(client: Client) -> list[Mapping[str, Any]]:
    """All uploaded images, without their versions."""
    answer = client.get("boot-resources/", params={"type": "uploaded"})
    if not isinstance(answer, list) or not all(
        isinstance(item, Mapping) and {"id", "name"} <= set(item) for item in answer
    ):
        raise InvalidResponse("MAAS's list of images cannot be read.", method="GET", path="boot-resources/")
    return answer


def list_images(client: Client, kind: str) -> list[dict[str, Any]]:
    """All images, or the synced or uploaded ones, as data; raises InvalidResponse."""
    answer = client.get("boot-resources/", params={"type": None if kind == "all" else kind})
    try:
        images = [
            {
                "id": int(item["id"]),
                "type": str(item["type"]).lower(),
                "name": str(item["name"]),
                "architecture": str(item["architecture"]),
                "title": str(item.get("title") or ""),
                "base_image": str(item.get("base_image") or ""),
                "last_deployed": item.get("last_deployed"),
            }
            for item in answer
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidResponse("MAAS's list of images cannot be read.", method="GET", path="boot-resources/") from error
    return sorted(images, key=lambda image: (image["name"], image["architecture"]))


def images_in_use(client: Client) -> set[str]:
    """Names, without custom/, of what machines are deployed or being deployed with. One request."""
    states = ["deploying", "deployed", "failed_deployment", "rescue_mode", "entering_rescue_mode", "testing", "broken"]
    return {machine.distro_series for machine in list_machines(client, {"status": states})} - {""}


def newest(resource: Mapping[str, Any], root_path: str) -> Copy | None:
    """The newest version in MAAS's record of an image, None where it has none. Raises InvalidResponse."""
    sets = resource.get("sets") or {}
    try:
        if not sets:
            return None
        version = sets[max(sets, key=_version_order)]
        file = next(iter(version["files"].values()))
        upload = urlsplit(str(file.get("upload_uri") or "")).path
        return Copy(
            resource=int(resource["id"]),
            sha256=str(file["sha256"]),
            size=int(file["size"]),
            complete=bool(file["complete"]),
            progress=float(file.get("progress", 100.0 if file["complete"] else 0.0)),
            upload=upload.removeprefix(root_path),
        )
    except (KeyError, StopIteration, TypeError, ValueError) as error:
        raise InvalidResponse(
            f"MAAS's record of the image {resource.get('name')} cannot be read: {type(error).__name__} {error}.",
            method="GET",
            path="boot-resources/",
        ) from error


def _version_order(version: str) -> tuple[int, ...]:
    """Versions are 20261123, 20261123.1, …, 20261123.10."""
    return tuple(int(part) if part.isdecimal() else 0 for part in str(version).split("."))


def find_copy(client: Client, image: Image) -> Copy | None:
    """MAAS's newest version of the image's name and architecture, whatever it contains. One or two requests."""
    for item in list_uploaded(client):
        if same_name(str(item["name"]), image.name) and _same_architecture(item, image):
            try:
                resource = client.get(f"boot-resources/{item['id']}/")
            except NotFound:
                continue
            return newest(resource, urlsplit(client.root).path)
    return None


def _same_architecture(item: Mapping[str, Any], image: Image) -> bool:
    return str(item.get("architecture", "")).partition("/")[0] == image.architecture.partition("/")[0]


def is_there(copy: Copy | None, image: Image) -> bool:
    """True where MAAS deploys just this file under the image's name."""
    return copy is not None and copy.complete and copy.sha256 == image.sha256


class Upload:
    """One image's way into MAAS. `run` may be called again after any failure, in the same or another process."""

    def __init__(
        self,
        client: Client,
        image: Image,
        *,
        piece: int,
        timeout: float,
        progress: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._image = image
        self._piece = piece
        self._timeout = timeout
        self._progress = progress
        self._sleep = sleep
        self._now = monotonic
        self.resumed_at = 0  # bytes that MAAS had at the start
        self.sent = 0  # bytes sent by this run
        self._declared = 0

    def run(self) -> Copy:
        """Declare and upload until MAAS has it whole. Raises MaasError that says how far it is."""
        deadline = self._now() + self._timeout
        failures, furthest = 0, -1
        while True:
            try:
                copy = find_copy(self._client, self._image)
                if copy is not None and is_there(copy, self._image):
                    return copy
                if copy is None or copy.sha256 != self._image.sha256:
                    self._declare()
                    continue
                offset = copy.offset(self._piece)
                if self._now() >= deadline:
                    raise self._late(offset)
                if offset > furthest:
                    failures, furthest = 0, offset
                    if not self.sent:
                        self.resumed_at = offset
                if offset >= copy.size or not copy.upload:
                    self._progress(f"{self._image.name}: uploaded, MAAS is finishing it")
                    self._sleep(5.0)
                    continue
                self._send_from(copy, offset, deadline)
            except BadRequest as error:
                if not any(sign in error.body for sign in _MIXED) or self._declared >= _DECLARATIONS:
                    raise
                if _COMPLETE not in error.body:
                    furthest = -1
                    self._declare()
            except _DOUBTFUL as error:
                failures += 1
                if getattr(error, "permanent", False) or failures >= _TRIES:
                    raise
                self._sleep(min(30.0, 2.0**failures))

    def _declare(self) -> None:
        self._declared += 1
        if self._declared > _DECLARATIONS:
            raise InvalidResponse(
                f"MAAS took the declaration of {self._image.name}, but does not list it.",
                method="POST",
                path="boot-resources/",
                remedy="Is somebody else uploading an image of this name? Run again when they are done.",
            )
        self._client.post("boot-resources/", fields=self._image.form())

    def _send_from(self, copy: Copy, offset: int, deadline: float) -> None:
        with self._image.path.open("rb") as file:
            file.seek(offset)
            while offset < self._image.size and (piece := file.read(self._piece)):
                if self._now() >= deadline:
                    raise self._late(offset)
                self._client.upload(copy.upload, piece)
                offset += len(piece)
                self.sent += len(piece)
                self._progress(f"{self._image.name}: {offset} of {self._image.size} bytes")

    def _late(self, offset: int) -> MaasError:
        return MaasError(
            f"After {self._timeout:.0f} s MAAS has {offset} of {self._image.size} bytes of {self._image.name}.",
            remedy="Run again: the upload goes on where it ended. With all bytes there, MAAS is copying them.",
        )


def plan_prune(
    resources: Sequence[Mapping[str, Any]], prefix: str, keep: int, current: str, architecture: str, used: set[str]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Which images to delete, and the names of those that are old but in use.

    Of the images of this architecture whose name begins with the prefix the `keep` newest stay, the current among them.
    """
    family = sorted(
        (
            item
            for item in resources
            if str(item["name"]).removeprefix("custom/").startswith(prefix)
            and str(item.get("architecture", "")).partition("/")[0] == architecture.partition("/")[0]
        ),
        key=lambda item: (same_name(str(item["name"]), current), int(item["id"])),
        reverse=True,
    )
    old = family[max(1, keep) :]
    return (
        [item for item in old if str(item["name"]).removeprefix("custom/") not in used],
        sorted(str(item["name"]) for item in old if str(item["name"]).removeprefix("custom/") in used),
    )


def delete_image(client: Client, number: int) -> None:
    """Delete an image; one that is gone already is deleted. MAAS answers a second deletion with 500."""
    try:
        client.delete(f"boot-resources/{number}/")
    except (NotFound, *_DOUBTFUL) as error:
        if any(item["id"] == number for item in list_uploaded(client)):
            raise error
