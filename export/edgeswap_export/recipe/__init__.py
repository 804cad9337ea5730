"""The whole way from a checkpoint to a measured bundle, by a recipe, resumable."""
