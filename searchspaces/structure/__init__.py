"""What archs compute, as numbers for surrogates: structural features from genes."""
