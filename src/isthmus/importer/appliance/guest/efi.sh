# A machine with UEFI firmware starts what its boot entries name. They stay behind with the old machine, so the new one
# looks for the fallback, EFI/BOOT/BOOTX64.EFI: where the guest has none, its own boot loader is copied there.

add_fallback_loader() {
	for place in /boot/efi /efi; do
		[ -d $place/EFI ] || continue
		for file in $place/EFI/[Bb][Oo][Oo][Tt]/[Bb][Oo][Oo][Tt][Xx]64.[Ee][Ff][Ii]; do
			is_file "$file" && return
		done
		find_loaders $place
		[ -n "$LOADERS" ] && copy_loaders $place
		return
	done
}

find_loaders() { # ESP ; sets LOADERS to the vendor's folder: the one named like the system, else the only one
	LOADERS=
	count=0
	for file in "$1"/EFI/*/grubx64.efi; do
		is_file "$file" || continue
		count=$((count + 1))
		LOADERS=${file%/*}
		[ "${LOADERS##*/}" = "$OS" ] && return
	done
	[ $count -gt 1 ] && LOADERS= && warn "several boot loaders are in $1/EFI: choose one in the firmware's setup"
	return 0
}

copy_loaders() { # ESP ; the signed shim starts the grubx64.efi beside it; GRUB finds its configuration by itself
	first=grubx64.efi
	is_file "$LOADERS/shimx64.efi" && first=shimx64.efi
	folder=$1/EFI/BOOT
	create $folder/BOOTX64.EFI "the fallback boot loader: the firmware's boot entries stayed with the old machine" <"$LOADERS/$first"
	[ $first = grubx64.efi ] && return
	for name in grubx64.efi mmx64.efi; do
		is_file "$LOADERS/$name" && create $folder/$name "beside the fallback boot loader" <"$LOADERS/$name"
	done
	return 0
}
