# Keep the names of network interfaces: a new machine has other slots, so "ens192" would become "enp1s0" and the static
# address configured for ens192 would be lost. Only names that the guest's configuration mentions are pinned, each to
# one MAC address: the one that its configuration gives, else by order (the plan lists the MACs in the order of the NICs).

find_interfaces() { # leaves $WORK/pins: lines "NAME MAC", and $WORK/addresses: lines "@ NAME ADDRESS/PREFIX"
	{ read_ifupdown; read_keyfiles; read_ifcfg; read_netplan; read_networkd; read_rules; } >$WORK/read
	grep '^@ ' $WORK/read >$WORK/addresses
	grep -v '^@ ' $WORK/read >$WORK/mentioned
	awk -v nics=$OURS/nics -f $OURS/pair.awk $WORK/mentioned >$WORK/paired
	sed -n 's/^pin //p' $WORK/paired >$WORK/pins
	sed -n 's/^warn //p' $WORK/paired | while read -r message; do warn "$message"; done
}

# Each reader prints "NAME MAC SOURCE", "-" for a MAC that the configuration does not give, and "@ NAME ADDRESS/PREFIX"
# for each static address of an interface that comes up by itself.

read_with() { # PROGRAM FILE... with awk's -v options in $GIVEN
	program=$1
	shift
	awk $GIVEN -f $OURS/netmask.awk -f $OURS/$program "$@"
}

read_ifupdown() {
	set --
	for file in /etc/network/interfaces /etc/network/interfaces.d/*; do
		is_file "$file" && set -- "$@" "$file"
	done
	GIVEN=
	[ $# = 0 ] || read_with ifupdown.awk "$@"
}

read_keyfiles() {
	for file in /etc/NetworkManager/system-connections/*; do
		GIVEN="-v format=keyfile"
		is_file "$file" && read_with assignments.awk "$file"
	done
}

read_ifcfg() {
	for file in /etc/sysconfig/network-scripts/ifcfg-* /etc/sysconfig/network/ifcfg-*; do
		name=${file##*/ifcfg-}
		case $name in *[!A-Za-z0-9_.:-]*) continue ;; esac # a backup copy, or nothing that a name could be
		GIVEN="-v format=ifcfg -v fallback=$name"
		is_file "$file" && read_with assignments.awk "$file"
	done
}

read_netplan() {
	for file in /etc/netplan/*.yaml; do
		GIVEN=
		is_file "$file" && read_with netplan.awk "$file"
	done
}

read_networkd() {
	for file in /etc/systemd/network/*.network /etc/systemd/network/*.link; do
		case $file in */10-isthmus-*) continue ;; esac
		GIVEN="-v format=${file##*.}"
		is_file "$file" && read_with assignments.awk "$file"
	done
}

read_rules() {
	for file in /etc/udev/rules.d/*persistent-net*.rules; do
		is_file "$file" && sed -n 's/^[^#]*ATTR{address}=="\([^"]*\)".*NAME="\([^"]*\)".*/\2 \1 rules/p' "$file"
	done
}

pin_interfaces() {
	: >$WORK/links
	while read -r name mac; do
		if [ -n "$SYSTEMD" ]; then pin_by_link "$name" "$mac"; else pin_by_rule "$name" "$mac"; fi
		event interface name "$name" mac "$mac"
		tell_addresses "$name"
	done <$WORK/pins
}

tell_addresses() { # INTERFACE ; only of those that there will be: the boot proof looks for them
	while read -r _ name_ address; do
		[ "$name_" = "$1" ] && event address name "$1" address "$address"
	done <$WORK/addresses
}

pin_by_link() { # systemd.link(5): first match wins, so the number comes before the distribution's 73 and 99
	file=/etc/systemd/network/10-isthmus-$1.link
	printf '%s\n' '[Match]' "MACAddress=$2" 'Type=ether' '' '[Link]' "Name=$1" |
		create "$file" "the interface with MAC $2 keeps its name $1"
	echo "$file" >>$WORK/links
}

pin_by_rule() { # udev before systemd took it over knows no .link files
	printf 'SUBSYSTEM=="net", ACTION=="add", ATTR{address}=="%s", ATTR{type}=="1", NAME="%s"\n' "$2" "$1" |
		create "/etc/udev/rules.d/70-isthmus-$1.rules" "the interface with MAC $2 keeps its name $1"
}
