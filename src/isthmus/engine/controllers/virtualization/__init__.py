"""VirtualMachines, their instances, launcher Pods and replica sets."""
