# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of file systems and disks."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "disk.mount",
        "Every file system of the class is mounted",
        ("storage",),
        "software",
        "See `systemctl status` of its mount unit and `dmesg`; run configure.yml with --tags storage.",
        "validate",
        source="`/proc/self/mountinfo` (`findmnt`)",
        fails="Nothing is mounted at one of hardware.mounts.",
        needs=("hardware.mounts",),
    ),
    Check(
        "disk.read_only",
        "Every file system can be written",
        ("storage",),
        "vendor",
        "The kernel makes one read-only after an error: read `dmesg`, replace the disk or repair the file system.",
        "validate",
        source="statvfs of the mount (`findmnt -o OPTIONS`)",
        fails="A file system of hardware.mounts is mounted read-only.",
        needs=("hardware.mounts",),
    ),
    Check(
        "disk.free",
        "Every file system has space left",
        ("storage",),
        "software",
        "Remove what fills it: images, logs, checkpoints of ended jobs.",
        "validate",
        source="statvfs of the mount (`df -h`)",
        fails=(
            "The space of a file system of hardware.mounts has reached disk_used_percent.fail; it warns from "
            "disk_used_percent.warn on."
        ),
        needs=("hardware.mounts",),
    ),
    Check(
        "disk.inodes",
        "Every file system has inodes left",
        ("storage",),
        "software",
        "Find with `du --inodes -x` the folder of many small files, and remove them.",
        "validate",
        source="statvfs of the mount (`df -i`)",
        fails=(
            "The inodes of a file system of hardware.mounts have reached disk_used_percent.fail; it warns from "
            "disk_used_percent.warn on. One without a fixed number of them passes."
        ),
        needs=("hardware.mounts",),
    ),
    Check(
        "disk.raid",
        "Every array of disks is whole",
        ("disks",),
        "vendor",
        "See `mdadm --detail` for the member that is gone and `dmesg` for why; replace that disk and add the new one.",
        "validate",
        source="`/proc/mdstat`",
        fails=(
            "An array is not active, or has lost a disk and its level stands no loss; it warns of another one that has "
            "lost a disk or is being rebuilt."
        ),
    ),
    Check(
        "disk.nvme.count",
        "All NVMe disks are there",
        ("disks",),
        "vendor",
        "Compare with `lspci` and with what the BMC lists; reseat or replace the disk that is missing.",
        "validate",
        source="The disks in `/sys/class/nvme` whose transport is no network (`nvme list`)",
        fails="There are fewer NVMe disks on the PCI bus than hardware.nvme_disks; it warns where there are more.",
        needs=("hardware.nvme_disks",),
    ),
    Check(
        "disk.nvme.state",
        "Every NVMe disk answers",
        ("disks",),
        "vendor",
        "Read `dmesg` for its controller; restart the node, and replace the disk if it comes again.",
        "validate",
        source="`/sys/class/nvme/*/state`",
        fails="The controller of an NVMe disk is dead or being given up; it warns of one that is in between.",
    ),
    Check(
        "disk.nvme.firmware",
        "NVMe disks of one model run one firmware",
        ("disks",),
        "vendor",
        "Update the disks that differ with `nvme fw-download` or the vendor's tool, in a maintenance.",
        "validate",
        source="`/sys/class/nvme/*/model` and firmware_rev (`nvme list`)",
        fails="It warns where disks of the same model run different firmware.",
        severity="warn",
    ),
    Check(
        "disk.nvme.health",
        "No NVMe disk warns of itself",
        ("nvme",),
        "vendor",
        "Read `nvme smart-log /dev/NAME`, save what is on the disk, and replace it.",
        "validate",
        source="`nvme smart-log`: critical_warning",
        fails=(
            "A disk says that it has no spare blocks, is not reliable, can only be read or has no backup of power; "
            "it warns of one that says it is too hot or too cold."
        ),
        needs=("hardware.nvme_health",),
    ),
    Check(
        "disk.nvme.wear",
        "No NVMe disk is worn out",
        ("nvme",),
        "vendor",
        "Order a disk; replace it before what it was made for is used up.",
        "validate",
        source="`nvme smart-log`: percent_used",
        fails="A disk has used nvme_used_percent.fail of its endurance; it warns from nvme_used_percent.warn on.",
        needs=("hardware.nvme_health",),
    ),
    Check(
        "disk.nvme.spare",
        "Every NVMe disk has spare blocks",
        ("nvme",),
        "vendor",
        "Save what is on the disk, and replace it.",
        "validate",
        source="`nvme smart-log`: avail_spare and spare_thresh",
        fails="A disk has no more spare blocks than its maker's threshold.",
        needs=("hardware.nvme_health",),
    ),
    Check(
        "disk.nvme.media_errors",
        "No NVMe disk has lost data",
        ("nvme",),
        "vendor",
        "Look in `dmesg` which file system had the error; replace the disk if errors come again.",
        "validate",
        source="`nvme smart-log`: media_errors, and the record of when the site first saw the disk in "
        "`/var/lib/firstlight/nvme`",
        fails="It warns where a disk has more errors of its medium than when the site first saw it.",
        severity="warn",
        needs=("hardware.nvme_health",),
    ),
    Check(
        "disk.nvme.temperature",
        "No NVMe disk is too hot",
        ("nvme",),
        "datacentre",
        "Look for fans that have failed and air that does not come through.",
        "validate",
        source="`nvme smart-log`: temperature",
        fails="A disk has reached nvme_temperature_c.fail; it warns from nvme_temperature_c.warn on.",
        needs=("hardware.nvme_health",),
    ),
    Check(
        "disk.filesystem_errors",
        "No file system has recorded errors",
        ("disks",),
        "software",
        (
            "Copy what is needed, unmount it and check it (fsck -f), which clears the record; look at the disk's own "
            "health."
        ),
        "validate",
        source="`/sys/fs/ext4/*/errors_count`",
        fails="It warns where an ext4 file system that is mounted has recorded an error since it was checked last.",
        severity="warn",
        needs=("hardware.mounts",),
    ),
    Check(
        "disk.nvme.overheated",
        "No NVMe disk was too warm for long",
        ("nvme", "history"),
        "datacentre",
        "Look at the air that goes over the disk: a missing blind or a dead fan lets it work at half its speed.",
        "validate",
        source="`nvme smart-log`: warning_temp_time and critical_comp_time, compared with earlier passes",
        fails=(
            "It warns where a disk was beyond its own limits of temperature for nvme_hot_minutes_per_day minutes of a"
            " day."
        ),
        severity="warn",
        needs=("hardware.nvme_health",),
    ),
)

THRESHOLDS: Thresholds = {
    # Ours: a burst of writing may warm it for some minutes.
    "nvme_hot_minutes_per_day": 10,
    # 95 is what the modelled system fails at; 85 leaves time to look before it comes to that.
    "disk_used_percent": {"warn": 85, "fail": 95},
    # The specification lets the figure go beyond 100, at which the maker's promise ends; 80 leaves time to order.
    "nvme_used_percent": {"warn": 80, "fail": 100},
    # Makers of data centre disks throttle from about 75 on and stop the disk at 85.
    "nvme_temperature_c": {"warn": 75, "fail": 85},
}
