"""What a model learns from: pairs of pictures, and what is seen of them."""
