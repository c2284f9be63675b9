# A spec as it stands in fstab or on a kernel command line -> the device here (from the table of devices.awk).
# Disk names of the old machine count by their order: the second of sda, sdb, ... is the second disk here.
function disk(name) {
	if (match(name, /^(sd|hd|xvd|vd)[a-z][0-9]*$/)) { sub(/^(sd|hd|xvd|vd)/, "", name); return "/dev/vd" name }
	if (match(name, /^nvme[0-9]+n1(p[0-9]+)?$/)) return nvme(name)
	return ""
}
function nvme(name,    number, part) {
	number = name; sub(/^nvme/, "", number); sub(/n1.*/, "", number)
	part = name; if (!sub(/^.*p/, "", part)) part = ""
	return "/dev/vd" substr("abcdefghijklmnopqrstuvwxyz", number + 1, 1) part
}
BEGIN {
	kind = ""; wanted = spec
	gsub(/"/, "", wanted)
	if (sub(/^UUID=/, "", wanted) || sub(/^\/dev\/disk\/by-uuid\//, "", wanted)) kind = "uuid"
	else if (sub(/^LABEL=/, "", wanted) || sub(/^\/dev\/disk\/by-label\//, "", wanted)) kind = "label"
	else if (sub(/^PARTUUID=/, "", wanted) || sub(/^\/dev\/disk\/by-partuuid\//, "", wanted)) kind = "partuuid"
	else if (wanted ~ /^\/dev\/mapper\//) kind = "device"
	else if (wanted ~ /^\/dev\/disk\/by-(path|id)\/.*-part[0-9]+$/) { kind = "device"; sub(/.*-part/, "/dev/vda", wanted); single = 1 }
	else if (sub(/^\/dev\//, "", wanted)) {
		kind = "device"
		if (split(wanted, part, "/") == 2) { gsub(/-/, "--", part[1]); gsub(/-/, "--", part[2]); wanted = "/dev/mapper/" part[1] "-" part[2] }
		else wanted = disk(wanted)
	}
}
$1 ~ /^\/dev\/vd[b-z]/ { several = 1 }
kind == "device" && $1 == wanted { found = $1 }
kind == "uuid" && tolower($3) == tolower(wanted) { found = $1 }
kind == "label" && $4 == wanted { found = $1 }
kind == "partuuid" && tolower($5) == tolower(wanted) { found = $1 }
END { if (found != "" && !(single && several)) print found }
