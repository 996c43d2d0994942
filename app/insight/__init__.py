"""What a network has learnt: gates, memory, attribution. A fitted network and windows in, tables out."""
