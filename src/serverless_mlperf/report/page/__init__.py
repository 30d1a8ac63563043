"""One self-contained HTML page of results: rows in, figures and tables out; it loads nothing from anywhere."""
