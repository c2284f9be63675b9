# grub.cfg -> one line an entry, by tabs: INDEX TITLE ID LINUX INITRD. An entry in a submenu has the index "2>0".
function after(line, pattern,    rest) { rest = line; sub(pattern, "", rest); return rest }
function quoted(text,    mark, rest) {
	mark = substr(text, 1, 1)
	if (mark != "'" && mark != "\"") { sub(/[ \t{].*/, "", text); return text }
	rest = substr(text, 2)
	return substr(rest, 1, index(rest, mark) - 1)
}
function identity(line) {
	if (match(line, /\$menuentry_id_option[ \t]+/) || match(line, /--id[= \t]+/)) return quoted(substr(line, RSTART + RLENGTH))
	return ""
}
function flush() { if (open != "") print open "\t" linux "\t" initrd; open = "" }
BEGIN { top = 0; below = 0; nested = 0; open = "" }
/^[ \t]*submenu[ \t]/ { flush(); nested = 1; below = 0; parent = top++; next }
/^[ \t]*menuentry[ \t]/ {
	flush()
	if (nested && $0 !~ /^[ \t]/) nested = 0
	place = nested ? parent ">" below++ : top++
	title = quoted(after($0, "^[ \t]*menuentry[ \t]+"))
	open = place "\t" title "\t" identity($0)
	linux = ""; initrd = ""
	next
}
open != "" && $1 ~ /^linux(16|efi)?$/ { linux = $2 }
open != "" && $1 ~ /^initrd(16|efi)?$/ { initrd = $NF }
/^}/ { flush(); nested = 0 }
END { flush() }
