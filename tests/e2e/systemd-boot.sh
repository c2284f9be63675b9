#!/bin/bash
# systemd-boot.sh SCRATCH SHARED...: this machine once more, with systemd as its first process, in namespaces of its own.
# What it writes goes to SCRATCH (on a tmpfs, so that a reboot finds it again) but for the directories SHARED. Runs in
# the network namespace of the caller, until that machine is powered off.
set -euo pipefail
scratch=$1 root=$1/root
shift
mkdir -p "$scratch"/{upper,work,root}
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys" # read-only: udev leaves the devices to their owner
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty net/tun kvm vhost-net; do
    [ -e "/dev/$device" ] || continue
    mkdir -p "$(dirname "$root/dev/$device")"
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev"/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    # The hierarchies that the kernel has already: their controllers cannot be split or joined in another way.
    cut -d: -f2 /proc/self/cgroup | grep . | while read -r controllers; do
        mkdir "$root/sys/fs/cgroup/${controllers#name=}"
        mount -t cgroup -o "${controllers/#name=/none,name=}" cgroup "$root/sys/fs/cgroup/${controllers#name=}"
    done
fi
for directory in "$@"; do
    mkdir -p "$root$directory"
    mount --rbind "$directory" "$root$directory"
done
# Of this machine's own services none is started.
if [ ! -e "$scratch/booted" ]; then
    rm -rf "$root"/etc/systemd/system/*.wants
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    touch "$scratch/booted"
fi
mkdir -p "$root/old"
cd "$root"
pivot_root . old
umount -l /old
exec env -i container=isthmus /lib/systemd/systemd --system --unit=multi-user.target
