"""Making the storefront show what it should: masters read, differences planned, written and doubted."""
