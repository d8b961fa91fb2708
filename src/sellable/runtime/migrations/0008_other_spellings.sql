-- SKUs of the storefront that the master spells otherwise, as the settings say. A mapped SKU sells the master's stock.
CREATE TABLE sku_map (
    storefront text PRIMARY KEY,
    master     text NOT NULL
);
CREATE INDEX sku_map_master ON sku_map (master);

-- What one unit of a SKU takes from the master's stock, for all that is not simply itself: kits and mapped SKUs.
CREATE VIEW made_of AS
SELECT sku, component, units FROM recipe r WHERE NOT EXISTS (SELECT FROM sku_map m WHERE m.storefront = r.sku)
UNION ALL
SELECT m.storefront, r.component, r.units FROM sku_map m JOIN recipe r ON r.sku = m.master
UNION ALL
SELECT m.storefront, m.master, 1 FROM sku_map m WHERE NOT EXISTS (SELECT FROM recipe r WHERE r.sku = m.master);
