# VMware's tools have nothing to talk to here: their services are taken out of the boot, the packages stay.

quiet_vmware() {
	for name in open-vm-tools vmtoolsd vgauth vgauthd vmware-tools run-vmblock-fuse run-vmblock\\x2dfuse; do
		for file in /etc/systemd/system/*.wants/$name.service /etc/systemd/system/*.requires/$name.service; do
			[ -L "$file" ] && disable "$file" "VMware's tools have no host to talk to here"
		done
	done
	[ -n "$SYSTEMD" ] && return
	for file in /etc/rc?.d/S??vmware-tools /etc/rc.d/rc?.d/S??vmware-tools /etc/rc?.d/S??open-vm-tools; do
		[ -L "$file" ] && disable "$file" "VMware's tools have no host to talk to here"
	done
	return 0
}
