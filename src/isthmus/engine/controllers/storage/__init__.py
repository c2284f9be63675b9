"""Volumes of the class `local`, and DataVolumes."""
