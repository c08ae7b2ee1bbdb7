"""Values that the whole program speaks of: frozen, without behaviour that reads or sends anything."""
