#!/bin/sh
# Makes a bootstrapped Debian a machine of the lab; the root is $1. Called by mmdebstrap.
set -eu
root=$1
# apt's timers would change the machine under a test; the memory that is kept brings their hour about at once.
for unit in apt-daily-upgrade.timer apt-daily.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" systemctl --quiet enable firstlight-seed.service systemd-networkd.service
chroot "$root" systemctl --quiet disable systemd-networkd-wait-online.service
chroot "$root" useradd --create-home --shell /bin/bash --comment Operator --groups adm,sudo debian
chmod 440 "$root/etc/sudoers.d/90-firstlight"
# What systemd would else do at the first boot was done when the packages were installed.
touch -r "$root/usr" "$root/etc/.updated" "$root/var/.updated"
# Nothing that two machines must not share. An empty machine-id is filled at the first boot.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/resolv.conf"
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
mkdir -p "$root/var/log/journal"
