"""The renderer: synthetic adults, scenes, cameras, and drawing them with OpenGL."""
