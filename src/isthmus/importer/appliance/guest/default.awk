# Entries -> "LINUX INITRD" by tab, the default entry first, the others in their order.
# The default is what grub.cfg's last `set default=` says, as grub-mkconfig writes it: a number, a title or id, the
# same with "submenu>", or ${saved_entry} from grubenv (given as `saved`).
function default_of(file,    line, value, found) {
	found = ""
	while ((getline line < file) > 0)
		if (line ~ /^[ \t]*set default=/ && line !~ /next_entry/) {
			value = line
			sub(/^[ \t]*set default=/, "", value)
			gsub(/["']/, "", value)
			found = value
		}
	return found
}
BEGIN {
	wanted = default_of(config)
	if (wanted ~ /saved_entry/ || wanted == "") wanted = saved
	last = wanted
	sub(/.*>/, "", last)
}
{
	linux[NR] = $4; initrd[NR] = $5
	if (!chosen && wanted != "" && ($1 == wanted || $2 == wanted || $3 == wanted)) chosen = NR
	if (!close_to && last != "" && ($2 == last || $3 == last || ($1 ~ />/ && index($1, wanted ">") == 1))) close_to = NR
}
END {
	if (!chosen) chosen = close_to ? close_to : 1
	if (NR) print linux[chosen] "\t" initrd[chosen]
	for (number = 1; number <= NR; number++) if (number != chosen) print linux[number] "\t" initrd[number]
}
