"""One module per sampler, each a function from a diffusers scheduler to rows of scalars."""
