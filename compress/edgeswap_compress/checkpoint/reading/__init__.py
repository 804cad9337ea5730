"""Read a checkpoint's files and check them before anything is used."""
