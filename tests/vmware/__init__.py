"""Files as VMware writes them, made by code: what qemu-img cannot write. `vmdk` writes disks, `ovf` descriptors,
`make_ova` joins them to an OVA (also a program).
"""
