"""Binds Pods to nodes: `filters` says where a Pod can go and why not elsewhere, `scores` which place is best (both
pure); `scheduler` reads, asks them and writes the Binding.
"""
