"""Many pictures: list them, swap them by a pool of workers, and go on where it stopped."""
