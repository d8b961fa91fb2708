-- The console draws the orders of the last hour, and looks parcels up by their tracking number.
CREATE INDEX orders_captured ON orders (captured_at);
CREATE INDEX shipment_tracking ON shipment USING gin (jsonb_path_query_array(document, '$.parcels[*].tracking'));
