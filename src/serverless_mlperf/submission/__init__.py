"""Results folders as an MLPerf submission: the layout of round v6.1, open division, in the style of network mode."""
