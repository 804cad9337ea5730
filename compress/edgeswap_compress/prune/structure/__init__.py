"""What can be pruned in a U-Net: channel groups, droppable modules, and what they cost."""
