"""TODO diffusers_folder."""
