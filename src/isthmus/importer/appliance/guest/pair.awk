# Names mentioned by the guest ("NAME MAC SOURCE") and the plan's NICs (file `nics`: "MAC" or "MAC,NAME" a line, in
# order) -> "pin NAME MAC" and "warn ...". A name that the plan gives counts most, then a MAC in the configuration,
# then the order: VMware's slots (vmxnet3: ens192, ens224, ens256, ens161, ens193, ...), else by number.
function physical(name) { return name ~ /^(en[a-z0-9]+|eth[0-9]+|em[0-9]+|p[0-9]+p[0-9]+|net[0-9]+|lan[0-9]+|wan[0-9]+)$/ }
function possible(name) { return name ~ /^[A-Za-z0-9_.-]+$/ && length(name) <= 15 && name !~ /^\.+$/ }
function digits(name,    found) { found = 0; while (match(name, /[0-9]+/)) { found = found * 1000 + substr(name, RSTART, RLENGTH); name = substr(name, RSTART + RLENGTH) } return found }
function rank(name) { return (name in slot) ? slot[name] : 100 + digits(name) }
function take(name, mac) { print "pin", name, mac; taken[name] = 1; used[mac] = 1 }
BEGIN {
	many = split("ens192 ens224 ens256 ens161 ens193 ens225 ens257 ens162 ens194 ens226", slots, " ")
	for (number = 1; number <= many; number++) slot[slots[number]] = number
	while ((getline line < nics) > 0) {
		split(tolower(line), part, ",")
		if (part[1] == "") continue
		macs[++count] = part[1]; known[part[1]] = 1
		split(line, part, ",")
		if (part[2] != "") take(part[2], macs[count])
	}
}
{
	name = $1; mac = tolower($2)
	if (mac != "-" && known[mac] && possible(name)) { if (!taken[name] && !used[mac]) take(name, mac); next }
	if (mac != "-" && mac ~ /^..:..:..:..:..:..$/ && physical(name)) print "warn the configuration ties " name " to the MAC " mac ", which is none of the new machine's"
	if (physical(name) && possible(name) && !seen[name]++) names[++found] = name
}
END {
	for (number = 1; number <= found; number++) if (!taken[names[number]]) rest[++left] = names[number]
	for (here = 2; here <= left; here++)
		for (place = here; place > 1 && rank(rest[place]) < rank(rest[place - 1]); place--) {
			swap = rest[place]; rest[place] = rest[place - 1]; rest[place - 1] = swap
		}
	next_mac = 1
	for (number = 1; number <= left; number++) {
		while (next_mac <= count && used[macs[next_mac]]) next_mac++
		if (next_mac > count) { if (count) print "warn the configuration mentions " rest[number] ", for which the new machine has no interface"; continue }
		take(rest[number], macs[next_mac])
	}
}
