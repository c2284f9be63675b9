"""Composes the parts into a running platform: up, down, status, and the processes that they keep."""
