"""The bundle format: manifest, schema, engines, and opening a folder with every file checked."""
