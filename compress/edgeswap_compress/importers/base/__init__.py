"""What all families share: reading files, backbones, adapters, LoRA, text, parity."""
