# Mount the root filesystem and what the guest's fstab puts at the few places that a conversion reads or writes.

SAFE=rw,nodev,nosuid,noexec

mount_root() {
	options=$SAFE
	[ "$SUBVOLUME" = - ] || options=$SAFE,subvol=$SUBVOLUME
	mount -t $TYPE -o $options $ROOT /guest || die "the root filesystem cannot be mounted"
	: >/run/fstab
	[ -f /guest/etc/fstab ] && [ ! -L /guest/etc/fstab ] && tr '\t' ' ' </guest/etc/fstab >/run/fstab
	for place in /usr /var /boot /boot/efi /efi; do
		while read -r spec where type options _; do
			[ "$where" = $place ] && mount_one "$spec" $place "$options"
		done </run/fstab
	done
	mount_system_partition
}

mount_system_partition() { # the EFI system partition of a guest whose fstab does not name it
	grep -q -E ' /guest(/boot)?/efi ' /proc/mounts && return
	device=$(awk '$2 == "vfat" {print $1; exit}' /run/devices)
	[ -z "$device" ] || mount_one "$device" /boot/efi ""
	return 0
}

mount_one() { # SPEC PLACE OPTIONS ; only onto a real directory, each of whose parents is one
	device=$(resolve "$1")
	[ -n "$device" ] || { warn "$2 ($1) is on no disk here"; return; }
	is_directory /guest/${2#/} && is_directory "/guest/$(dirname "${2#/}")" || return
	type=$(awk -v d="$device" '$1 == d {print $2; exit}' /run/devices)
	more=
	case $type in
	ext2 | ext3) type=ext4 ;;
	ext4) ;;
	xfs | btrfs) load_modules $type ;;
	vfat) # the kernel would ask a modprobe for the character sets, which is not here
		load_modules vfat nls_cp437 nls_ascii
		more=,codepage=437,iocharset=ascii
		;;
	*) return ;;
	esac
	subvolume=$(printf %s "$3" | tr , '\n' | grep '^subvol=' | head -1)
	mount -t $type -o $SAFE$more${subvolume:+,$subvolume} "$device" "/guest$2" && return
	case $2 in
	*/efi) warn "$2 cannot be mounted: its boot loader is left as it is" ;;
	*) die "$2 cannot be mounted" ;;
	esac
}

resolve() { # the device that an fstab spec names, or nothing
	awk -v spec="$1" -f /isthmus/resolve.awk /run/devices
}

unmount_all() { # deepest first
	awk '$2 ~ /^\/guest/ {print $2}' /proc/mounts | sort -r | while read -r place; do
		umount "$place" || exit 1
	done
}
