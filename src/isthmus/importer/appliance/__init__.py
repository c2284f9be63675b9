"""The conversion appliance: a tiny VM that mounts a guest's disks, changes what keeps it from booting, and halts."""
