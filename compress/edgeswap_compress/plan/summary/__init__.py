"""Plans as a person reads them: a table of blocks and a picture of layers."""
