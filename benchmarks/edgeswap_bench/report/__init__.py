"""Show a report: as JSON, as a table of text, as one HTML file."""
