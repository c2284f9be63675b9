# Load the appliance's own kernel modules, each with what it depends on (the list is made at build time).

load_modules() { # NAME... ; a module that is built into the kernel is not in the list and needs nothing
	for name; do
		while read -r module needs; do
			[ "$module" = "$name" ] || continue
			for file in $needs $module; do
				[ -d /sys/module/$file ] || insmod /modules/$file.ko || warn "cannot load the module $file"
			done
		done </modules/order
	done
}
