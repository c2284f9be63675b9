# Rewrites disk names in a text by the table of devices.awk (the first file).
# where: first | second (the field of fstab, crypttab) | arguments (root=, resume= and RESUME= anywhere in a line).
function here(spec,    part) { # the device that an old name means on this machine, by the order of the disks
	if (spec ~ /^\/dev\/(sd|hd|xvd)[a-z][0-9]*$/) { sub(/^\/dev\/(sd|hd|xvd)/, "/dev/vd", spec); return spec }
	if (spec ~ /^\/dev\/nvme[0-9]n1(p[0-9]+)?$/) {
		part = spec ~ /p[0-9]+$/ ? spec : ""
		sub(/.*p/, "", part)
		return "/dev/vd" substr("abcdefghij", substr(spec, 10, 1) + 1, 1) part
	}
	if (spec ~ /^\/dev\/disk\/by-(path|id)\/.*-part[0-9]+$/ && !several) { sub(/.*-part/, "/dev/vda", spec); return spec }
	return ""
}
function is_old(spec) {
	return spec ~ /^\/dev\/((sd|hd|xvd)[a-z][0-9]*|nvme[0-9]n1(p[0-9]+)?|disk\/by-(path|id)\/[^ ]+)$/ && spec !~ /by-id\/(dm|lvm|md)-/
}
function translated(spec,    device) {
	if (!is_old(spec)) return spec
	device = here(spec)
	if (device != "" && uuid[device] != "" && uuid[device] != "-") return "UUID=" uuid[device]
	if (spec !~ /by-(path|id)\/.*(usb|cdrom|sr)/) print spec > unknown
	return spec
}
function replace_field(line, number,    head, turn, field) {
	head = ""
	for (turn = 1; turn <= number; turn++) {
		match(line, /^[ \t]*[^ \t]+/)
		field = substr(line, 1, RLENGTH)
		line = substr(line, RLENGTH + 1)
		if (turn < number) head = head field
	}
	match(field, /^[ \t]*/)
	return head substr(field, 1, RLENGTH) translated(substr(field, RLENGTH + 1)) line
}
function replace_arguments(line,    out, key, value) {
	out = ""
	while (match(line, /(root|resume|RESUME)=\/dev\/[^ \t"']+/)) {
		out = out substr(line, 1, RSTART - 1)
		key = substr(line, RSTART, RLENGTH)
		value = key
		sub(/=.*/, "=", key)
		sub(/^[^=]*=/, "", value)
		out = out key translated(value)
		line = substr(line, RSTART + RLENGTH)
	}
	return out line
}
FNR == NR { uuid[$1] = $3; if ($1 ~ /^\/dev\/vd[b-z]/) several = 1; next }
/^[ \t]*#/ || /^[ \t]*$/ { print; next }
where == "first" { print replace_field($0, 1); next }
where == "second" && NF > 1 { print replace_field($0, 2); next }
where == "arguments" { print replace_arguments($0); next }
{ print }
