"""The data sets: synthetic, Bandai-Namco, HumanML3D and KIT-ML, and a user's own motions."""
