# In the chroot of the new guest: what an administrator of the VMware days would have configured.
# HOSTNAME, PASSWORD, NETWORK, INTERFACE, ADDRESS, GATEWAY, BUILDER, FSTAB (may be empty), GRUB_MORE come by the environment.
echo "$HOSTNAME" >/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$HOSTNAME" >/etc/hosts
echo "root:$PASSWORD" | chpasswd
[ -z "$FSTAB" ] || echo "$FSTAB" >/etc/fstab
systemctl -q enable serial-getty@ttyS0.service
systemctl -q mask systemd-timesyncd.service e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer

case $NETWORK in
ifupdown)
	cat >/etc/network/interfaces <<-EOF
	source /etc/network/interfaces.d/*

	auto lo
	iface lo inet loopback

	auto $INTERFACE
	iface $INTERFACE inet static
	        address $ADDRESS
	        gateway $GATEWAY
	EOF
	;;
NetworkManager)
	cat >/etc/NetworkManager/system-connections/lan.nmconnection <<-EOF
	[connection]
	id=lan
	uuid=3f0c2b1e-6f0e-4f54-8c05-0a6a9a1f7d11
	type=ethernet
	interface-name=$INTERFACE

	[ipv4]
	address1=$ADDRESS,$GATEWAY
	dns=192.0.2.53;
	method=manual

	[ipv6]
	method=disabled
	EOF
	chmod 600 /etc/NetworkManager/system-connections/lan.nmconnection
	systemctl -q mask NetworkManager-wait-online.service
	;;
netplan)
	cat >/etc/netplan/01-lan.yaml <<-EOF
	network:
	  version: 2
	  renderer: networkd
	  ethernets:
	    $INTERFACE:
	      addresses:
	        - $ADDRESS
	      routes:
	        - to: default
	          via: $GATEWAY
	EOF
	chmod 600 /etc/netplan/01-lan.yaml
	systemctl -q enable systemd-networkd.service
	systemctl -q mask systemd-networkd-wait-online.service
	;;
systemd-networkd)
	cat >/etc/systemd/network/20-lan.network <<-EOF
	[Match]
	Name=$INTERFACE

	[Network]
	Address=$ADDRESS
	Gateway=$GATEWAY
	EOF
	systemctl -q enable systemd-networkd.service
	systemctl -q mask systemd-networkd-wait-online.service
	;;
esac

# Disk drivers of VMware's controllers only, as an installer with "MODULES=dep" would have chosen there.
case $BUILDER in
initramfs-tools)
	echo MODULES=list >/etc/initramfs-tools/conf.d/modules
	echo RESUME=none >/etc/initramfs-tools/conf.d/resume
	printf '%s\n' ahci ata_piix mptspi vmw_pvscsi sd_mod ext4 xfs btrfs >>/etc/initramfs-tools/modules
	for release in $(ls /lib/modules); do update-initramfs -c -k "$release"; done
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
$GRUB_MORE
EOF
: >/etc/machine-id
