# In the new guest on its disk, run by libguestfs: what needs the disk to be there. ROOT, BOOT, EFI: devices (may be
# empty); TYPE, SUBVOLUME: the root's; SAVED: start the entry that grubenv names.
uuid() { blkid -c /dev/null -s UUID -o value "$1"; }
{
	case $ROOT in
	/dev/sd*) [ -n "$SUBVOLUME" ] && root="UUID=$(uuid "$ROOT")" || root=$ROOT ;;
	*) root=/dev/mapper/vg0-root ;;
	esac
	echo "$root / $TYPE ${SUBVOLUME:+subvol=$SUBVOLUME,}defaults 0 1"
	[ -z "$BOOT" ] || echo "$BOOT /boot ext4 defaults 0 2"
	[ -z "$EFI" ] || echo "LABEL=ESP /boot/efi vfat umask=0077 0 1"
} >/etc/fstab
if [ -n "$EFI" ]; then # as Debian's installer: the firmware's boot entry names the loader, which the disk alone does not
	grub-install --target=x86_64-efi --efi-directory=/boot/efi --no-nvram --bootloader-id=debian
else
	grub-install --target=i386-pc /dev/sda
	echo "(hd0) /dev/sda" >/boot/grub/device.map
fi
grub-mkconfig -o /boot/grub/grub.cfg
if [ -n "$SAVED" ]; then
	entry=$(sed -n "s/^[[:space:]]*menuentry .*menuentry_id_option '\(gnulinux-[0-9].*-advanced-[^']*\)'.*/\1/p" /boot/grub/grub.cfg | head -1)
	menu=$(sed -n "s/^submenu .*menuentry_id_option '\([^']*\)'.*/\1/p" /boot/grub/grub.cfg | head -1)
	grub-editenv /boot/grub/grubenv set "saved_entry=$menu>$entry"
fi
