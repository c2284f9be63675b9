# One Boot Loader Specification file -> INDEX TITLE ID LINUX INITRD, by tabs. Variables ($tuned_initrd) are no files.
$1 == "title" { title = $0; sub(/^title[ \t]+/, "", title) }
$1 == "linux" { linux = $2 }
$1 == "initrd" { for (field = 2; field <= NF; field++) if ($field !~ /^\$/) initrd = $field }
END { if (linux != "") print number "\t" title "\t" id "\t" linux "\t" initrd }
