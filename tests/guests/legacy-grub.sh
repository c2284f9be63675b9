# In the chroot, after setup.sh: GRUB's configuration without the disk being there (grub-probe.sh speaks for it).
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
