# Find the root filesystem on partitions, whole disks and logical volumes.
# Leaves /run/devices: lines "DEVICE TYPE UUID LABEL PARTUUID", "-" for what is unknown.

is_directory() { # a real one: a symbolic link could lead out of the guest
	[ -d "$1" ] && [ ! -L "$1" ]
}

wait_for_disks() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -b /dev/vda ] && return
		usleep 50000
	done
	die "no disk is attached"
}

list_devices() {
	blkid -c /dev/null -o full | awk -f /isthmus/devices.awk >/run/devices
}

has_type() {
	grep -q "^[^ ]* $1 " /run/devices
}

activate_volumes() { # LVM only: LUKS and RAID stay closed, their root is then not found
	has_type LVM2_member || return
	load_modules dm_mod
	lvm vgchange -a y --sysinit --noudevsync -q >/dev/null 2>&1
	lvm vgmknodes >/dev/null 2>&1
	list_devices
}

is_root() {
	is_directory "$1/etc" && is_directory "$1/usr" && { [ -e "$1/etc/fstab" ] || [ -L "$1/etc/os-release" ] || [ -e "$1/etc/os-release" ]; }
}

look_into() { # DEVICE TYPE ; appends "DEVICE TYPE SUBVOLUME" to /run/roots when a root filesystem is there
	mount -t "$2" -o ro,nodev,nosuid,noexec "$1" /look 2>/dev/null || return
	if is_root /look; then
		echo "$1 $2 -" >>/run/roots
	elif [ "$2" = btrfs ]; then
		for subvolume in @ @rootfs root; do
			is_directory /look/$subvolume && is_root /look/$subvolume && echo "$1 $2 $subvolume" >>/run/roots && break
		done
	fi
	umount /look
}

find_root() { # sets ROOT, TYPE, SUBVOLUME
	list_devices
	activate_volumes
	: >/run/roots
	while read -r device type _; do
		case $type in
		ext2 | ext3 | ext4) look_into $device ext4 ;;
		xfs | btrfs) load_modules $type; look_into $device $type ;;
		esac
	done </run/devices
	case $(wc -l </run/roots) in
	0) no_root ;;
	1) ;;
	*) unsupported "there are several root filesystems: $(cut -d' ' -f1 /run/roots | tr '\n' ' ')" ;;
	esac
	read -r ROOT TYPE SUBVOLUME </run/roots
	event root device "$ROOT" filesystem "$TYPE" subvolume "$SUBVOLUME"
}

no_root() {
	has_type crypto_LUKS && unsupported "the disk is encrypted (LUKS)"
	has_type BitLocker && unsupported "the disk is encrypted (BitLocker)"
	has_type linux_raid_member && unsupported "the disk is part of a software RAID"
	has_type ntfs && unsupported "this looks like Windows (NTFS)"
	unsupported "no Linux root filesystem was found"
}
