# Find the kernels that GRUB 2 offers and which of them it starts by default.
# Leaves $WORK/kernels: lines "RELEASE INITRD", the default first. Everything is found before anything is changed.

find_kernels() {
	CONFIG=
	for file in /boot/grub2/grub.cfg /boot/grub/grub.cfg /boot/efi/EFI/*/grub.cfg /etc/grub2.cfg; do
		is_file "$file" && grep -q -E '^[[:space:]]*(menuentry|blscfg)' "$file" && { CONFIG=$file; break; }
	done
	[ -n "$CONFIG" ] || unsupported "no configuration of GRUB 2 with boot entries was found"
	SAVED=
	for file in "${CONFIG%/*}/grubenv" /boot/grub2/grubenv /boot/grub/grubenv; do
		is_file "$file" && { SAVED=$(sed -n 's/^saved_entry=//p' "$file" | head -1); break; }
	done
	{ list_menu; list_entries; } >$WORK/entries
	awk -F'\t' -v saved="$SAVED" -v config="$CONFIG" -f $OURS/default.awk $WORK/entries >$WORK/ordered
	choose_kernels
}

list_menu() { # "INDEX TITLE ID LINUX INITRD" of each menuentry, by tabs
	awk -f $OURS/menu.awk "$CONFIG"
}

list_entries() { # the same of Boot Loader Specification entries, the newest first as GRUB sorts them
	grep -q '^[[:space:]]*blscfg' "$CONFIG" || return
	number=0
	for file in $(ls /boot/loader/entries/*.conf 2>/dev/null | sort -rV); do
		is_file "$file" || continue
		case $file in *rescue*) continue ;; esac
		id=${file##*/}
		awk -v id="${id%.conf}" -v number=$number -f $OURS/entry.awk "$file"
		number=$((number + 1))
	done
}

choose_kernels() {
	: >$WORK/kernels
	while IFS='	' read -r linux initrd; do
		kernel=${linux##*/}
		release=${kernel#vmlinuz-}
		release=${release#vmlinux-}
		modules=/lib/modules/$release
		[ "$kernel" != "$release" ] && is_file "$modules/modules.dep" || continue
		initrd=/boot/${initrd##*/}
		[ "$initrd" != /boot/ ] && is_file "$initrd" || continue
		grep -q "^$release " $WORK/kernels || echo "$release $initrd" >>$WORK/kernels
	done <$WORK/ordered
	read -r RELEASE INITRD <$WORK/kernels || unsupported "no boot entry of $CONFIG has both an initrd and modules here"
	read -r linux _ <$WORK/ordered
	[ "${linux##*/vmlinu?-}" = "$RELEASE" ] || warn "the default boot entry ($linux) has no initrd or modules here"
	event kernel release "$RELEASE" initrd "$INITRD" bootloader "$CONFIG" kernels "$(wc -l <$WORK/kernels)"
}
