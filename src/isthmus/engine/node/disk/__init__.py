"""Volumes as files and block devices: resolved for QEMU (volumes), made and removed (files), looked at (probe)."""
