"""Compare disparity maps, poses and meshes with truth."""
