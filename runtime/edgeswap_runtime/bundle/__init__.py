"""Read and check bundles: manifest, schema, engines, files."""
