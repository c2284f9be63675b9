"""The appliance's image: the reference it is found by and the paths of its boot files in it."""

REFERENCE = "isthmus.dev/appliance"
KERNEL_PATH, INITRD_PATH = "/boot/vmlinuz", "/boot/initrd"
