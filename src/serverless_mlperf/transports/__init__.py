"""How a query travels to a function."""
