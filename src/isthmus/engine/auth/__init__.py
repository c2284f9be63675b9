"""Who asks, and may they: keys and certificates, authentication, RBAC."""
