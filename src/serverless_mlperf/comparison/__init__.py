"""Two results held against each other, run by run: what has changed, by how much, and how sure that is."""
