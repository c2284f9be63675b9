# modules.dep -> the paths of the `wanted` modules and of all that they need, each after its needs.
function name_of(path) { sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path); return path }
{ path[name_of($1)] = $1; needs[$1] = $2 }
END {
	count = split(wanted, names, " ")
	for (number = 1; number <= count; number++) {
		file = path[names[number]]
		if (file == "") continue
		many = split(needs[file], list, " ")
		for (item = many; item > 0; item--) if (!seen[list[item]]++) print list[item]
		if (!seen[file]++) print file
	}
}
