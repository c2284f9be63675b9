# NetworkManager keyfiles, ifcfg files, systemd .network and .link files: all are `key=value` lines, some in sections.
# format: keyfile | ifcfg | network | link; fallback: the name in the file's own name (ifcfg only).
function value_of(line) { sub(/^[^=]*=[ \t]*/, "", line); gsub(/["' \t\r]/, "", line); return line }
BEGIN { name = fallback; mac = "-"; wanted = 1 }
/^[ \t]*[#;]/ { next }
/^\[/ { section = tolower($0); gsub(/[][ \t\r]/, "", section); next }
!/=/ { next }
{ key = tolower($0); sub(/[ \t]*=.*/, "", key); sub(/^[ \t]+/, "", key) }
format == "keyfile" && section == "connection" && key == "interface-name" { name = value_of($0) }
format == "keyfile" && section == "connection" && key == "type" && value_of($0) !~ /^(ethernet|802-3-ethernet)$/ { wanted = 0 }
format == "keyfile" && section ~ /ethernet/ && key == "mac-address" { mac = value_of($0) }
format == "ifcfg" && key == "device" { name = value_of($0) }
format == "ifcfg" && key ~ /^(hwaddr|lladdr)$/ { mac = value_of($0) }
format == "ifcfg" && key == "type" && tolower(value_of($0)) != "ethernet" { wanted = 0 }
format == "ifcfg" && key ~ /^(vlan|bridge_ports|bonding_master|etherdevice)$/ && tolower(value_of($0)) != "no" { wanted = 0 }
format == "network" && section == "match" && key == "name" { name = value_of($0) }
format == "network" && section == "match" && key ~ /^(permanent)?macaddress$/ { mac = value_of($0) }
format == "link" && section == "link" && key == "name" { name = value_of($0) }
format == "link" && section == "match" && key ~ /^(permanent)?macaddress$/ { mac = value_of($0) }
END { if (wanted && name != "") print name, mac, format }
