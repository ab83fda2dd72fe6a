"""BVH motion capture: reading, joint maps, placement in the world, feet, writing, edits on the file's own skeleton."""
