# In the chroot of the cloud guest: nothing that cloud-init should do itself.
# Only our sources, so that it does not wait for clouds that are not there; the locale that is here.
cat >/etc/cloud/cloud.cfg.d/90_sources.cfg <<-END
datasource_list: [ NoCloud, ConfigDrive, None ]
locale: C.UTF-8
END
printf 'auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n' >/etc/network/interfaces
echo "LABEL=root / ext4 errors=remount-ro 0 1" >/etc/fstab
systemctl -q enable serial-getty@ttyS0.service
systemctl -q mask systemd-timesyncd.service e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer
printf 'MODULES=list\nCOMPRESS=zstd\n' >/etc/initramfs-tools/conf.d/small
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod sr_mod ext4 >>/etc/initramfs-tools/modules
version=$(ls /lib/modules)
update-initramfs -c -k "$version"
ln -sf "initrd.img-$version" /boot/initrd.img
ln -sf "vmlinuz-$version" /boot/vmlinuz
rm -f /etc/machine-id && touch /etc/machine-id
