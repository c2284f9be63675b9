# In the chroot of the new guest: what an administrator of the VMware days would have configured.
echo "$HOSTNAME" >/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$HOSTNAME" >/etc/hosts
echo "root:$PASSWORD" | chpasswd
echo "/dev/sda1 / ext4 errors=remount-ro 0 1" >/etc/fstab
cat >/etc/network/interfaces <<EOF
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

auto $INTERFACE
iface $INTERFACE inet static
	address $ADDRESS
	gateway $GATEWAY
EOF
systemctl -q enable serial-getty@ttyS0.service
systemctl -q mask systemd-timesyncd.service e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer

# Disk drivers of VMware's controllers only, as an installer with "MODULES=dep" would have chosen there.
case $BUILDER in
initramfs-tools)
	echo MODULES=list >/etc/initramfs-tools/conf.d/modules
	printf '%s\n' ahci ata_piix mptspi sd_mod ext4 >>/etc/initramfs-tools/modules
	update-initramfs -u -k all
	;;
dracut)
	printf '%s\n' 'hostonly="no"' 'omit_drivers+=" virtio virtio_blk virtio_scsi virtio_pci "' >/etc/dracut.conf.d/vmware.conf
	for release in $(ls /lib/modules); do dracut --force --kver "$release" "/boot/initrd.img-$release"; done
	rm /etc/dracut.conf.d/vmware.conf
	;;
esac

cat >/etc/default/grub <<EOF
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_DISABLE_OS_PROBER=true
${ROOT_BY_NAME:+GRUB_DISABLE_LINUX_UUID=true}
EOF
mkdir -p /boot/grub/i386-pc
cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst /boot/grub/i386-pc/
echo "(hd0) /dev/sda" >/boot/grub/device.map
touch "/dev/disk/by-uuid/$ROOT_UUID"
chmod 755 /tmp/grub-probe.sh
cp -p /usr/sbin/grub-probe /tmp/grub-probe.real
cp /tmp/grub-probe.sh /usr/sbin/grub-probe
grub-mkconfig -o /boot/grub/grub.cfg
cp -p /tmp/grub-probe.real /usr/sbin/grub-probe
rm /tmp/grub-probe.real
: >/etc/machine-id
