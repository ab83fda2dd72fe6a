"""Pictures of motion: film strips, animations, the interactive player."""
