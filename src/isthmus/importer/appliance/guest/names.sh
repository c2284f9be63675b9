# Names of disks that change with the bus (/dev/sda1, by-path, by-id) become UUIDs: right on virtio-blk, virtio-scsi, SATA.

rename_disks() {
	translate /etc/fstab first "file systems by UUID instead of by the old disk's name"
	translate /etc/crypttab second "encrypted volumes by UUID instead of by the old disk's name"
	for file in $(naming_disks "$CONFIG" /etc/default/grub /etc/kernel/cmdline /etc/initramfs-tools/conf.d/* /boot/loader/entries/*.conf); do
		translate "$file" arguments "root and resume devices by UUID instead of by the old disk's name"
	done
	is_file /etc/default/grub && grep -q '^GRUB_DISABLE_LINUX_UUID="\?true' /etc/default/grub && {
		sed 's/^GRUB_DISABLE_LINUX_UUID=/#&/' /etc/default/grub >$WORK/grub
		edit /etc/default/grub $WORK/grub "update-grub shall name the root by UUID: disk names change with the bus"
	}
	for file in /boot/grub/device.map /boot/grub2/device.map; do
		is_file $file && grep -q '/dev/' $file && disable $file "it names the old disk; GRUB finds its disks without it"
	done
	is_file /etc/lvm/devices/system.devices &&
		disable /etc/lvm/devices/system.devices "it lists the old disks; LVM looks at all disks without it"
	return 0
}

naming_disks() { # FILE... -> those in which a root or resume device is named by its disk (no blank is in these paths)
	for file; do
		shift
		is_file "$file" && set -- "$@" "$file"
	done
	[ $# = 0 ] || grep -l -i -E '(root|resume)=/dev/((sd|hd|xvd)[a-z]|nvme|disk/by-(path|id))' "$@"
}

translate() { # FILE WHERE REASON
	is_file "$1" || return
	: >$WORK/unknown
	awk -v where="$2" -v unknown=$WORK/unknown -f $OURS/translate.awk $OURS/devices "$1" >$WORK/translated
	edit "$1" $WORK/translated "$3"
	[ -s $WORK/unknown ] && while read -r spec; do warn "$1 names $spec, which is on no disk here"; done <$WORK/unknown
}
