# The conversion proper, run in a chroot of the guest: first look at everything, then change. Never runs or sources a
# file of the guest. Running it again on a converted disk changes nothing more.
OURS=/dev/isthmus
WORK=$OURS/work
STATE=/var/lib/isthmus
umask 022

. $OURS/report.sh
. $OURS/files.sh
. $OURS/os.sh
. $OURS/bootloader.sh
. $OURS/network.sh
. $OURS/drivers.sh
. $OURS/names.sh
. $OURS/services.sh
. $OURS/efi.sh
. $OURS/firstboot.sh

find_os
find_kernels
find_modules
find_interfaces

pin_interfaces
add_drivers
rename_disks
quiet_vmware
add_fallback_loader
arrange_first_boot
label_files
exit 0
