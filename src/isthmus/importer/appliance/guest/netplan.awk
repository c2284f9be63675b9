# netplan's YAML in block style: the keys below `ethernets:`, with their `set-name` and `macaddress`. By indentation;
# flow style ({...}) is not read, such an interface is then not pinned.
function indent(line) { match(line, /^ */); return RLENGTH }
function value_of(line) { sub(/^[^:]*:[ \t]*/, "", line); sub(/[ \t]+#.*/, "", line); gsub(/["'{}\r]/, "", line); sub(/[ \t]+$/, "", line); return line }
function flush() { if (name != "") print (given != "" ? given : name), mac, "netplan"; name = ""; given = ""; mac = "-" }
BEGIN { inside = 0; mac = "-" }
/^[ \t]*(#|$)/ { next }
/^ *ethernets:/ { flush(); inside = 1; outer = indent($0); inner = 0; next }
inside && indent($0) <= outer { flush(); inside = 0 }
inside && !inner { inner = indent($0) }
inside && indent($0) == inner { flush(); name = $0; sub(/^ */, "", name); sub(/:.*/, "", name); gsub(/["']/, "", name); next }
inside && $1 == "set-name:" { given = value_of($0) }
inside && /macaddress:/ { mac = $0; sub(/.*macaddress:[ \t]*/, "", mac); gsub(/["'{},\r]/, "", mac); sub(/[ \t].*/, "", mac) }
END { flush() }
