-- Entries the storefront has no more: nearly none, so whoever asks for numbers of the others hardly looks.
CREATE INDEX entry_gone ON entry (sku, channel) WHERE gone;
