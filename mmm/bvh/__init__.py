"""BVH motion capture: reading, joint maps, placement in the world, feet, writing."""
