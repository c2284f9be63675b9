# interfaces(5): the physical interfaces that have an `iface` stanza, and the static addresses of those that come up by
# themselves. All files are read as one, as ifup does.
function flush() { if (address != "") { many++; names[many] = name; addresses[many] = address; masks[many] = mask } address = ""; mask = "" }
$1 ~ /^(auto|allow-.*)$/ { for (field = 2; field <= NF; field++) up[$field] = 1 }
$1 == "iface" { flush(); name = $2; fixed = ($4 == "static"); sub(/:.*/, "", name); if (name !~ /\./ && !seen[name]++) order[++count] = name }
$1 == "address" && fixed { address = $2 }
$1 == "netmask" && fixed { mask = $2 }
$1 ~ /^(bridge[-_]ports|bond[-_](slaves|mode)|vlan[-_]raw[-_]device)$/ { virtual[name] = 1 }
END {
	flush()
	for (number = 1; number <= count; number++) if (!virtual[order[number]]) print order[number], "-", "ifupdown"
	for (number = 1; number <= many; number++) if (up[names[number]]) tell(names[number], addresses[number], masks[number])
}
