# What the guest is, read and never run: os-release is parsed line by line.

release() { # KEY ; sets VALUE
	VALUE=
	for file in /etc/os-release /usr/lib/os-release; do
		is_file $file || continue
		VALUE=$(sed -n "s/^$1=//p" $file | head -1 | tr -d "\"'")
		return
	done
}

find_os() {
	release ID; OS=$VALUE
	release VERSION_ID; VERSION=$VALUE
	release PRETTY_NAME; NAME=$VALUE
	AGENT=absent
	for file in /usr/sbin/qemu-ga /usr/bin/qemu-ga; do is_file $file && AGENT=present; done
	SYSTEMD=
	for file in /usr/lib/systemd/systemd /lib/systemd/systemd; do is_file $file && SYSTEMD=yes; done
	BUILDER=
	is_file /usr/sbin/update-initramfs && BUILDER=initramfs-tools
	is_file /usr/bin/dracut && BUILDER=dracut
	event os id "$OS" version "$VERSION" name "$NAME" initramfs "$BUILDER" agent "$AGENT"
	[ -n "$BUILDER" ] || unsupported "its initramfs is made neither by initramfs-tools nor by dracut"
}
