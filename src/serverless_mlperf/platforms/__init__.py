"""Where functions live: provisioning only, never load."""
