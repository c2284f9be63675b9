#!/bin/sh
# Stands in for grub-probe while grub-mkconfig runs in the chroot: answers as if the disk were the machine's /dev/sda.
for word; do
	case $word in --target=*) target=${word#--target=} ;; esac
	[ "$last" = --target ] || [ "$last" = -t ] && target=$word
	last=$word
done
case $target in
device) echo /dev/sda1 ;;
disk) echo /dev/sda ;;
fs) echo ext2 ;;
fs_uuid) echo "$ROOT_UUID" ;;
partmap) echo msdos ;;
compatibility_hint) echo hd0,msdos1 ;;
hints_string) echo "--hint-bios=hd0,msdos1 --hint-efi=hd0,msdos1 --hint-baremetal=ahci0,msdos1" ;;
bios_hints) echo hd0,msdos1 ;;
abstraction | partuuid | fs_label | cryptodisk_uuid | gpt_parttype) ;;
drive) echo "(hd0,msdos1)" ;;
esac
