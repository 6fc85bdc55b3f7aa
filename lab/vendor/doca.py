# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DOCA-OFED as NVIDIA packs it since DKMS builds its modules: names, versions and relations, the lab's contents.

Each release has a repository of its own. Libraries and tools that Debian has as well (rdma-core, infiniband-diags) are
left out: the nodes reach the simulated fabric by Debian's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.vendor.debian import Package, Service
from lab.vendor.hcas import PSID

FILES = Path(__file__).resolve().parent / "files"

# What dkms does when its package is configured: builds for the running kernel, and fails with the build. Sources that
# do not build for a kernel are named in the machine's own /lab/dkms.fails, a pattern of MODULE/VERSION/KERNEL a line.
_BUILD = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    kernel=$(uname -r)
    build=/var/lib/dkms/mlnx-ofed-kernel/{version}/build
    modules=/lib/modules/$kernel/updates/dkms
    mkdir -p "$build"
    echo "Building module:"
    echo "make for $kernel" > "$build/make.log"
    if [ -e /lab/dkms.fails ]; then
        while read -r pattern; do
            case "mlnx-ofed-kernel/{version}/$kernel" in
                $pattern)
                    echo "include/net/tls.h: error: conflicting types" >> "$build/make.log"
                    echo "Error! Bad return status for module build on kernel: $kernel (x86_64)" >&2
                    echo "Consult $build/make.log for more information." >&2
                    exit 10
                    ;;
            esac
        done < /lab/dkms.fails
    fi
    mkdir -p "$modules"
    echo "{version}" > "$modules/mlx5_core.ko"
fi
"""
_UNBUILD = """\
#!/bin/sh
set -e
if [ "$1" = remove ] || [ "$1" = upgrade ]; then
    rm -rf /var/lib/dkms/mlnx-ofed-kernel /lib/modules/*/updates/dkms/mlx5_core.ko
fi
"""
# The real one burns firmware when it is installed, and so does this one.
_BURN = """\
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    mlxfwmanager -u -y -i /opt/mellanox/mlnx-fw-updater/firmware/mlxfwmanager_sriov_dis_x86_64 || true
fi
"""


@dataclass(frozen=True)
class Release:
    """A release of DOCA, that of OFED in it, of what else has a number of its own, and the systems that it is for."""

    version: str
    ofed: str
    mft: str
    opensm: str
    firmware: str
    systems: tuple[str, ...]

    @property
    def number(self) -> str:
        """As the folders of NVIDIA's repositories have it."""
        return self.version.partition("-")[0]

    @property
    def kernel(self) -> str:
        """25.07-0.9.7.0 -> 25.07.OFED.25.07.0.9.7.1, the version of the kernel modules."""
        year, _, build = self.ofed.partition("-")
        return f"{year}.OFED.{year}.{build.rpartition('.')[0]}.1"

    @property
    def suffix(self) -> str:
        """25.07-0.9.7.0 -> 2507097, as the versions of tools end."""
        return self.ofed.rpartition(".")[0].replace(".", "").replace("-", "")


# Two for each system, so that a node can go from one to another. Of 3.3.0 only DOCA's and OFED's numbers are confirmed.
RELEASES = (
    Release("3.1.0-091000", "25.07-0.9.7.0", "4.33.0-169", "5.24.0.MLNX20250721.c9ebc6c8", "28.46.1006", ("debian12",)),
    Release(
        *("3.2.1-044000", "25.10-1.7.1.0", "4.34.1-10", "5.25.0.MLNX20251104.d15ac29c", "28.47.1088"),
        ("debian12", "debian13"),
    ),
    Release("3.3.0-088000", "26.01-1.0.0.0", "4.35.0-159", "5.26.0.MLNX20260105.5e2b1f2a", "28.48.1000", ("debian13",)),
)


def doca_packages(release: Release) -> Iterator[Package]:
    """DOCA-OFED of one release."""
    kernel, tools = f"{release.kernel}-1", f"{release.ofed.partition('-')[0]}-0.{release.suffix}"
    info = (FILES / "ofed_info").read_text().replace("@RELEASE@", release.ofed.rpartition(".")[0])
    scripts, opensm = f"{release.ofed.partition('-')[0]}-OFED.{release.ofed}", f"{release.opensm}-0.1.{release.suffix}"
    yield Package(
        "doca-ofed",
        release.version,
        "DOCA-OFED, metapackage",
        relations={
            "Depends": f"doca-ofed-userspace (= {release.version}), mlnx-ofed-kernel-dkms (= {kernel})",
            "Recommends": f"mlnx-fw-updater (= {release.ofed})",
        },
    )
    yield Package(
        "doca-ofed-userspace",
        release.version,
        "DOCA-OFED without kernel modules, metapackage",
        relations={
            "Depends": f"mlnx-ofed-kernel-utils (= {kernel}), mlnx-tools (= {tools}), ofed-scripts (= {scripts}), "
            f"mft (= {release.mft}), opensm (= {opensm})"
        },
    )
    yield Package(
        "mlnx-ofed-kernel-dkms",
        kernel,
        "DKMS support for mlnx-ofed kernel modules",
        {f"/usr/src/mlnx-ofed-kernel-{release.kernel}/dkms.conf": f'PACKAGE_VERSION="{release.kernel}"\n'},
        {"Depends": f"mlnx-ofed-kernel-utils (= {kernel})", "Provides": "mlnx-ofed-kernel-modules"},
        architecture="all",
        scripts={
            "postinst": _BUILD.replace("{version}", release.kernel),
            "prerm": _UNBUILD,
        },
    )
    yield Package(
        "mlnx-ofed-kernel-utils",
        kernel,
        "Userspace tools to restart and tune mlnx-ofed kernel modules",
        {
            "/etc/init.d/openibd": FILES / "openibd",
            "/etc/infiniband/openib.conf": FILES / "openib.conf",
            "/lib/systemd/system/openibd.service": FILES / "openibd.service",
        },
        {"Depends": "kmod"},
        conffiles=("/etc/init.d/openibd", "/etc/infiniband/openib.conf"),
        service=Service("openibd.service", enabled=True),
    )
    yield Package("mlnx-tools", tools, "Userspace tools to restart and tune MLNX_OFED kernel modules")
    yield Package(
        "ofed-scripts",
        scripts,
        "MLNX_OFED utilities",
        {"/usr/bin/ofed_info": info},
        architecture="all",
    )
    yield Package(
        "mft",
        release.mft,
        "Mellanox firmware tools",
        {f"/usr/bin/{name}": FILES / "mft" for name in ("flint", "mlxconfig", "mlxfwmanager", "mst")},
        {"Depends": "python3"},
    )
    yield Package(
        "opensm",
        opensm,
        "InfiniBand subnet manager",
        {
            "/usr/sbin/opensm": "#!/bin/sh\necho started >> /var/log/opensm.log\nexec sleep infinity\n",
            "/lib/systemd/system/opensmd.service": FILES / "opensmd.service",
        },
        service=Service("opensmd.service", enabled=True),
    )
    yield Package(
        "mlnx-fw-updater",
        release.ofed,
        "Mellanox firmware updater",
        {
            "/opt/mellanox/mlnx-fw-updater/firmware/mlxfwmanager_sriov_dis_x86_64": firmware_image(release.firmware),
        },
        {"Depends": "mft"},
        scripts={"postinst": _BURN},
    )


def firmware_image(version: str, psid: str = PSID) -> str:
    """An image as the lab's flint and mlxfwmanager take it."""
    return f"psid {psid}\nversion {version}\n"
