# Every change of a file goes through here: its original is kept below $STATE/original and the change is reported.

keep() { # PATH ; a link where the file system allows it, as the original is replaced by rename or copied otherwise
	[ -e "$STATE/original$1" ] && return
	mkdir -p "$STATE/original${1%/*}"
	cp -p "$1" "$STATE/original$1" || die "no room to keep the original of $1"
}

edit() { # PATH NEW REASON ; NEW becomes the content of the existing PATH, whose owner, mode and labels stay
	cmp -s "$1" "$2" && return
	keep "$1"
	cat "$2" >"$1" || die "$1 cannot be written"
	event change action edited path "$1" original "$STATE/original$1" reason "$3"
}

create() { # PATH REASON ; the content comes by standard input
	[ -d "${1%/*}" ] || mkdir -p "${1%/*}"
	cat >$WORK/created
	[ -e "$1" ] && { edit "$1" $WORK/created "$2"; return; }
	cat $WORK/created >"$1" || die "$1 cannot be written"
	echo "$1" >>$WORK/new
	event change action created path "$1" original "" reason "$2"
}

link() { # PATH TARGET REASON
	[ -L "$1" ] && return
	mkdir -p "${1%/*}"
	ln -s "$2" "$1" || die "$1 cannot be made"
	echo "$1" >>$WORK/new
	event change action created path "$1" original "" reason "$3"
}

disable() { # PATH REASON ; the file or link is moved to the originals
	mkdir -p "$STATE/original${1%/*}"
	mv "$1" "$STATE/original$1" || die "$1 cannot be moved away"
	event change action disabled path "$1" original "$STATE/original$1" reason "$2"
}

is_file() { # a regular file, in the end: reading a pipe or a device would hang
	[ -f "$1" ] && [ -r "$1" ]
}

label_files() { # with SELinux the new files need their labels, or systemd may not read them
	is_file /etc/selinux/config || return 0
	grep -q '^SELINUX=\(enforcing\|permissive\)' /etc/selinux/config || return 0
	[ -s $WORK/new ] && while read -r path; do
		case $path in
		/etc/systemd/system/*) label=systemd_unit_file_t ;;
		/etc/udev/*) label=udev_rules_t ;;
		/etc/*) label=etc_t ;;
		/boot/efi/* | /efi/*) continue ;; # FAT has no labels
		/boot/*) label=boot_t ;;
		*) label=var_lib_t ;;
		esac
		$OURS/lib/ld-linux-x86-64.so.2 --library-path $OURS/lib $OURS/lib/setfattr -h -n security.selinux \
			-v "system_u:object_r:$label:s0" "$path" 2>/dev/null || { relabel; return; }
	done <$WORK/new
	return 0
}

relabel() {
	[ -e /.autorelabel ] || create /.autorelabel "SELinux labels could not be set here: the guest sets them at its first boot" </dev/null
}
