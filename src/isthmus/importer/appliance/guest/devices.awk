# `blkid -o full` -> "DEVICE TYPE UUID LABEL PARTUUID", "-" for what is unknown, blanks in a label as "\x20".
function value(name,    found) {
	if (!match($0, " " name "=\"[^\"]*\"")) return "-"
	found = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
	gsub(/ /, "\\x20", found)
	return found == "" ? "-" : found
}
{
	device = $1
	sub(/:$/, "", device)
	print device, value("TYPE"), value("UUID"), value("LABEL"), value("PARTUUID")
}
