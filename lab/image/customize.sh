#!/bin/sh
# Makes a bootstrapped Debian fit to boot as a node of the lab. The root is $1: called by mmdebstrap, that of the image;
# for images that others have built, an empty one with the file list of infiniband-diags, which is laid over theirs.
set -eu
root=$1
mkdir -p "$root/etc/systemd/system" "$root/etc/sysctl.d" "$root/usr/local/sbin"

# What would reach through to the host (devices, file systems, sysctl, audit), or waits for hardware that a container
# has not got. A masked unit cannot fail, so `systemctl is-system-running` tells about the node itself.
for unit in \
    dev-hugepages.mount \
    proc-sys-fs-binfmt_misc.automount \
    proc-sys-fs-binfmt_misc.mount \
    sys-fs-fuse-connections.mount \
    sys-kernel-config.mount \
    sys-kernel-debug.mount \
    sys-kernel-tracing.mount \
    systemd-binfmt.service \
    systemd-firstboot.service \
    systemd-hwdb-update.service \
    systemd-journald-audit.socket \
    systemd-modules-load.service \
    systemd-pstore.service \
    systemd-random-seed.service \
    systemd-remount-fs.service \
    systemd-udev-settle.service \
    systemd-udev-trigger.service \
    systemd-udevd-control.socket \
    systemd-udevd-kernel.socket \
    systemd-udevd.service \
    console-getty.service \
    getty.target \
    apt-daily-upgrade.timer \
    apt-daily.timer \
    e2scrub_all.timer \
    e2scrub_reap.service \
    fstrim.timer
do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Some of Debian's own sysctl settings are not of the node but of the host's kernel.
for file in 50-pid-max.conf 99-protect-links.conf; do
    ln -sf /dev/null "$root/etc/sysctl.d/$file"
done

# One wrapper before every InfiniBand tool that asks the fabric; ibstat and ibstatus read the node's own sysfs.
list=$root/var/lib/dpkg/info/infiniband-diags.list
for tool in $([ ! -e "$list" ] || sed -n 's,^/usr/sbin/,,p' "$list"); do
    case $tool in ibstat | ibstatus) continue ;; esac
    ln -s ../lib/firstlight/ibsim-tool "$root/usr/local/sbin/$tool"
done

# Nothing that two machines must not share. An empty machine-id is filled at the first boot.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/resolv.conf"
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
mkdir -p "$root/lab" "$root/var/log/journal"
