# netplan's YAML in block style: the keys below `ethernets:`, with their `set-name`, `macaddress` and `addresses` (not those
# of `nameservers`, which stand deeper). By indentation; flow style ({...}) is not read, such an interface is not pinned.
function indent(line) { match(line, /^ */); return RLENGTH }
function value_of(line) { sub(/^[^:]*:[ \t]*/, "", line); sub(/[ \t]+#.*/, "", line); gsub(/["'{}\r]/, "", line); sub(/[ \t]+$/, "", line); return line }
function add(address) { gsub(/["' \t\r]/, "", address); sub(/:$/, "", address); given[++many] = address }
function flush(    number) {
	if (name != "") {
		if (renamed != "") name = renamed
		print name, mac, "netplan"
		for (number = 1; number <= many; number++) tell(name, given[number], "")
	}
	name = ""; renamed = ""; mac = "-"; many = 0; keys = 0; listing = 0
}
BEGIN { inside = 0; mac = "-" }
/^[ \t]*(#|$)/ { next }
/^ *ethernets:/ { flush(); inside = 1; outer = indent($0); inner = 0; next }
inside && indent($0) <= outer { flush(); inside = 0 }
inside && !inner { inner = indent($0) }
inside && indent($0) == inner { flush(); name = $0; sub(/^ */, "", name); sub(/:.*/, "", name); gsub(/["']/, "", name); next }
!inside { next }
!keys { keys = indent($0) }
listing && indent($0) >= keys && /^ *- / { line = $0; sub(/^ *- */, "", line); sub(/[ \t]+#.*/, "", line); add(line); next }
indent($0) <= keys { listing = 0 }
indent($0) == keys && $1 == "addresses:" {
	listing = 1
	if (match($0, /\[.*\]/)) { count = split(substr($0, RSTART + 1, RLENGTH - 2), list, ","); for (item = 1; item <= count; item++) add(list[item]) }
	next
}
$1 == "set-name:" { renamed = value_of($0) }
/macaddress:/ { mac = $0; sub(/.*macaddress:[ \t]*/, "", mac); gsub(/["'{},\r]/, "", mac); sub(/[ \t].*/, "", mac) }
END { flush() }
