# Give each kernel's initrd the virtio drivers, without unpacking it: Linux unpacks concatenated archives in turn, so one
# more cpio archive in front of the old ones is enough. It only adds files:
#   isthmus/lib/modules/RELEASE/...  the drivers, from the guest's own module tree, with its index: a private root for
#                                    modprobe -d (never "lib" itself: that may be a link in the initrd)
#   conf/conf.d/zz-isthmus           loads them under initramfs-tools
#   .../hooks/pre-udev/01-isthmus.sh loads them under dracut. Both are always there: who built an initrd may have changed
#   etc/systemd/network/*.link       the pinned names of network interfaces
DRIVERS="virtio_pci virtio_blk virtio_scsi sd_mod"
OTHER_KERNELS=2

find_modules() { # refuses the guest before anything is changed when its default kernel cannot drive a virtio disk
	builtin=/lib/modules/$RELEASE/modules.builtin
	is_file $builtin || builtin=/lib/modules/$RELEASE/modules.dep
	missing=$(awk -F: -v wanted="$DRIVERS virtio_net" -f $OURS/missing.awk "/lib/modules/$RELEASE/modules.dep" $builtin)
	for name in $missing; do
		case $name in
		virtio_pci | virtio_blk) unsupported "its kernel $RELEASE has no driver $name" ;;
		virtio_scsi) warn "the kernel $RELEASE has no driver virtio_scsi: the disks must be virtio-blk" ;;
		virtio_net) warn "the kernel $RELEASE has no driver virtio_net: give the interfaces the model e1000e" ;;
		esac
	done
}

list_modules() { # RELEASE ; leaves $WORK/modules: the drivers and what they need, in the order of loading
	awk -F: -v wanted="$DRIVERS" -f $OURS/closure.awk "/lib/modules/$1/modules.dep" >$WORK/modules
}

add_drivers() {
	count=0
	while read -r release initrd; do
		[ $count -gt $OTHER_KERNELS ] && { warn "the kernel $release was left without virtio drivers in its initrd"; continue; }
		count=$((count + 1))
		list_modules "$release"
		build_segment "$release"
		prepend "$initrd" "$release"
	done <$WORK/kernels
}

build_segment() { # RELEASE ; leaves $WORK/segment.cpio, padded to a sector as the kernel wants it
	tree=$WORK/segment
	rm -rf $tree
	private=$tree/isthmus/lib/modules/$1
	source=/lib/modules/$1
	mkdir -p $private $tree/conf/conf.d $tree/etc/systemd/network
	if [ -s $WORK/modules ]; then # none if all drivers are built in; a module's path has no blank
		(cd "$source" && tar -c $(cat $WORK/modules)) | tar -x -C $private || die "the modules of $1 cannot be read"
	fi
	for index in modules.dep.bin modules.dep modules.builtin.bin modules.softdep; do
		is_file "$source/$index" && cp "$source/$index" $private/
	done
	echo "/sbin/modprobe -d /isthmus -a -q $DRIVERS || true" >$tree/conf/conf.d/zz-isthmus
	for hooks in usr/lib/dracut/hooks var/lib/dracut/hooks; do
		mkdir -p $tree/$hooks/pre-udev
		printf '%s\n' "modprobe -d /isthmus -a -q $DRIVERS || :" 'rm -f /etc/lvm/devices/system.devices' \
			>$tree/$hooks/pre-udev/01-isthmus.sh
		chmod 755 $tree/$hooks/pre-udev/01-isthmus.sh
	done
	[ -s $WORK/links ] && while read -r file; do cp "$file" $tree/etc/systemd/network/; done <$WORK/links
	find $tree -exec touch -h -d '1970-01-02 00:00:00' {} + # equal content shall give equal bytes: a second run changes nothing
	(cd $tree && find . -mindepth 1 | sed 's/^\.\///' | sort |
		cpio -o -H newc -R 0:0 --renumber-inodes --ignore-devno 2>/dev/null) >$WORK/segment.cpio || die "the drivers cannot be packed"
	pad $WORK/segment.cpio
}

pad() { # FILE ; with zeros to a multiple of 512 bytes
	truncate -s $((($(stat -c %s $1) + 511) / 512 * 512)) $1
}

has_segment() { # INITRD ; whether it is one of ours: its second file's name stands near its beginning
	head -c 1024 "$1" | grep -q zz-isthmus
}

prepend() { # INITRD RELEASE ; from the kept original if this one is ours already, so that nothing is added twice
	old=$1
	if has_segment "$1"; then
		old=$STATE/original$1
		is_file "$old" || { warn "$1 has drivers of an earlier conversion, whose original is gone: left as it is"; return; }
	else
		rm -f "$STATE/original$1" # of an earlier conversion; the guest has rebuilt this one since
	fi
	cat $WORK/segment.cpio "$old" >"$1.isthmus" 2>/dev/null || { rm -f "$1.isthmus"; die "no room in ${1%/*} for the initrd with drivers"; }
	cmp -s "$1" "$1.isthmus" && { rm "$1.isthmus"; return; }
	chmod "$(stat -c %a "$1")" "$1.isthmus"
	if [ ! -e "$STATE/original$1" ]; then
		mkdir -p "$STATE/original${1%/*}"
		ln "$1" "$STATE/original$1" 2>/dev/null || cp -p "$1" "$STATE/original$1" || { rm -f "$1.isthmus"; die "no room to keep the original of $1"; }
	fi
	mv "$1.isthmus" "$1" || die "$1 cannot be replaced"
	echo "$1" >>$WORK/new
	event change action edited path "$1" original "$STATE/original$1" \
		reason "virtio drivers for kernel $2 put in front ($(wc -l <$WORK/modules) modules, $(stat -c %s $WORK/segment.cpio) bytes)"
}
