# For the readers of network configuration: "255.255.255.0" or "24" -> "/24"; "" when there is none.
function prefix_of(mask,    part, number, length_, ones) {
	if (mask ~ /^[0-9]+$/) return "/" mask
	if (split(mask, part, ".") != 4) return ""
	for (number = 1; number <= 4; number++)
		for (ones = part[number] + 0; ones > 0; ones = (ones * 2) % 256) length_++
	return "/" (length_ + 0)
}
# One static address of an interface, as the line "@ NAME ADDRESS/PREFIX"; what does not look like one is left out.
function tell(name, address, mask) {
	if (address !~ /\//) address = address prefix_of(mask)
	if (address ~ /^([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|[0-9a-fA-F]*:[0-9a-fA-F:.]*)(\/[0-9]+)?$/) print "@", name, address
}
