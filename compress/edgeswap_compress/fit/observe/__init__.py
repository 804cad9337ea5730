"""What is measured for a fit and of it: the dtypes before it begins, the losses on the way."""
