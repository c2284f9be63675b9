"""What any Kubernetes cluster does by itself: namespaces, garbage, service accounts, node health."""
