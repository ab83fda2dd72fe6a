"""Where motions come from: synthetic, Bandai-Namco, HumanML3D and KIT-ML, your own."""
