"""What we say to the inside of a guest: its agent (qemu-ga), and cloud-init's data at boot."""
