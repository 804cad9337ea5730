"""Readers of files by others: tensors, Stable Diffusion's layout, IP-Adapters, LoRAs."""
