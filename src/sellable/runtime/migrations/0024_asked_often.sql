-- Entries the storefront has no more: nearly none, so whoever asks for numbers of the others hardly looks.
CREATE INDEX entry_gone ON entry (sku, channel) WHERE gone;

-- Sales whose totals are not those we expect: few, so that a month's report does not compare every sale there ever was.
CREATE INDEX order_part_differs ON order_part (order_id) WHERE actual IS NOT NULL AND state NOT IN ('voided', 'dropped')
    AND (expected -> 'net', expected -> 'tax', expected -> 'gross')
        IS DISTINCT FROM (actual -> 'net', actual -> 'tax', actual -> 'gross');
