"""From results to what people look at: table, CSV, figures."""
