"""Where containers run, behind one Protocol."""
