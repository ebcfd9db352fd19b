"""Files: reading meshes back into the axes of camera 1."""
