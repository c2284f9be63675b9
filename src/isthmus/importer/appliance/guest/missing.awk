# modules.dep and modules.builtin -> those of the `wanted` drivers that are in neither.
function name_of(path) { sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path); return path }
{ have[name_of($1)] = 1 }
END {
	count = split(wanted, names, " ")
	for (number = 1; number <= count; number++) if (!(names[number] in have)) print names[number]
}
