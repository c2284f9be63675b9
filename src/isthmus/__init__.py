"""Isthmus: one Kubernetes control plane for virtual machines and containers, and the way off VMware onto it.

The rooms, and which may import which, are drawn in docs/ARCHITECTURE.md.
"""

__version__ = "0.1.0"
