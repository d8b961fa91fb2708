"""Settings: what a person writes in `sellable.toml`, as structs with a sentence for each field."""
