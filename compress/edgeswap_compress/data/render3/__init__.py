"""Version 3 of the renderer: the OpenGL context, and the pictures of the first held-out set."""
