# NetworkManager keyfiles, ifcfg files, systemd .network and .link files: all are `key=value` lines, some in sections.
# format: keyfile | ifcfg | network | link; fallback: the name in the file's own name (ifcfg only).
function value_of(line) { sub(/^[^=]*=[ \t]*/, "", line); gsub(/["' \t\r]/, "", line); return line }
function add(address) { given[++many] = address }
BEGIN { name = fallback; mac = "-"; wanted = 1; up = 1 }
/^[ \t]*[#;]/ { next }
/^\[/ { section = tolower($0); gsub(/[][ \t\r]/, "", section); next }
!/=/ { next }
{ key = tolower($0); sub(/[ \t]*=.*/, "", key); sub(/^[ \t]+/, "", key) }
format == "keyfile" && section == "connection" && key == "interface-name" { name = value_of($0) }
format == "keyfile" && section == "connection" && key == "type" && value_of($0) !~ /^(ethernet|802-3-ethernet)$/ { wanted = 0 }
format == "keyfile" && section == "connection" && key == "autoconnect" && value_of($0) == "false" { up = 0 }
format == "keyfile" && section ~ /ethernet/ && key == "mac-address" { mac = value_of($0) }
format == "keyfile" && section ~ /^ipv[46]$/ && key ~ /^address(es|[0-9]+)$/ {
	count = split(value_of($0), list, ";") # address1=A/24,GATEWAY or addresses=A/24;B/24
	for (item = 1; item <= count; item++) { sub(/,.*/, "", list[item]); add(list[item]) }
}
format == "ifcfg" && key == "device" { name = value_of($0) }
format == "ifcfg" && key ~ /^(hwaddr|lladdr)$/ { mac = value_of($0) }
format == "ifcfg" && key == "type" && tolower(value_of($0)) != "ethernet" { wanted = 0 }
format == "ifcfg" && key ~ /^(vlan|bridge_ports|bonding_master|etherdevice)$/ && tolower(value_of($0)) != "no" { wanted = 0 }
format == "ifcfg" && (key == "onboot" && value_of($0) == "no" || key == "startmode" && value_of($0) ~ /^(off|manual)$/) { up = 0 }
format == "ifcfg" && key ~ /^ipaddr/ { add(value_of($0)); place[substr(key, 7)] = many }
format == "ifcfg" && key == "ipv6addr" { add(value_of($0)) }
format == "ifcfg" && key ~ /^(prefix|prefixlen)[0-9_]*$/ { suffix = key; sub(/^prefix(len)?/, "", suffix); masks[suffix] = value_of($0) }
format == "ifcfg" && key ~ /^netmask/ && !(substr(key, 8) in masks) { masks[substr(key, 8)] = value_of($0) }
format == "network" && section == "match" && key == "name" { name = value_of($0) }
format == "network" && section == "match" && key ~ /^(permanent)?macaddress$/ { mac = value_of($0) }
format == "network" && section ~ /^(network|address)$/ && key == "address" { add(value_of($0)) }
format == "link" && section == "link" && key == "name" { name = value_of($0) }
format == "link" && section == "match" && key ~ /^(permanent)?macaddress$/ { mac = value_of($0) }
END {
	if (!wanted || name == "") exit
	print name, mac, format
	for (suffix in place) mask[place[suffix]] = masks[suffix]
	for (number = 1; up && number <= many; number++) tell(name, given[number], mask[number])
}
