-- What the list of sales said of a part's sale besides its stamp: a change of it that none of this explains is one the
-- list does not show (lines, customer, another location and back), so the sale is read whole.
ALTER TABLE order_part ADD COLUMN list_progress text NOT NULL DEFAULT '';
