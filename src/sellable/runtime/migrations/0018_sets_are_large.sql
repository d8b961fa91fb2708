-- A set that has just begun is in no statistics, and the planner takes what it does not know for a single row: joins of a
-- set with itself or with what is observed were then done anew for each of its rows. Each set is said to be an eighth of
-- the table, each page a twentieth, whatever was counted.
ALTER TABLE sweep_row ALTER COLUMN sweep SET STATISTICS 1, ALTER COLUMN sweep SET (n_distinct = 8),
    ALTER COLUMN a0 SET STATISTICS 1, ALTER COLUMN a0 SET (n_distinct = 20);
