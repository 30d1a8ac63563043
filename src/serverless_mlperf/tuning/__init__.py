"""Which configuration to deploy: measured as far as it must be, and recommended with its evidence."""
