# interfaces(5): the physical interfaces that have an `iface` stanza, with the MAC of a `hwaddress` that is only a match.
$1 == "iface" { name = $2; sub(/:.*/, "", name); if (name !~ /\./ && !seen[name]++) order[++count] = name }
$1 ~ /^(bridge[-_]ports|bond[-_](slaves|mode)|vlan[-_]raw[-_]device)$/ { virtual[name] = 1 }
END { for (number = 1; number <= count; number++) if (!virtual[order[number]]) print order[number], "-", "ifupdown" }
