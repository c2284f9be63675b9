# At its first boot the guest rebuilds its initramfs by its own means, so that nothing of ours is needed any more, and
# says on its serial port what it found itself to be (the boot proof reads this).

arrange_first_boot() {
	configure_builder
	if [ -z "$SYSTEMD" ]; then
		warn "there is no systemd: rebuild the initramfs once the guest runs"
		return
	fi
	mkdir -p $STATE
	sed "s|@RELEASE@|$RELEASE|; s|@INITRD@|$INITRD|; s|@BUILDER@|$BUILDER|" $OURS/first-boot >$WORK/first-boot
	create $STATE/first-boot "what the guest does once at its first boot" <$WORK/first-boot
	create /etc/systemd/system/isthmus-first-boot.service "the guest rebuilds its initramfs once, then removes this" \
		<$OURS/isthmus-first-boot.service
	link /etc/systemd/system/multi-user.target.wants/isthmus-first-boot.service ../isthmus-first-boot.service \
		"starts the first-boot service"
}

configure_builder() { # so that this and every later rebuild has the drivers
	case $BUILDER in
	initramfs-tools)
		file=/etc/initramfs-tools/modules
		is_file $file || : >$file
		cp $file $WORK/modules-list
		for name in $DRIVERS; do
			grep -qx "$name" $file || echo "$name" >>$WORK/modules-list
		done
		edit $file $WORK/modules-list "virtio drivers in every initramfs to come"
		;;
	dracut)
		echo "add_drivers+=\" $DRIVERS virtio_net \"" |
			create /etc/dracut.conf.d/50-isthmus.conf "virtio drivers in every initramfs to come"
		;;
	esac
}
